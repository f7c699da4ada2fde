package events

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"
)

// SubscriberKeyVariable is the environment variable of a function's container with the
// key that signs queries of its URL. Only the operator and the function have it.
const SubscriberKeyVariable = "LAMBDA_SUBSCRIBER_KEY"

// SignatureQuery is the query parameter that ends a query which the operator has made:
// a code of all that comes before it. There is one for each key while keys are rotated.
const SignatureQuery = "lambdasignature"

const signature = "&" + SignatureQuery + "="

// private are the query parameters that only the operator may set.
var private = map[string]bool{
	FiltersQuery: true, PermanentQuery: true, TriggerQuery: true, MaxAttemptsQuery: true, RetryWindowQuery: true, SignatureQuery: true,
}

// Sign returns the query with a code of it for each of the keys. An empty query stays
// empty.
func Sign(query string, keys ...string) string {
	if query == "" {
		return ""
	}
	signed := query
	for _, key := range keys {
		signed += signature + code(query, key)
	}
	return signed
}

// Private reports whether the query has a parameter that only the operator may set.
func Private(query string) bool {
	if !strings.Contains(query, "lambda") { // the usual case
		return false
	}
	for parameter := range strings.SplitSeq(query, "&") {
		if name, _, _ := strings.Cut(parameter, "="); private[name] {
			return true
		}
	}
	return false
}

// VerifySubscriber returns what a private query says, if one of its codes is that of the
// key. Nothing is parsed before that. An empty key verifies nothing.
func VerifySubscriber(query, key string) (s Subscriber, ok bool) {
	said, codes, _ := strings.Cut(query, signature)
	if key == "" || codes == "" {
		return s, false
	}
	want := code(said, key)
	for one := range strings.SplitSeq(codes, signature) {
		ok = hmac.Equal([]byte(one), []byte(want)) || ok
	}
	if !ok {
		return s, false
	}
	values, err := url.ParseQuery(said)
	return ParseSubscriber(values), err == nil
}

func code(query, key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(query))
	return hex.EncodeToString(mac.Sum(nil))
}
