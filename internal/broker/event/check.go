package event

import (
	"fmt"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

const (
	// MaxName is the length of an attribute's name in bytes: AMQP has no longer ones.
	MaxName = 128
	// MaxAttributes is the length in bytes of the attributes that a sender may set.
	MaxAttributes = 64 << 10
	// MaxHeaders is the length in bytes of all headers of a message. It leaves room for
	// what the event plane adds to the attributes, such as the reason of a failed delivery.
	MaxHeaders = queue.MaxHeaders

	// overhead of a header in a frame: the lengths of its name and value, and its type.
	overhead = 6
)

// AttributeError is why an event cannot be stored.
type AttributeError struct {
	Attribute, Reason string
}

func (e *AttributeError) Error() string { return "attribute " + clip(e.Attribute) + ": " + e.Reason }

// clip keeps a name of the sender's from filling a response or a log line.
func clip(name string) string {
	if len(name) <= MaxName {
		return name
	}
	return name[:MaxName] + "…"
}

// CheckSize of an encoded event: the attributes leave room for what is added on its way.
// The error is an *AttributeError.
func CheckSize(m *queue.Message) error { return checkSize(m.Headers, MaxAttributes) }

func checkSize(headers map[string]any, limit int) error {
	n := sizeOf(headers)
	if n <= limit {
		return nil
	}
	return &AttributeError{
		largest(headers), fmt.Sprintf("the attributes have %d bytes in total, of %d at most; this one is the largest", n, limit),
	}
}

// CheckName of an attribute. The error is an *AttributeError.
func CheckName(name string) error {
	switch {
	case len(name) > MaxName:
		return &AttributeError{name, fmt.Sprintf("the name has %d bytes, of %d at most", len(name), MaxName)}
	case !validName(name):
		return &AttributeError{name, "names of attributes consist of a to z and 0 to 9"}
	}
	return nil
}

func validName(name string) bool {
	return name != "" && len(name) <= MaxName && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

func sizeOf(headers map[string]any) (n int) {
	for name, value := range headers {
		n += len(name) + lengthOf(value) + overhead
	}
	return n
}

func lengthOf(value any) int {
	switch v := value.(type) {
	case string:
		return len(v)
	case []byte:
		return len(v)
	}
	return 8
}

// largest of the headers, the first by name of equally long ones.
func largest(headers map[string]any) (name string) {
	most := -1
	for n, value := range headers {
		if length := len(n) + lengthOf(value); length > most || length == most && n < name {
			name, most = n, length
		}
	}
	if name == contentType {
		return dataContentType
	}
	return name
}
