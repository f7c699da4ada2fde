package v1alpha1

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestDurationKeepsWhatIsNone(t *testing.T) {
	var runtime FunctionRuntime
	if err := json.Unmarshal([]byte(`{"timeout":"soon"}`), &runtime); err != nil {
		t.Fatal("text that is no duration must be decoded, so that validation can name its field:", err)
	}
	if got := runtime.Timeout.Value(); got != 0 {
		t.Errorf("Value() = %v of what is no duration, want 0", got)
	}
	err := checkDuration(*runtime.Timeout, time.Second, time.Hour, "runtime.timeout")
	if want := "invalid value: soon: runtime.timeout\nexpected a duration such as 90s or 5m"; err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
}

func TestDurationBounds(t *testing.T) {
	for text, want := range map[string]string{
		"1s": "", "90s": "", "1h": "", "59m59.9s": "",
		"999ms": "expected 1s <= 999ms <= 1h0m0s", "2h": "expected 1s <= 2h0m0s <= 1h0m0s", "-5s": "expected 1s <= -5s <= 1h0m0s",
		"60": "invalid value: 60", "": "invalid value: ", "5 minutes": "invalid value: 5 minutes",
	} {
		err := checkDuration(Duration(text), time.Second, time.Hour, "f")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("checkDuration(%q) = %v, want %q", text, err, want)
		}
	}
	if got := *NewDuration(90 * time.Second); got != "1m30s" || got.Value() != 90*time.Second {
		t.Errorf("NewDuration(90s) = %q of %v", got, got.Value())
	}
}
