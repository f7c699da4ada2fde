package modelproxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/test/modelserver"
)

// TestBudget: what is used up is told with the time of the next window, in which the
// agent may go on.
func TestBudget(t *testing.T) {
	_, url := provider(t)
	now := time.Date(2026, 1, 1, 10, 20, 0, 0, time.UTC)
	proxy := proxied(t, `{"provider":"openai","endpoint":"`+url+`","model":"m","budget":{"tokens":40,"window":"1h"},"maxReplicas":2}`, func(s *Server) { s.budget.now = func() time.Time { return now } })
	spent := 0
	for {
		response, text := post(t, proxy+"/v1/chat/completions", hello)
		if response.StatusCode == http.StatusOK {
			if spent++; spent > 20 {
				t.Fatal("the budget is never used up")
			}
			continue
		}
		kind, message := toldError(t, text)
		if response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") != "2400" || kind != "budget_exhausted" ||
			!strings.HasSuffix(message, "the next window begins at 2026-01-01T11:00:00Z") {
			t.Errorf("status %d, Retry-After %s: %s", response.StatusCode, response.Header.Get("Retry-After"), text)
		}
		break
	}
	if spent == 0 || spent*6 > 20 { // each takes two tokens and four
		t.Errorf("%d calls were let pass, want no more than this replica's share", spent)
	}
	now = now.Add(40 * time.Minute)
	if response, text := post(t, proxy+"/v1/chat/completions", hello); response.StatusCode != http.StatusOK {
		t.Errorf("in the next window: status %d: %s", response.StatusCode, text)
	}
}

// TestBudgetSurvivesARestart of the container.
func TestBudgetSurvivesARestart(t *testing.T) {
	cfg := &Config{share: 100, window: time.Hour, StateDir: t.TempDir()}
	now := func() time.Time { return time.Unix(7200, 0) }
	b, err := newBudget(cfg, now)
	if err != nil {
		t.Fatal(err)
	}
	q := func() *call { return &call{operation: "chat", fields: map[string]json.RawMessage{}, output: 30} }
	r, ok := b.reserve(q())
	if !ok {
		t.Fatal("refused")
	}
	b.settle(r, 10)
	if _, ok := b.reserve(q()); !ok { // still runs at the crash
		t.Fatal("refused")
	}
	again, err := newBudget(cfg, now)
	if err != nil {
		t.Fatal(err)
	}
	if left, reserved := again.left(); left != 60 || reserved != 0 {
		t.Errorf("after a restart %d tokens are left and %d are reserved; want 60 and none", left, reserved)
	}
	later, err := newBudget(cfg, func() time.Time { return time.Unix(10800, 0) })
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := later.left(); left != 100 {
		t.Errorf("in the next window %d tokens are left, want all", left)
	}
}

// TestBudgetOfCallsAtOnce: however many run at once, they take no more than the budget
// and what the provider counts of their input beyond the estimate. A call that is
// refused for those that run is told so, and let pass when they have taken less.
func TestBudgetOfCallsAtOnce(t *testing.T) {
	const tokens, extra, calls = 100, 7, 12 // the input is estimated at 5
	var mu sync.Mutex
	taken, passed, bounds := 0, 0, int64(0)
	answer := make(chan struct{})
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Max int `json:"max_tokens"`
		}
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &q); err != nil {
			t.Error(err)
		}
		<-answer
		mu.Lock()
		defer mu.Unlock()
		taken, passed, bounds = taken+5+extra+q.Max, passed+1, bounds+int64(q.Max)
		fmt.Fprintf(w, `{"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}`, 5+extra, q.Max)
	}))
	defer h.Close()
	s := served(t, `{"provider":"openai-compatible","endpoint":"`+h.URL+`","model":"m","timeout":"20s","budget":{"tokens":100,"window":"1000h"},"maxReplicas":1}`)
	ask := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(strings.Replace(hello, "{", `{"max_tokens":25,`, 1))))
		return w
	}
	refused := make(chan *httptest.ResponseRecorder, calls)
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			if w := ask(); w.Code != http.StatusOK {
				refused <- w
			}
		})
	}
	// Three of 5+25 each, one that is bounded to the 5 that then are left, and no more.
	for range calls - 4 {
		w := <-refused
		_, message := toldError(t, w.Body.String())
		if w.Code != http.StatusTooManyRequests || !strings.HasSuffix(message, "of 100 tokens, what calls that still run do not take comes back when they end") {
			t.Errorf("%d: %s; want 429 and that tokens may come back", w.Code, message)
		}
	}
	close(answer)
	all.Wait()
	if passed != 4 || bounds != 80 || taken != tokens+4*extra {
		t.Errorf("%d calls took %d tokens, %d of them output; want 4, %d and 80", passed, taken, bounds, tokens+4*extra)
	}
	if w := ask(); w.Code != http.StatusTooManyRequests || strings.Contains(w.Body.String(), "still run") {
		t.Errorf("after all: %d: %s; want 429", w.Code, w.Body)
	}
}

// TestTokensComeBack: a call that fails or takes less than its bound leaves the rest.
func TestTokensComeBack(t *testing.T) {
	m, url := provider(t)
	s := served(t, `{"provider":"openai-compatible","endpoint":"`+url+`","model":"m","maxTokens":90,"budget":{"tokens":100,"window":"1000h"},"maxReplicas":1}`)
	for _, tt := range []struct {
		mode, body string
		left       int64
	}{
		{"", hello, 94}, // two words are asked, and four answered
		{"garbage", hello, 94},
		{"no-usage", hello, 94 - 5 - 10}, // three bytes are a token
		{"no-usage", asking(true), 79 - 5 - 7},
	} {
		m.Behave(modelserver.Behavior{Mode: tt.mode})
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(tt.body)))
		if left, reserved := s.budget.left(); left != tt.left || reserved != 0 {
			t.Errorf("after %s%s %d tokens are left, and %d are reserved; want %d: %s", tt.mode, tt.body, left, reserved, tt.left, w.Body)
		}
	}
}
