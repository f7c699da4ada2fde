// Package ceio reads CloudEvents that others wrote. The CloudEvents SDK panics on some
// malformed events, such as one whose data_base64 is a number, and a sender must not be
// able to stop a process: use this package in place of binding.ToEvent and of UnmarshalJSON.
// It also decodes headers, and refuses numbers that CloudEvents has no type for, which
// the SDK cuts.
package ceio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// Read the one event of a message, such as an HTTP request or response. The event is
// valid by the specification of CloudEvents. An error of reading the body is wrapped.
func Read(ctx context.Context, message binding.MessageReader) (e *event.Event, err error) {
	defer recovered(&e, &err)
	m, isHTTP := message.(*cehttp.Message)
	switch {
	case isHTTP && message.ReadEncoding() == binding.EncodingStructured:
		text, err := io.ReadAll(m.BodyReader)
		if err != nil {
			return nil, err
		}
		return Unmarshal(text)
	case isHTTP:
		if err := checkHeader(m.Header); err != nil {
			return nil, err
		}
	}
	if e, err = binding.ToEvent(ctx, message); err != nil {
		return nil, err
	}
	if isHTTP {
		unescapeAttributes(e)
	}
	if err = e.Validate(); err != nil {
		return nil, err
	}
	return e, nil
}

// Unmarshal one event from the JSON format of CloudEvents. The event is valid by the
// specification of CloudEvents.
func Unmarshal(text []byte) (e *event.Event, err error) {
	defer recovered(&e, &err)
	if text, err = Text(text); err != nil {
		return nil, err
	}
	if err = checkJSON(text); err != nil {
		return nil, err
	}
	var read event.Event
	if err = read.UnmarshalJSON(text); err != nil {
		return nil, err
	}
	if err = read.Validate(); err != nil {
		return nil, err
	}
	return &read, nil
}

// Text of JSON: UTF-8, with or without a byte order mark, which is removed.
func Text(text []byte) ([]byte, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), nil
}

// oldVersion of CloudEvents in JSON, whose names the SDK does not bound.
const oldVersion = `"0.3"`

// checkJSON refuses attributes whose names or numbers CloudEvents does not know.
func checkJSON(text []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	for name, value := range fields {
		if name == "data" || name == "data_base64" {
			continue
		}
		if string(fields["specversion"]) != oldVersion {
			if err := checkName(name); err != nil {
				return err
			}
		}
		if first := value[0]; first != '-' && (first < '0' || first > '9') && first != '{' && first != '[' {
			continue // text, a truth value or null
		}
		if _, err := strconv.ParseInt(string(value), 10, 32); err != nil {
			return fmt.Errorf("attribute %q: expected text, a whole number of 32 bits or a truth value, got %.100s", name, value)
		}
	}
	return nil
}

// recovered turns a panic into an error.
func recovered(e **event.Event, err *error) {
	if p := recover(); p != nil {
		*e, *err = nil, fmt.Errorf("the event is malformed: %v", p)
	}
}

// binary is the content type of data that has none.
const binary = "application/octet-stream"

// SetBody makes an event's data of the body of a request or a response, with its bytes as
// they are. A content type that is none is that of any bytes.
func SetBody(e *event.Event, contentType string, body []byte) {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media, contentType = binary, binary
	}
	e.SetDataContentType(contentType)
	e.DataEncoded = body
	// The JSON format has the data as JSON or text, unless it is told to use base64.
	isJSON := media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
	e.DataBase64 = isJSON && !json.Valid(body) || !utf8.Valid(body)
}
