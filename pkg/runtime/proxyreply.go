package runtime

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// proxyKeys are those of the shape that AWS Lambda answers HTTP with.
var proxyKeys = map[string]bool{"statusCode": true, "statusDescription": true, "headers": true, "multiValueHeaders": true, "cookies": true,
	"body": true, "isBase64Encoded": true}

// proxyReply is that shape.
type proxyReply struct {
	StatusCode        int                          `json:"statusCode"`
	Headers           map[string]json.RawMessage   `json:"headers"`
	MultiValueHeaders map[string][]json.RawMessage `json:"multiValueHeaders"`
	Cookies           []string                     `json:"cookies"`
	Body              *string                      `json:"body"`
	IsBase64Encoded   bool                         `json:"isBase64Encoded"`
}

// ProxyReply is the HTTP reply that a JSON value describes in the shape of AWS Lambda. It
// is nil for other values: those without a whole number as statusCode, and, as data may
// have a field of that name, those with other keys, unless the handler was called by a
// payload. Its error is a *HandlerError.
func ProxyReply(value []byte, payload bool) (*Result, error) {
	if !bytes.Contains(value, []byte(`"statusCode"`)) {
		return nil, nil //nolint:nilnil // see above
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(value, &fields) != nil {
		return nil, nil //nolint:nilnil,nilerr // see above
	}
	if _, err := strconv.Atoi(string(fields["statusCode"])); err != nil {
		return nil, nil //nolint:nilnil,nilerr // see above
	}
	for name := range fields {
		if !payload && !proxyKeys[name] {
			return nil, nil //nolint:nilnil // see above
		}
	}
	return ProxyHead(value)
}

// ProxyHead is the HTTP reply that such a value describes, whatever else it has.
func ProxyHead(value []byte) (*Result, error) {
	var reply proxyReply
	if err := json.Unmarshal(value, &reply); err != nil {
		return nil, wrongProxyReply(err.Error())
	}
	h := make(http.Header, len(reply.Headers)+len(reply.MultiValueHeaders))
	for name, value := range reply.Headers {
		addRaw(h, name, value)
	}
	for name, values := range reply.MultiValueHeaders {
		h.Del(name) // both have it, usually
		for _, value := range values {
			addRaw(h, name, value)
		}
	}
	for _, cookie := range reply.Cookies {
		h.Add("Set-Cookie", cookie)
	}
	result := &Result{Status: reply.StatusCode, Header: h, ContentType: h.Get("Content-Type")}
	h.Del("Content-Type")
	if reply.Body == nil || *reply.Body == "" {
		return result, nil
	}
	if result.Body = []byte(*reply.Body); reply.IsBase64Encoded {
		body, err := base64.StdEncoding.DecodeString(*reply.Body)
		if err != nil {
			return nil, wrongProxyReply("isBase64Encoded and a body that is not base64")
		}
		result.Body = body
	}
	if result.ContentType == "" {
		result.ContentType = typeJSON
	}
	return result, nil
}

// addRaw adds a header whose value is a text, a number or a truth value.
func addRaw(h http.Header, name string, value json.RawMessage) {
	var text string
	if json.Unmarshal(value, &text) != nil {
		text = string(value)
	}
	if string(value) != "null" {
		h.Add(name, text)
	}
}

func wrongProxyReply(why string) error {
	return &HandlerError{Type: "InvalidReply",
		Message: fmt.Sprintf("the handler returned a reply with statusCode that is not of the shape of AWS Lambda: %s", why)}
}
