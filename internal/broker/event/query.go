package event

import (
	"fmt"
	"net/url"
	"strings"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
)

// queryPrefix begins the parameters of a query that are attributes, as it does the
// headers of the HTTP binding.
const queryPrefix = "ce-"

// Query sets the attributes of all events that a sender posts with it. It is for senders
// that cannot choose them, such as PingSources.
func Query(src, typ, subj string) string {
	return url.Values{queryPrefix + source: {src}, queryPrefix + eventType: {typ}, queryPrefix + subject: {subj}}.Encode()
}

// SetByQuery sets the attributes of an event that the query of its request names. Other
// parameters are the sender's own. The error is an *AttributeError.
func SetByQuery(e *cloudevents.Event, query string) error {
	if !strings.Contains(query, queryPrefix) {
		return nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return &AttributeError{queryPrefix, fmt.Sprintf("the query cannot be read: %v", err)}
	}
	setters := map[string]func(string) error{source: e.Context.SetSource, eventType: e.Context.SetType, subject: e.Context.SetSubject}
	for parameter, all := range values {
		name, ok := strings.CutPrefix(parameter, queryPrefix)
		if !ok {
			continue
		}
		set := setters[name]
		switch {
		case set == nil:
			return &AttributeError{name, "a query sets source, type and subject only"}
		case len(all) > 1 || strings.TrimSpace(all[0]) == "":
			return &AttributeError{name, "a query sets it once, and not to nothing"}
		}
		if err := set(all[0]); err != nil {
			return &AttributeError{name, err.Error()}
		}
	}
	return nil
}
