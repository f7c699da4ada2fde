package runtime

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// scrapeOpenMetrics scrapes as a Prometheus does that stores exemplars.
func scrapeOpenMetrics(t *testing.T, port int) (contentType, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(port)+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.Header.Get("Content-Type"), string(body)
}

// TestExemplars: a histogram names the trace of an invocation where that is sampled and
// exemplars are on, and only there.
func TestExemplars(t *testing.T) {
	const trace = "0af7651916cd43dd8448eb211c80319c"
	exemplar := regexp.MustCompile(`(?m)^lambda_invocation_duration_seconds_bucket\{.*\} [0-9]+ # \{(span_id="[0-9a-f]{16}",trace_id="` + trace + `"|trace_id="` + trace + `",span_id="[0-9a-f]{16}")\}`)
	for _, tt := range []struct {
		name, flags string
		on, want    bool
	}{
		{"sampled", "01", true, true},
		{"not sampled", "00", true, false},
		{"turned off", "01", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			port := freePort(t)
			f := start(t, "def handler(event, context):\n    return 1\n", func(s *settings) { s.MetricsPort, s.Exemplars = port, tt.on })
			f.sendEvent(t, `{}`, "Traceparent", "00-"+trace+"-b7ad6b7169203331-"+tt.flags)
			contentType, text := scrapeOpenMetrics(t, port)
			if open := strings.HasPrefix(contentType, "application/openmetrics-text"); open != tt.on {
				t.Errorf("the metrics are %s", contentType)
			}
			if got := exemplar.MatchString(text); got != tt.want || !tt.want && strings.Contains(text, trace) {
				t.Errorf("exemplar of the trace: %t, want %t, in\n%s", got, tt.want, text)
			}
			if !strings.Contains(text, "lambda_invocations_total{outcome=\"success\"} 1") {
				t.Errorf("the counter has another name in\n%s", text)
			}
		})
	}
}
