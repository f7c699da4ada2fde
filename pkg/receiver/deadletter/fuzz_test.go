package deadletter_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

// FuzzAnnotate: whatever a letter says of its failure, what is kept of that is bounded,
// and the letter stays a valid event.
func FuzzAnnotate(f *testing.F) {
	f.Add("422", "eyJ0eXBlIjoiVmFsdWVFcnJvciIsIm1lc3NhZ2UiOiJubyJ9", "http://f", "1")
	f.Add("-1", "plain words", "", "many")
	f.Add("", "\x00\xff", strings.Repeat("é", 3000), "")
	f.Fuzz(func(t *testing.T, code, data, dest, attempts string) {
		for _, text := range []string{code, data, dest, attempts} {
			if !utf8.ValidString(text) { // no transport brings it
				return
			}
		}
		e := newEvent("1", map[string]any{"knativeerrorcode": code, "knativeerrordata": data, "knativeerrordest": dest, "lambdaattempts": attempts})
		start := time.Now()
		deadletter.Annotate(e, now)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("it takes %s", took)
		}
		if err := e.Validate(); err != nil {
			t.Errorf("it is no event any more: %v", err)
		}
		if reason, _ := e.Extensions()["lambdaerrorreason"].(string); utf8.RuneCountInString(reason) > 1024 {
			t.Errorf("the reason has %d characters", utf8.RuneCountInString(reason))
		}
	})
}
