package events

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"
)

// TestSubscriber: the runtime reads what the controller says, and counts nothing where
// it is not said whole.
func TestSubscriber(t *testing.T) {
	whole := Subscriber{Filters: `[[{"exact":{"a":"b & c"}}]]`, Permanent: PermanentDeadLetter, Trigger: "orders", MaxAttempts: 6, RetryWindow: 90 * time.Second}
	for query, want := range map[string]Subscriber{
		"":                                    {},
		"x=y":                                 {},
		whole.Query():                         whole,
		(Subscriber{Filters: "[]"}).Query():   {Filters: "[]"},
		"lambdapermanent=retry":               {Permanent: PermanentRetry},
		"lambdatrigger=t&lambdamaxattempts=3": {},
		"lambdatrigger=t&lambdamaxattempts=0&lambdaretrywindow=1m":    {},
		"lambdatrigger=t&lambdamaxattempts=-1&lambdaretrywindow=1m":   {},
		"lambdatrigger=t&lambdamaxattempts=many&lambdaretrywindow=1m": {},
		"lambdatrigger=t&lambdamaxattempts=3&lambdaretrywindow=long":  {},
		"lambdatrigger=t&lambdamaxattempts=3&lambdaretrywindow=0s":    {},
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got := ParseSubscriber(values); got != want {
			t.Errorf("%s is read as %+v, want %+v", query, got, want)
		}
	}
}

// TestRetried: as kncloudevents.SelectiveRetry of Knative Eventing has it.
func TestRetried(t *testing.T) {
	but := []int{http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests}
	for status := 200; status < 600; status++ {
		if got, want := Retried(status), status >= 500 || slices.Contains(but, status); got != want {
			t.Errorf("an answer of %d is tried again: %t, want %t", status, got, want)
		}
	}
}
