// Package ceio reads CloudEvents that others wrote. The CloudEvents SDK panics on some
// malformed events, such as one whose data_base64 is a number, and a sender must not be
// able to stop a process: use this package in place of binding.ToEvent and of UnmarshalJSON.
package ceio

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
)

// Read the one event of a message, such as an HTTP request or response. The event is
// valid by the specification of CloudEvents. An error of reading the body is wrapped.
func Read(ctx context.Context, message binding.MessageReader) (e *event.Event, err error) {
	defer recovered(&e, &err)
	if e, err = binding.ToEvent(ctx, message); err != nil {
		return nil, err
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
	var read event.Event
	if err = read.UnmarshalJSON(text); err != nil {
		return nil, err
	}
	if err = read.Validate(); err != nil {
		return nil, err
	}
	return &read, nil
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
