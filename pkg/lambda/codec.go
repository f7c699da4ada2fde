package lambda

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"reflect"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
	"github.com/brunovlucena/knative-lambda-operator/pkg/runtime"
)

const (
	typeJSON  = "application/json"
	typeBytes = "application/octet-stream"
)

var (
	eventType = reflect.TypeFor[event.Event]()
	rawType   = reflect.TypeFor[json.RawMessage]()
	bytesType = reflect.TypeFor[[]byte]()
	textType  = reflect.TypeFor[string]()
	anyType   = reflect.TypeFor[any]()
)

func badInput(format string, args ...any) error {
	return &runtime.HandlerError{Type: "InvalidRequest", Message: fmt.Sprintf(format, args...), BadInput: true}
}

// decode makes the handler's argument. It shares no memory with the body, which is
// used again when the handler has returned: what it started may go on.
func decode(own *invocationContext, t reflect.Type) (reflect.Value, error) {
	in := own.call.invocation
	switch t {
	case requestType:
		return reflect.ValueOf(RequestFrom(own)), nil
	case readerType:
		return reflect.ValueOf(bodyReader(in)), nil
	case eventType:
		e, err := cloudEvent(in)
		if err != nil {
			return reflect.Value{}, err
		}
		return reflect.ValueOf(*e), nil
	case reflect.PointerTo(eventType):
		e, err := cloudEvent(in)
		return reflect.ValueOf(e), err
	case bytesType, rawType:
		return reflect.ValueOf(slices.Clone(in.Body)).Convert(t), nil
	}
	value := reflect.New(t)
	if len(in.Body) == 0 {
		return value.Elem(), nil
	}
	if in.ContentType == typeJSON { // the usual case
		return value.Elem(), decodeJSON(typeJSON, in.Body, value)
	}
	media, parameters, err := mime.ParseMediaType(in.ContentType)
	if err != nil {
		media = in.ContentType
	}
	isText := strings.HasPrefix(media, "text/") || media == "application/xml"
	switch {
	case isText && (t == textType || t == anyType):
		text, err := runtime.DecodeText(in.Body, parameters["charset"])
		if err != nil {
			return value, badInput("the body is not the text that its content type %s announces: %v", in.ContentType, err)
		}
		value.Elem().Set(reflect.ValueOf(text))
	case media == typeJSON || strings.HasSuffix(media, "+json") || media == "" && t != anyType:
		return value.Elem(), decodeJSON(media, in.Body, value)
	case media == "" && json.Valid(in.Body), media == runtime.TypeForm && runtime.HoldsJSON(in.Body):
		return value.Elem(), decodeJSON(media, in.Body, value)
	case media == runtime.TypeForm && t == anyType:
		value.Elem().Set(reflect.ValueOf(decodeForm(string(in.Body))))
	case media == typeMultipart && t == anyType:
		form, err := decodeMultipart(in.Body, parameters["boundary"])
		if err != nil {
			return value, err
		}
		value.Elem().Set(reflect.ValueOf(form))
	case t == anyType:
		value.Elem().Set(reflect.ValueOf(slices.Clone(in.Body)))
	default:
		return value, badInput("the handler takes %v, which is read from JSON; the content type is %s", t, media)
	}
	return value.Elem(), nil
}

func decodeJSON(media string, body []byte, value reflect.Value) error {
	body, err := ceio.Text(body)
	if err == nil {
		err = json.Unmarshal(body, value.Interface())
	}
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mismatch) || json.Valid(body):
		return badInput("the body is not what the handler takes, %v: %v", value.Type().Elem(), err)
	case media == "":
		return badInput("the body is not the JSON that the handler takes: %v", err)
	}
	return badInput("the body is not the JSON that its content type %s announces: %v", media, err)
}

func encodeJSON(v any) (*runtime.Result, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("the handler returned a value of type %T that cannot be written as JSON: %w", v, err)
	}
	return &runtime.Result{ContentType: typeJSON, Body: bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))}, nil
}

func encodeEvent(e *event.Event) (*runtime.Result, error) {
	for field, err := range e.FieldErrors {
		return nil, fmt.Errorf("the handler returned a CloudEvent that is not valid: attribute %q: %w", strings.TrimPrefix(field, "extension:"), err)
	}
	return &runtime.Result{Event: runtime.Attributes(e), ContentType: e.DataContentType(), Body: e.Data()}, nil
}
