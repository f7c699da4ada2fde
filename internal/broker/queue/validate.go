package queue

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// MaxName is the length of a queue's name, a key or a header's name at most, in
	// bytes. AMQP clients cut a longer one off without an error.
	MaxName = 255
	// MaxKeys of a message.
	MaxKeys = 4
	// MaxHeaders is the size of all headers at most, in bytes. It leaves room for what
	// the event plane adds to 64 KiB of attributes: headers travel in one frame of
	// 128 KiB, and a larger one closes the connection.
	MaxHeaders = 96 << 10
	// MaxPrefetch of a consumer.
	MaxPrefetch = 65535
)

// ErrSettled is returned by Ack and Return of a delivery that was settled before.
var ErrSettled = errors.New("the delivery was already acknowledged or returned")

// ValidateName of a queue or a key.
func ValidateName(what, name string) error {
	if name == "" {
		return fmt.Errorf("%s: the name is empty", what)
	}
	if len(name) > MaxName {
		return fmt.Errorf("%s %.40q…: the name has %d bytes; the limit is %d", what, name, len(name), MaxName)
	}
	return nil
}

// ValidateKeys of a message.
func ValidateKeys(keys []string) error {
	if len(keys) == 0 || len(keys) > MaxKeys {
		return fmt.Errorf("the message has %d keys; expected 1 to %d", len(keys), MaxKeys)
	}
	for _, key := range keys {
		if err := ValidateName("key", key); err != nil {
			return err
		}
	}
	return nil
}

// Validate says whether every implementation can store the message as it is.
func (m *Message) Validate() error {
	size := 0
	for name, value := range m.Headers {
		if err := validateHeader(name); err != nil {
			return err
		}
		n, err := sizeOf(value)
		if err != nil {
			return fmt.Errorf("header %q: %w", name, err)
		}
		size += len(name) + n
	}
	if size > MaxHeaders {
		return fmt.Errorf("the headers have %d bytes; the limit is %d", size, MaxHeaders)
	}
	return nil
}

// validateHeader refuses names by which a message would route itself, and those that
// RabbitMQ keeps for its own headers.
func validateHeader(name string) error {
	if err := ValidateName("header", name); err != nil {
		return err
	}
	if name == "CC" || name == "BCC" || strings.HasPrefix(name, "x-") {
		return fmt.Errorf("header %q: the name is reserved for the message broker", name)
	}
	return nil
}

func sizeOf(value any) (int, error) {
	const fixed = 8
	switch v := value.(type) {
	case string:
		return len(v), nil
	case []byte:
		return len(v), nil
	case bool, int32, int64, float64, time.Time:
		return fixed, nil
	}
	return 0, fmt.Errorf("a value of type %T cannot be stored", value)
}

// Validate the arguments of a consumer.
func (c *Consumer) Validate() error {
	if err := ValidateName("queue", c.Queue); err != nil {
		return err
	}
	if c.Handler == nil {
		return fmt.Errorf("consumer of queue %s: no handler", c.Queue)
	}
	if c.Prefetch < 1 || c.Prefetch > MaxPrefetch {
		return fmt.Errorf("consumer of queue %s: prefetch is %d; expected 1 to %d", c.Queue, c.Prefetch, MaxPrefetch)
	}
	return nil
}

// Validate the name and kind of a queue.
func (d *Declaration) Validate() error {
	switch d.Kind {
	case "", Quorum, Classic:
		if d.MaxAge != 0 || d.MaxBytes != 0 {
			return fmt.Errorf("queue %s: only a stream has bounds of its own", d.Name)
		}
	case Stream:
		if d.MaxAge < time.Second || d.MaxBytes <= 0 || d.Ordered {
			return fmt.Errorf("stream %s: expected a bound of its age and its bytes, and no order of consumers", d.Name)
		}
	default:
		return fmt.Errorf("queue %s: kind %q is unknown; expected %s, %s or %s", d.Name, d.Kind, Quorum, Classic, Stream)
	}
	return ValidateName("queue", d.Name)
}
