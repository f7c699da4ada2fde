package events

import (
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// FiltersQuery is the query parameter of a function's URL that carries filters of
// the CloudEvents Subscriptions API, as a JSON list of lists: a Trigger's subscriber
// has it where the broker cannot tell what the Trigger asks for. An event that does
// not match all filters of one of the lists is acknowledged and not handled.
const FiltersQuery = "lambdafilters"

// PermanentQuery is the query parameter of a function's URL that says what becomes
// of an event that another attempt would not help: a Trigger's subscriber has it
// where the broker takes an answer of 4xx for a delivery.
const PermanentQuery = "lambdapermanent"

// Values of PermanentQuery.
const (
	// PermanentDeadLetter has the function hand the event to its dead letter sink.
	PermanentDeadLetter = "dead-letter"
	// PermanentRetry has it answer 500, so that the broker itself gives up and
	// dead-letters the event.
	PermanentRetry = "retry"
)

// Query parameters of a function's URL by which its runtime knows the last attempt of
// a broker to deliver an event: the name of the Trigger, whose attempts are counted by
// themselves, how many there are, and how long they can take together.
const (
	TriggerQuery     = "lambdatrigger"
	MaxAttemptsQuery = "lambdamaxattempts"
	RetryWindowQuery = "lambdaretrywindow"
)

// Subscriber is what the URL of a Trigger's subscriber tells the function's runtime.
// Its zero value is nothing.
type Subscriber struct {
	Filters   string // a JSON list of lists
	Permanent string
	// Trigger, MaxAttempts and RetryWindow go together; without them the runtime does
	// not count attempts.
	Trigger     string
	MaxAttempts int
	RetryWindow time.Duration
}

// Query says it.
func (s Subscriber) Query() string {
	query := url.Values{}
	for name, value := range map[string]string{FiltersQuery: s.Filters, PermanentQuery: s.Permanent} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if s.MaxAttempts > 0 {
		query.Set(TriggerQuery, s.Trigger)
		query.Set(MaxAttemptsQuery, strconv.Itoa(s.MaxAttempts))
		query.Set(RetryWindowQuery, s.RetryWindow.String())
	}
	return query.Encode()
}

// ParseSubscriber reads a query. Attempts that it does not tell well are not counted.
func ParseSubscriber(query url.Values) Subscriber {
	s := Subscriber{Filters: query.Get(FiltersQuery), Permanent: query.Get(PermanentQuery)}
	most, err := strconv.Atoi(query.Get(MaxAttemptsQuery))
	window, windowErr := time.ParseDuration(query.Get(RetryWindowQuery))
	if err == nil && windowErr == nil && most > 0 && window > 0 {
		s.Trigger, s.MaxAttempts, s.RetryWindow = query.Get(TriggerQuery), most, window
	}
	return s
}

// Retried tells whether Knative's dispatchers try again after an answer of that status.
func Retried(status int) bool {
	switch status {
	case http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	}
	return status >= http.StatusInternalServerError
}

// GoneQuery is the query parameter of a dead letter sink's URL that a route of an agent
// leads to when the agent at its other end has gone: which one that was, as
// namespace/name.
const GoneQuery = "gone"

// RetiredQuery is a dead letter sink's query with the agent that has gone.
func RetiredQuery(agent string) string {
	return url.Values{GoneQuery: {agent}}.Encode()
}

// BindingQuery is the query parameter of a dead letter sink's URL that names the
// binding by which RabbitMQ itself puts each letter into the function's queue.
const BindingQuery = "binding"

// BoundQuery is a dead letter sink's query with the name of the binding.
func BoundQuery(binding string) string {
	return url.Values{BindingQuery: {binding}}.Encode()
}
