package failure_test

import (
	"strings"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/internal/failure"
)

// TestReason: what the function answered comes first, and then the status in words.
func TestReason(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code       int
		data, want string
	}{
		{500, `{"type":"ValueError","message":"bad"}`, "ValueError: bad"},
		{500, `{"type":"ValueError","message":"cut off \u00`, "ValueError: cut off"},
		{500, `{"message":"bad"}`, "bad"},
		{500, "plain\x1b text", "plain  text"},
		{503, "", "the answer was 503 Service Unavailable"},
		{599, "", "the answer was 599"},
		{failure.NoAnswer, "", "there was no answer"},
		{500, strings.Repeat("x", 2000), strings.Repeat("x", 1023) + "…"},
	} {
		if got := failure.Reason(tt.code, tt.data); got != tt.want {
			t.Errorf("Reason(%d, %.40q) = %.60q, want %.60q", tt.code, tt.data, got, tt.want)
		}
	}
	if e, ok := failure.Answered(`{"type":"T","message":"m","permanent":true}`); !ok || !e.Permanent {
		t.Errorf("Answered() = %+v, %v", e, ok)
	}
	if _, ok := failure.Answered(`{"other":1}`); ok {
		t.Error("an object without a message is an error of a function")
	}
}
