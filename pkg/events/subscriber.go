package events

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	SubscriberKeyVariable = "LAMBDA_SUBSCRIBER_KEY"

	FiltersQuery     = "lambdafilters"
	PermanentQuery   = "lambdapermanent"
	TriggerQuery     = "lambdatrigger"
	MaxAttemptsQuery = "lambdamaxattempts"
	RetryWindowQuery = "lambdaretrywindow"
	SignatureQuery   = "lambdasignature"
	GoneQuery        = "gone"
	BindingQuery     = "binding"

	PermanentDeadLetter = "dead-letter"
	PermanentRetry      = "retry"

	signature = "&" + SignatureQuery + "="
)

type Subscriber struct {
	Filters     string
	Permanent   string
	Trigger     string
	MaxAttempts int
	RetryWindow time.Duration
}

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

func ParseSubscriber(query url.Values) Subscriber {
	s := Subscriber{Filters: query.Get(FiltersQuery), Permanent: query.Get(PermanentQuery)}
	most, err := strconv.Atoi(query.Get(MaxAttemptsQuery))
	window, windowErr := time.ParseDuration(query.Get(RetryWindowQuery))
	if err == nil && windowErr == nil && most > 0 && window > 0 {
		s.Trigger, s.MaxAttempts, s.RetryWindow = query.Get(TriggerQuery), most, window
	}
	return s
}

func RetiredQuery(agent string) string { return url.Values{GoneQuery: {agent}}.Encode() }

func BoundQuery(binding string) string { return url.Values{BindingQuery: {binding}}.Encode() }

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

func VerifySubscriber(query, key string) (s Subscriber, ok bool) {
	signed, codes, _ := strings.Cut(query, signature)
	if key == "" || codes == "" {
		return s, false
	}
	for one := range strings.SplitSeq(codes, signature) {
		ok = hmac.Equal([]byte(one), []byte(code(signed, key))) || ok
	}
	if !ok {
		return s, false
	}
	values, err := url.ParseQuery(signed)
	return ParseSubscriber(values), err == nil
}

func code(query, key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(query))
	return hex.EncodeToString(mac.Sum(nil))
}
