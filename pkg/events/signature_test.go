package events

import (
	"strings"
	"testing"
	"time"
)

func TestVerifySubscriber(t *testing.T) {
	whole := Subscriber{Filters: `[[{"exact":{"a":"b & c"}}]]`, Permanent: PermanentDeadLetter, Trigger: "orders", MaxAttempts: 6, RetryWindow: 90 * time.Second}
	query := whole.Query()
	signed := Sign(query, "key")
	for name, tt := range map[string]struct {
		query, key string
		want       bool
	}{
		"signed":                       {signed, "key", true},
		"signed with two keys, first":  {Sign(query, "key", "old"), "key", true},
		"signed with two keys, second": {Sign(query, "key", "old"), "old", true},
		"signed with another key":      {Sign(query, "other"), "key", false},
		"not signed":                   {query, "key", false},
		"no key":                       {Sign(query, ""), "", false},
		"empty code":                   {query + "&lambdasignature=", "key", false},
		"the beginning of a code":      {signed[:len(signed)-1], "key", false},
		"something after it":           {signed + "&lambdapermanent=retry", "key", false},
		"something before it":          {"lambdapermanent=retry&" + signed, "key", false},
		"another query's code":         {"lambdapermanent=retry" + strings.TrimPrefix(signed, query), "key", false},
		"a code alone":                 {strings.TrimPrefix(signed, query+"&"), "key", false},
	} {
		got, ok := VerifySubscriber(tt.query, tt.key)
		if ok != tt.want {
			t.Errorf("%s: verified is %v, want %v", name, ok, tt.want)
		}
		if ok && got != whole {
			t.Errorf("%s: %+v, want %+v", name, got, whole)
		}
	}
	if got := Sign("", "key"); got != "" {
		t.Errorf("an empty query is signed: %q", got)
	}
}

func TestPrivate(t *testing.T) {
	for query, want := range map[string]bool{
		"": false, "a=b&c": false, "lambda=x": false, "q=lambdafilters": false, "q=lambdafilters=x": false, "lambdafilters2=x": false,
		"lambdafilters=[]": true, "lambdafilters": true, "a=b&lambdapermanent=retry": true, "lambdatrigger=": true,
		"lambdamaxattempts=1": true, "lambdaretrywindow=1m": true, "lambdasignature=x": true,
	} {
		if got := Private(query); got != want {
			t.Errorf("Private(%q) = %v, want %v", query, got, want)
		}
	}
}
