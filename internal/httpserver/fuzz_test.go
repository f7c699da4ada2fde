package httpserver

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
	"unicode"
)

// FuzzReadEvent: whatever a sender posts is one valid event without control characters,
// or is refused with a status that says whose fault it is, within a second, and holds
// nothing of the budget afterwards.
func FuzzReadEvent(f *testing.F) {
	f.Add("application/cloudevents+json", "", []byte(`{"specversion":"1.0","id":"1","type":"t","source":"/s","data":{}}`))
	f.Add("application/cloudevents+json", "", []byte(`{"specversion":"0.3","id":"1","type":"t","source":"/s","data_base64":"AA=="}`))
	f.Add("application/cloudevents+json", "", []byte(`{"specversion":"1.0","id":"1","type":"x","source":"/s","data_base64":5}`))
	f.Add("application/cloudevents+json; charset=utf-16", "", bytes.Repeat([]byte(`{"a":[`), 20_000))
	f.Add("text/plain", "a%0Ab", []byte("x"))
	f.Add("application/json", "1", []byte{0xff, 0})
	f.Add("application/cloudevents-batch+json", "", []byte("[]"))
	f.Fuzz(func(t *testing.T, media, id string, body []byte) {
		const limit = 1 << 20
		budget := NewBudget(2*limit, 2*limit)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", media)
		if id != "" {
			for name, value := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": id, "Ce-Type": "t", "Ce-Source": "/s"} {
				r.Header.Set(name, value)
			}
		}
		start := time.Now()
		e, release, err := ReadEvent(httptest.NewRecorder(), r, limit, budget, "a")
		if err == nil {
			err = CheckAttributes(e)
			release()
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%d bytes took %v", len(body), took)
		}
		if budget.Used() != 0 {
			t.Errorf("%d bytes stay reserved", budget.Used())
		}
		var refused *EventError
		switch {
		case err == nil:
			if invalid := e.Validate(); invalid != nil {
				t.Errorf("an event was taken that is not valid: %v", invalid)
			}
			for _, c := range e.ID() + e.Type() + e.Source() + e.Subject() {
				if unicode.IsControl(c) {
					t.Errorf("an attribute has %q", c)
				}
			}
		case !errors.As(err, &refused):
			t.Errorf("err = %v, want an *EventError", err)
		case refused.Status != http.StatusBadRequest && refused.Status != http.StatusRequestEntityTooLarge && refused.Status != http.StatusUnsupportedMediaType:
			t.Errorf("status = %d for %q", refused.Status, refused.Message)
		}
	})
}
