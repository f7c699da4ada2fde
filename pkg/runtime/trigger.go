package runtime

import (
	"net/http"
	"sync"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// maxTriggers whose queries are kept parsed; a function has 64 at most.
const maxTriggers = 256

// trigger is what the URL of a request says of the Trigger that it came by.
type trigger struct {
	events.Subscriber
	filters Filters // none let every event pass
}

// none is of requests that came by no Trigger.
var none = &trigger{}

// triggers are what the queries of Triggers' subscribers say, by their text. Only those
// that are signed with the key are kept, so that callers cannot fill it.
type triggers struct {
	key    string
	lock   sync.RWMutex
	parsed map[string]*trigger
}

// of returns what a query says. A private one that the operator has not made is refused
// before anything of it is parsed: filters cost time, and what is said of failures has
// the runtime write dead letters.
func (t *triggers) of(query string) (*trigger, *problem) {
	if !events.Private(query) {
		return none, nil
	}
	t.lock.RLock()
	known := t.parsed[query]
	t.lock.RUnlock()
	if known != nil {
		return known, nil
	}
	said, ok := events.VerifySubscriber(query, t.key)
	if !ok {
		return none, badRequest(http.StatusForbidden, "the query parameters lambdafilters, lambdapermanent, lambdatrigger, lambdamaxattempts, lambdaretrywindow and lambdasignature are reserved for Triggers of the operator, and this query has no valid signature: call the function without them")
	}
	parsed := &trigger{Subscriber: said}
	if said.Filters != "" {
		var err error
		if parsed.filters, err = ParseFilters(said.Filters); err != nil { // a fault of the operator, not of the event: the broker keeps it
			return none, badRequest(http.StatusInternalServerError, events.FiltersQuery+" of the URL: "+err.Error())
		}
	}
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.parsed == nil || len(t.parsed) >= maxTriggers {
		t.parsed = map[string]*trigger{}
	}
	t.parsed[query] = parsed
	return parsed, nil
}
