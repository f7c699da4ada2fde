package delivery

import (
	"math"
	"net/http"
	"testing"
	"time"

	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
)

func spec(retries int32, policy eventingduckv1.BackoffPolicyType, delay string) *eventingduckv1.DeliverySpec {
	return &eventingduckv1.DeliverySpec{Retry: &retries, BackoffPolicy: &policy, BackoffDelay: &delay}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	const linear, exponential = eventingduckv1.BackoffPolicyLinear, eventingduckv1.BackoffPolicyExponential
	short, zero := "PT2S", "PT0S"
	capped, ignored := spec(3, linear, "PT1S"), spec(3, linear, "PT1S")
	capped.RetryAfterMax, ignored.RetryAfterMax = &short, &zero
	for name, tt := range map[string]struct {
		spec       *eventingduckv1.DeliverySpec
		failed     int
		retryAfter time.Duration
		want       time.Duration
	}{
		"no spec":                         {nil, 1, 0, 0},
		"linear begins with 0":            {spec(3, linear, "PT1S"), 1, 0, 0},
		"linear, second":                  {spec(3, linear, "PT1S"), 2, 0, time.Second},
		"linear, third":                   {spec(3, linear, "PT1S"), 3, 0, 2 * time.Second},
		"linear, at the cap":              {spec(3, linear, "PT1S"), 10_000, 0, MaxBackoff},
		"linear, overflow":                {spec(3, linear, "PT1H"), math.MaxInt32, 0, MaxBackoff},
		"exponential, first":              {spec(3, exponential, "PT0.2S"), 1, 0, 200 * time.Millisecond},
		"exponential, fourth":             {spec(3, exponential, "PT0.2S"), 4, 0, 1600 * time.Millisecond},
		"exponential, Knative's overflow": {spec(3, exponential, "PT1S"), 35, 0, MaxBackoff},
		"exponential, any number":         {spec(3, exponential, "PT1S"), math.MaxInt32, 0, MaxBackoff},
		"exponential of 0":                {spec(3, exponential, "PT0S"), 2_000, 0, 0},
		"a delay over the cap":            {spec(3, exponential, "P1D"), 1, 0, MaxBackoff},
		"Retry-After":                     {spec(3, linear, "PT1S"), 1, time.Minute, time.Minute},
		"Retry-After, shorter":            {spec(3, linear, "PT10S"), 3, time.Second, 20 * time.Second},
		"Retry-After, over 5 min":         {nil, 1, time.Hour, 5 * time.Minute},
		"Retry-After, over retryAfterMax": {capped, 1, time.Minute, 2 * time.Second},
		"Retry-After, switched off":       {ignored, 2, time.Minute, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := PolicyOf(tt.spec)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Backoff(tt.failed, tt.retryAfter); got != tt.want {
				t.Errorf("Backoff(%d, %s) = %s, want %s", tt.failed, tt.retryAfter, got, tt.want)
			}
		})
	}
}

func TestPolicyOf(t *testing.T) {
	t.Parallel()
	long, wrong := "PT1H", "soon"
	p, err := PolicyOf(&eventingduckv1.DeliverySpec{Timeout: &long})
	if err != nil || p.RequestTimeout() != MaxTimeout {
		t.Errorf("a timeout of 1 h is %s, %v; want %s", p.RequestTimeout(), err, MaxTimeout)
	}
	if p.Exhausted(0) || !p.Exhausted(1) {
		t.Error("without retries one attempt is made")
	}
	if p := (Policy{Retries: 2}); p.Exhausted(2) || !p.Exhausted(3) {
		t.Error("two retries make three attempts")
	}
	if _, err := PolicyOf(&eventingduckv1.DeliverySpec{Timeout: &wrong}); err == nil {
		t.Error("a timeout that is no duration is accepted")
	}
}

func TestRetryAfterOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, tt := range map[string]struct {
		status int
		header string
		want   time.Duration
	}{
		"seconds":           {429, "7", 7 * time.Second},
		"date":              {503, now.Add(time.Minute).Format(http.TimeFormat), time.Minute},
		"past":              {503, now.Add(-time.Minute).Format(http.TimeFormat), 0},
		"negative":          {503, "-5", 0},
		"for ever":          {503, "999999999999", MaxBackoff},
		"none":              {503, "", 0},
		"text":              {503, "soon", 0},
		"of another status": {500, "7", 0},
	} {
		response := &http.Response{StatusCode: tt.status, Header: http.Header{"Retry-After": {tt.header}}}
		if got := retryAfterOf(response, now); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}
