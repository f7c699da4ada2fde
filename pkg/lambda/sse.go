package lambda

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ServerSentEvent is an item of an iter.Seq2[ServerSentEvent, error], whose content type is
// text/event-stream.
type ServerSentEvent struct {
	Event, ID string
	Retry     time.Duration // in whole milliseconds
	Data      any           // a string, or a value that is sent as JSON
}

// text of the event, as the HTML standard has it.
func (e ServerSentEvent) text() ([]byte, error) {
	var b strings.Builder
	for _, field := range []struct{ name, value string }{{"event", e.Event}, {"id", e.ID}} {
		if strings.ContainsAny(field.value, "\r\n\x00") {
			return nil, fmt.Errorf("the handler returned a server-sent event with the %s %.100q, expected one line", field.name, field.value)
		}
		if field.value != "" {
			b.WriteString(field.name + ": " + field.value + "\n")
		}
	}
	if e.Retry > 0 {
		b.WriteString("retry: " + strconv.FormatInt(e.Retry.Milliseconds(), 10) + "\n")
	}
	data, ok := e.Data.(string)
	if !ok {
		result, err := encodeJSON(e.Data)
		if err != nil {
			return nil, err
		}
		data = string(result.Body)
	}
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data), "\n") {
		b.WriteString("data: " + line + "\n")
	}
	b.WriteString("\n")
	return []byte(b.String()), nil
}
