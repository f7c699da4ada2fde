package runtime

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// payload is the data of an invocation as JSON, which is all that AWS Lambda
// knows: text becomes a string, and bytes a string in base64.
func payload(contentType string, body []byte) ([]byte, error) {
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = contentType
	}
	isJSON := media == typeJSON || strings.HasSuffix(media, "+json")
	switch {
	case len(body) == 0:
		return []byte("null"), nil
	case isJSON && !json.Valid(body):
		var v any
		return nil, fmt.Errorf("the body is not the JSON that its content type %s announces: %w", media, json.Unmarshal(body, &v))
	case isJSON, media == "" && json.Valid(body):
		return body, nil
	case strings.HasPrefix(media, "text/"), media == "application/xml":
		text, err := DecodeText(body, parameters["charset"])
		if err != nil {
			return nil, fmt.Errorf("the body is not the text that its content type %s announces: %w", contentType, err)
		}
		return json.Marshal(text)
	}
	return json.Marshal(base64.StdEncoding.EncodeToString(body))
}

// response takes what the handler returned.
func (a *awsAPI) response(w http.ResponseWriter, r *http.Request) {
	c := a.take(r.PathValue("id"))
	if c == nil {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "there is no invocation of this id that waits for an answer")
		return
	}
	body, err := io.ReadAll(r.Body)
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", fmt.Sprintf("expected at most %d bytes", tooLong.Limit))
		c.answer <- awsAnswer{err: ReplyTooLong(max(int(r.ContentLength), int(tooLong.Limit)+1), int(tooLong.Limit))}
		return
	case err != nil:
		c.answer <- awsAnswer{err: fmt.Errorf("the answer broke off: %w", err)}
		return
	}
	accept(w)
	if kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" { // of a streamed response
		text, _ := base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body"))
		c.answer <- awsAnswer{header: raised(kind, text)}
		return
	}
	h, data := returned(r.Header.Get("Content-Type"), body)
	c.answer <- awsAnswer{header: h, body: data}
}

// returned makes a result of a response: null is nothing, an object with
// specversion and type a CloudEvent in JSON format.
func returned(contentType string, body []byte) (*header, []byte) {
	h := &header{Kind: kindResult}
	text := bytes.TrimSpace(body)
	switch {
	case len(text) == 0, bytes.Equal(text, []byte("null")):
		return h, nil
	case !json.Valid(text):
		h.ContentType = "application/octet-stream"
		if media, _, err := mime.ParseMediaType(contentType); err == nil && media != typeJSON {
			h.ContentType = contentType
		}
		return h, body
	}
	h.ContentType = typeJSON
	if !bytes.Contains(text, []byte(`"specversion"`)) {
		return h, text
	}
	var attributes map[string]any
	var event struct {
		Data   json.RawMessage `json:"data"`
		Base64 []byte          `json:"data_base64"`
	}
	if json.Unmarshal(text, &attributes) != nil || json.Unmarshal(text, &event) != nil || attributes["specversion"] == nil || attributes["type"] == nil {
		return h, text
	}
	delete(attributes, "data")
	delete(attributes, "data_base64")
	h.Event, h.ContentType = attributes, ""
	if event.Base64 != nil {
		h.ContentType = "application/octet-stream"
		return h, event.Base64
	}
	if len(event.Data) > 0 {
		h.ContentType = typeJSON
	}
	return h, asText(attributes, event.Data)
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
func (a *awsAPI) failure(w http.ResponseWriter, r *http.Request) {
	c := a.take(r.PathValue("id"))
	if c == nil {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "there is no invocation of this id that waits for an answer")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		body = nil // what it was is lost; that it was an error is not
	}
	accept(w)
	c.answer <- awsAnswer{header: raised(r.Header.Get("Lambda-Runtime-Function-Error-Type"), body)}
}

// initFailure takes why the program cannot start.
func (a *awsAPI) initFailure(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		body = nil
	}
	accept(w)
	h := raised(r.Header.Get("Lambda-Runtime-Function-Error-Type"), body)
	select {
	case a.initial <- h.Type + ": " + h.Message:
	default: // it has been told
	}
}

// raised reads an error as AWS Lambda writes it. An error of type PermanentError,
// or one that says "permanent": true, comes again with each retry.
func raised(kind string, body []byte) *header {
	var e struct {
		ErrorType    string          `json:"errorType"`
		ErrorMessage string          `json:"errorMessage"`
		StackTrace   json.RawMessage `json:"stackTrace"`
		Permanent    bool            `json:"permanent"`
	}
	if json.Unmarshal(body, &e) != nil {
		e.ErrorMessage = string(body)
	}
	if e.ErrorType == "" {
		e.ErrorType = kind
	}
	if e.ErrorType == "" {
		e.ErrorType = "Error"
	}
	h := &header{Kind: kindError, Type: e.ErrorType, Message: e.ErrorMessage, Permanent: e.Permanent || e.ErrorType == "PermanentError"}
	if len(e.StackTrace) > 0 && string(e.StackTrace) != "null" {
		h.Stack = string(e.StackTrace)
	}
	return h
}

func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`+"\n") // a worker that is gone is seen elsewhere
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"errorType": kind, "errorMessage": message}) // likewise
}
