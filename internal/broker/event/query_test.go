package event

import (
	"errors"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
)

func pinged() *cloudevents.Event {
	e := cloudevents.New()
	e.SetID("1")
	e.SetSource("/ping")
	e.SetType("ping")
	return &e
}

func TestSetByQuery(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ query, source, eventType, subject, attribute string }{
		{"", "/ping", "ping", "", ""},
		{"token=x;y&flag", "/ping", "ping", "", ""}, // the sender's own
		{"ce-type=a.b", "/ping", "a.b", "", ""},
		{"token=x&ce-type=a.b", "/ping", "a.b", "", ""},
		{Query("a/b c", "d.e", "f&g=h"), "a/b%20c", "d.e", "f&g=h", ""},
		{"ce-type=%zz", "", "", "", "ce-"},
		{"ce-type=a;ce-type=b", "", "", "", "ce-"},
		{"ce-type=a&ce-type=b", "", "", "", "type"},
		{"ce-subject=", "", "", "", "subject"},
		{"ce-type=+", "", "", "", "type"},
		{"ce-source=%25zz", "", "", "", "source"},
		{"ce-id=2", "", "", "", "id"},
		{"ce-time=2026-01-01T00:00:00Z", "", "", "", "time"},
	} {
		e := pinged()
		err := SetByQuery(e, tt.query)
		var refused *AttributeError
		switch {
		case tt.attribute != "":
			if !errors.As(err, &refused) || refused.Attribute != tt.attribute {
				t.Errorf("%q: %v, want one about %q", tt.query, err, tt.attribute)
			}
		case err != nil:
			t.Errorf("%q: %v", tt.query, err)
		case e.Source() != tt.source || e.Type() != tt.eventType || e.Subject() != tt.subject || e.ID() != "1":
			t.Errorf("%q: %v", tt.query, e)
		}
	}
}

// FuzzSetByQuery: what was accepted is a valid event.
func FuzzSetByQuery(f *testing.F) {
	f.Add(Query("io.knative.lambda/function/team/greeter/schedules", "io.example.tick", "nightly"))
	f.Add("ce-source=%25zz&ce-type=+&ce-subject=%00")
	f.Fuzz(func(t *testing.T, query string) {
		e := pinged()
		if SetByQuery(e, query) == nil && e.Validate() != nil {
			t.Errorf("%q: %v", query, e.Validate())
		}
	})
}
