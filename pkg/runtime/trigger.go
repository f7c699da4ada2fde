package runtime

import (
	"net/http"
	"strings"
	"sync"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// maxTriggers whose filters are kept parsed; a function has 64 at most.
const maxTriggers = 256

// triggers are the filters that URLs of Triggers carry, by their text.
type triggers struct {
	lock   sync.RWMutex
	parsed map[string]Filters
}

// subscriber is what the URL of a request says of the Trigger that it came by.
func subscriber(r *http.Request) events.Subscriber {
	if !strings.Contains(r.URL.RawQuery, events.PermanentQuery) {
		return events.Subscriber{}
	}
	return events.ParseSubscriber(r.URL.Query())
}

// filters that the URL of a request carries; none let every event pass.
func (t *triggers) filters(r *http.Request) (Filters, *problem) {
	if !strings.Contains(r.URL.RawQuery, events.FiltersQuery) {
		return nil, nil
	}
	text := r.URL.Query().Get(events.FiltersQuery)
	if text == "" {
		return nil, nil
	}
	t.lock.RLock()
	filters, ok := t.parsed[text]
	t.lock.RUnlock()
	if ok {
		return filters, nil
	}
	filters, err := ParseFilters(text)
	if err != nil { // a fault of who made the Trigger, not of the event: it is not to be dropped
		return nil, badRequest(http.StatusInternalServerError, events.FiltersQuery+" of the URL: "+err.Error())
	}
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.parsed == nil || len(t.parsed) >= maxTriggers {
		t.parsed = map[string]Filters{}
	}
	t.parsed[text] = filters
	return filters, nil
}
