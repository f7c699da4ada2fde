package front

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
	"github.com/brunovlucena/knative-lambda-operator/runtime/protocol"
)

const (
	typeBytes = "application/octet-stream"
	// typeHTTP is a streamed answer that begins with status and headers, as JSON, and
	// preludeEnd.
	typeHTTP   = "application/vnd.awslambda.http-integration-response"
	preludeEnd = "\x00\x00\x00\x00\x00\x00\x00\x00"
	maxPrelude = 64 << 10

	modeHeader      = "Lambda-Runtime-Function-Response-Mode"
	errorTypeHeader = "Lambda-Runtime-Function-Error-Type"
	errorBodyHeader = "Lambda-Runtime-Function-Error-Body"
)

// programData is the data of an invocation as JSON, which is all that AWS Lambda
// knows: text becomes a string, and bytes a string in base64.
func programData(contentType string, body []byte) ([]byte, error) {
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = contentType
	}
	isJSON := media == typeJSON || strings.HasSuffix(media, "+json")
	switch {
	case len(body) == 0:
		return []byte("null"), nil
	case isJSON:
		text, err := ceio.Text(body)
		if err == nil && !json.Valid(text) {
			var v any
			err = json.Unmarshal(text, &v)
		}
		if err != nil {
			return nil, fmt.Errorf("the body is not the JSON that its content type %s announces: %w", media, err)
		}
		return text, nil
	case media == "" && json.Valid(body), media == runtime.TypeForm && runtime.HoldsJSON(body):
		return body, nil
	case strings.HasPrefix(media, "text/"), media == "application/xml":
		text, err := runtime.DecodeText(body, parameters["charset"])
		if err != nil {
			return nil, fmt.Errorf("the body is not the text that its content type %s announces: %w", contentType, err)
		}
		return json.Marshal(text)
	}
	return json.Marshal(base64.StdEncoding.EncodeToString(body))
}

// response takes what the handler returned.
func (a *programAPI) response(w http.ResponseWriter, r *http.Request) {
	c := a.take(r.PathValue("id"))
	if c == nil {
		refuseID(w)
		return
	}
	defer close(c.ended)
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if media == typeHTTP || strings.EqualFold(r.Header.Get(modeHeader), "streaming") {
		relay(c, r)
		accept(w)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, a.maxBody))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", fmt.Sprintf("expected at most %d bytes", tooLong.Limit))
		c.answer <- programAnswer{err: runtime.ReplyTooLong(max(int(r.ContentLength), int(tooLong.Limit)+1), int(tooLong.Limit))}
		return
	case err != nil:
		c.answer <- programAnswer{err: fmt.Errorf("%w: the answer broke off: %w", runtime.ErrWorkerDied, err)}
		return
	}
	accept(w)
	if err := trailedError(r); err != nil {
		c.answer <- programAnswer{err: err}
		return
	}
	result, err := returned(c, r.Header.Get("Content-Type"), body)
	c.answer <- programAnswer{result: result, err: err}
}

// relay passes a streamed answer on as it arrives, and drops what the client does not read.
func relay(c *programCall, r *http.Request) {
	reader, writer := io.Pipe()
	c.answer <- programAnswer{stream: reader, fail: func(err error) { _ = writer.CloseWithError(err) }, tail: func() error { return trailedError(r) },
		result: &runtime.Result{ContentType: r.Header.Get("Content-Type")}}
	_, err := io.Copy(writer, r.Body)
	if errors.Is(err, io.ErrClosedPipe) {
		_, err = io.Copy(io.Discard, r.Body)
	}
	_ = writer.CloseWithError(err) // nil is the end
}

// trailedError is the error in the trailers of an answer that has been read.
func trailedError(r *http.Request) error {
	kind := r.Trailer.Get(errorTypeHeader)
	if kind == "" {
		return nil
	}
	text, err := base64.StdEncoding.DecodeString(r.Trailer.Get(errorBodyHeader))
	if err != nil {
		text = nil // what it was is lost; that it was an error is not
	}
	return raisedBy(kind, text)
}

// streamedHead reads what stands before the body of a streamed answer.
func streamedHead(answer programAnswer) (*runtime.Result, *bufio.Reader, error) {
	body := bufio.NewReaderSize(answer.stream, 16<<10)
	result := answer.result
	media, _, err := mime.ParseMediaType(result.ContentType)
	if err != nil {
		result.ContentType = typeBytes
	}
	if media != typeHTTP {
		return result, body, nil
	}
	var prelude bytes.Buffer
	for !bytes.HasSuffix(prelude.Bytes(), []byte(preludeEnd)) {
		piece, err := body.ReadSlice(0)
		prelude.Write(piece)
		switch {
		case prelude.Len() > maxPrelude:
			return nil, nil, &runtime.HandlerError{Type: "InvalidReply",
				Message: fmt.Sprintf("the streamed answer begins with status and headers of more than %d bytes", maxPrelude)}
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			if failed := answer.tail(); failed != nil {
				return nil, nil, failed
			}
			return nil, nil, &runtime.HandlerError{Type: "InvalidReply", Message: "the streamed answer ends before eight zero bytes, which follow status and headers"}
		case err != nil:
			return nil, nil, err
		}
	}
	result, err = runtime.ProxyHead(bytes.TrimRight(prelude.Bytes(), "\x00"))
	if err != nil {
		return nil, nil, err
	}
	result.Status, result.Body = cmp.Or(result.Status, http.StatusOK), nil
	return result, body, nil
}

// returned makes a result of a response: null is nothing, an object with
// specversion and type a CloudEvent in JSON format.
func returned(c *programCall, contentType string, body []byte) (*runtime.Result, error) {
	h := &runtime.Result{}
	text := bytes.TrimSpace(body)
	switch {
	case len(text) == 0, bytes.Equal(text, []byte("null")):
		return h, nil
	case !json.Valid(text):
		h.ContentType = typeBytes
		if media, _, err := mime.ParseMediaType(contentType); err == nil && media != typeJSON {
			h.ContentType = contentType
		}
		h.Body = body
		return h, nil
	}
	if c.Event == nil {
		if reply, err := runtime.ProxyReply(text, c.Payload); reply != nil || err != nil {
			return reply, err
		}
	}
	h.ContentType, h.Body = typeJSON, text
	if !bytes.Contains(text, []byte(`"specversion"`)) {
		return h, nil
	}
	var attributes map[string]any
	var event struct {
		Data   json.RawMessage `json:"data"`
		Base64 []byte          `json:"data_base64"`
	}
	if json.Unmarshal(text, &attributes) != nil || json.Unmarshal(text, &event) != nil || attributes["specversion"] == nil || attributes["type"] == nil {
		return h, nil //nolint:nilerr // it is no event
	}
	delete(attributes, "data")
	delete(attributes, "data_base64")
	h.Event, h.ContentType = attributes, ""
	if event.Base64 != nil {
		h.ContentType, h.Body = typeBytes, event.Base64
		return h, nil
	}
	if len(event.Data) > 0 {
		h.ContentType = typeJSON
	}
	h.Body = asText(attributes, event.Data)
	return h, nil
}

// asText is the data of an event of text, which the JSON format has as a string.
func asText(attributes map[string]any, data []byte) []byte {
	var text string
	if kind, ok := attributes["datacontenttype"].(string); ok && !strings.HasSuffix(kind, "json") && json.Unmarshal(data, &text) == nil {
		return []byte(text)
	}
	return data
}

// failure takes what the handler raised.
func (a *programAPI) failure(w http.ResponseWriter, r *http.Request) {
	c := a.take(r.PathValue("id"))
	if c == nil {
		refuseID(w)
		return
	}
	defer close(c.ended)
	err := readError(w, r)
	accept(w)
	c.answer <- programAnswer{err: err}
}

// initFailure takes why the program cannot start.
func (a *programAPI) initFailure(w http.ResponseWriter, r *http.Request) {
	err := readError(w, r)
	accept(w)
	select {
	case a.initial <- err.Error():
	default: // the first says why
	}
}

// readError reads an error that is the body of a request.
func readError(w http.ResponseWriter, r *http.Request) *runtime.HandlerError {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, protocol.MaxHeader))
	if err != nil {
		body = nil // what it was is lost; that it was an error is not
	}
	return raisedBy(r.Header.Get(errorTypeHeader), body)
}

// raisedBy reads an error as AWS Lambda writes it. An error of type PermanentError,
// or one that says "permanent": true, comes again with each retry.
func raisedBy(kind string, body []byte) *runtime.HandlerError {
	var e struct {
		ErrorType    string          `json:"errorType"`
		ErrorMessage string          `json:"errorMessage"`
		StackTrace   json.RawMessage `json:"stackTrace"`
		Permanent    bool            `json:"permanent"`
	}
	if json.Unmarshal(body, &e) != nil {
		e.ErrorMessage = string(body)
	}
	e.ErrorType = protocol.Cut(cmp.Or(e.ErrorType, kind, "Error"), 256)
	h := &runtime.HandlerError{Type: e.ErrorType, Message: protocol.Cut(e.ErrorMessage, protocol.MaxMessage),
		Permanent: e.Permanent || e.ErrorType == "PermanentError"}
	if len(e.StackTrace) > 0 && string(e.StackTrace) != "null" {
		h.Stack = protocol.Cut(string(e.StackTrace), protocol.MaxStack)
	}
	return h
}

func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`+"\n") // a program that has ended is seen elsewhere
}

func refuseID(w http.ResponseWriter) {
	refuse(w, http.StatusBadRequest, "InvalidRequestID", "there is no invocation of this id that waits for an answer")
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"errorType": kind, "errorMessage": message}) // likewise
}
