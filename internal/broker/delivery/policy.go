package delivery

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	"knative.dev/eventing/pkg/kncloudevents"
)

const (
	// MaxBackoff caps every backoff. Knative's exponential one overflows after some 33
	// attempts.
	MaxBackoff = time.Hour
	// MaxTimeout of one request. RabbitMQ takes back what is in hand for 30 min.
	MaxTimeout = 15 * time.Minute
	// maxRetryAfter is the longest Retry-After that is honored without retryAfterMax.
	maxRetryAfter = 5 * time.Minute
)

// Policy says how often an event is delivered, and how long to wait in between. The zero
// value is one attempt of at most MaxTimeout.
type Policy struct {
	// Retries after the first attempt.
	Retries int
	// Timeout of an attempt.
	Timeout time.Duration

	// step is the first backoff that is not 0, and grow what follows it.
	step time.Duration
	grow eventingduckv1.BackoffPolicyType
	// retryAfter caps a Retry-After header; nil is maxRetryAfter.
	retryAfter *time.Duration
}

// PolicyOf returns the policy of a delivery spec, which may be nil. The error names the
// field that is not a duration.
func PolicyOf(spec *eventingduckv1.DeliverySpec) (Policy, error) {
	if spec == nil {
		return Policy{}, nil
	}
	config, err := kncloudevents.RetryConfigFromDeliverySpec(*spec)
	if err != nil {
		return Policy{}, fmt.Errorf("the delivery spec is not valid: %w", err)
	}
	p := Policy{Retries: config.RetryMax, Timeout: config.RequestTimeout, retryAfter: config.RetryAfterMaxDuration}
	if config.BackoffPolicy != nil && config.BackoffDelay != nil {
		p.grow = *config.BackoffPolicy
		switch p.grow {
		case eventingduckv1.BackoffPolicyLinear:
			p.step = config.Backoff(1, nil)
		case eventingduckv1.BackoffPolicyExponential:
			p.step = config.Backoff(0, nil)
		}
	}
	return p, nil
}

// RequestTimeout is the timeout of one attempt, at most MaxTimeout.
func (p Policy) RequestTimeout() time.Duration {
	if p.Timeout <= 0 || p.Timeout > MaxTimeout {
		return MaxTimeout
	}
	return p.Timeout
}

// Exhausted reports whether no retry is left after that many failed attempts.
func (p Policy) Exhausted(failed int) bool { return failed > p.Retries }

// Backoff is how long to wait after that many failed attempts, the last of which asked
// for retryAfter. A linear backoff begins with 0, as Knative's does.
func (p Policy) Backoff(failed int, retryAfter time.Duration) time.Duration {
	limit := maxRetryAfter
	if p.retryAfter != nil {
		limit = *p.retryAfter
	}
	return max(p.backoff(failed-1), min(retryAfter, limit))
}

// backoff before retry n, counted from 0.
func (p Policy) backoff(n int) time.Duration {
	if n < 0 || p.step <= 0 {
		return 0
	}
	factor := float64(n)
	if p.grow == eventingduckv1.BackoffPolicyExponential {
		factor = math.Exp2(float64(n))
	}
	// The product is a float, so that it cannot overflow.
	if product := float64(p.step) * factor; product < float64(MaxBackoff) {
		return time.Duration(product)
	}
	return MaxBackoff
}

// retryAfterOf a response: seconds or a date, and 0 if there is none, of responses that
// may have one.
func retryAfterOf(response *http.Response, now time.Time) time.Duration {
	if response.StatusCode != http.StatusTooManyRequests && response.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	text := response.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(seconds, 0), int(MaxBackoff/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), MaxBackoff)
	}
	return 0
}
