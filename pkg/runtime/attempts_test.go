package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// scripted is an Invoker that does as the data of the event says.
type scripted struct{ linked }

func (scripted) Invoke(_ context.Context, in *Invocation) (*Result, error) {
	switch what := string(in.Body); what {
	case "error":
		return nil, &HandlerError{Type: "ValueError", Message: "not today"}
	case "permanent":
		return nil, &HandlerError{Type: "PermanentError", Message: "for good", Permanent: true}
	case "busy":
		return nil, ErrBusy
	case "slow":
		return nil, TimedOut(time.Second)
	case "dead":
		return nil, ErrWorkerDied
	}
	return &Result{}, nil
}

// letterBox is a dead letter sink without a network.
type letterBox struct {
	mu     sync.Mutex
	away   time.Time // until then it takes nothing
	asked  int
	stored []http.Header
}

func (b *letterBox) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asked++; r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	if time.Now().Before(b.away) {
		return nil, errors.New("connection refused")
	}
	b.stored = append(b.stored, r.Header)
	return &http.Response{StatusCode: http.StatusAccepted, Body: http.NoBody, Request: r}, nil
}

// said is what the letters that are there say of their attempts and codes.
func (b *letterBox) said() (all []string) {
	for _, h := range b.stored {
		all = append(all, h.Get("Ce-Id")+" "+h.Get("Ce-Lambdaattempts")+" "+h.Get("Ce-Knativeerrorcode"))
	}
	return all
}

// withLetterBox is a server of scripted, and its sink.
func withLetterBox(t *testing.T) (*Server, *letterBox) {
	t.Helper()
	telemetry, err := StartTelemetry(t.Context(), &Config{}, lookup())
	if err != nil {
		t.Fatal(err)
	}
	s, box := NewServer(&Config{MaxBody: 1 << 20, EventSource: "/test", DeadLetterSink: "http://letters.test/", SubscriberKey: testKey}, scripted{}, telemetry), &letterBox{}
	s.letters.client.Transport = box
	return s, box
}

// three is a Trigger whose dispatcher makes three attempts.
var three = events.Subscriber{Permanent: events.PermanentDeadLetter, Trigger: "orders", MaxAttempts: 3, RetryWindow: time.Hour}

func attemptTo(ctx context.Context, s *Server, to, id, what string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/?"+to, strings.NewReader(what))
	for k, v := range map[string]string{"Content-Type": "text/plain", "Ce-Specversion": "1.0", "Ce-Id": id, "Ce-Type": "io.example.test", "Ce-Source": "/test"} {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// TestLastAttempts: an event is at the dead letter sink before the dispatcher hears that
// its last attempt failed, and only then. Attempts are "<id> <data>", where @ names
// another Trigger and ! a dispatcher that does not wait for the answer.
func TestLastAttempts(t *testing.T) {
	unknown := events.Subscriber{Permanent: events.PermanentDeadLetter}
	retry, bare := three, three
	retry.Permanent, bare.Permanent = events.PermanentRetry, ""
	for _, tt := range []struct {
		name     string
		to       string
		away     time.Duration
		attempts string
		want     []int
		letters  []string
		held     int
	}{
		{name: "the last of three", attempts: "a error, a error, a error", want: []int{500, 500, 422}, letters: []string{"a 3 500"}},
		{name: "and again", attempts: "a error, a error, a error, a error", want: []int{500, 500, 422, 500}, letters: []string{"a 3 500"}, held: 1},
		{name: "two events", attempts: "a error, b error, b error, a error, b error, a error", want: []int{500, 500, 500, 500, 422, 422}, letters: []string{"b 3 500", "a 3 500"}},
		{name: "two triggers", attempts: "a error, a@ error, a error, a@ error", want: []int{500, 500, 500, 500}, held: 2},
		{name: "success in between", attempts: "a error, a error, a fine, a error, a error", want: []int{500, 500, 204, 500, 500}, held: 1},
		{name: "success of another", attempts: "a error, a error, b fine, a@ fine, a error", want: []int{500, 500, 204, 204, 422}, letters: []string{"a 3 500"}},
		{name: "what the runtime answers itself", attempts: "a busy, a dead, a slow", want: []int{503, 500, 422}, letters: []string{"a 3 504"}},
		{name: "too many requests at last", attempts: "a error, a error, a busy", want: []int{500, 500, 422}, letters: []string{"a 3 503"}},
		{name: "a permanent error after others", attempts: "a error, a permanent", want: []int{500, 422}, letters: []string{"a 2 422"}},
		{name: "a dispatcher that did not wait for success", attempts: "a! fine, a! error, a error", want: []int{204, 500, 422}, letters: []string{"a 3 500"}},
		{name: "nor for the last failure: it has the event", attempts: "a error, a error, a! error, a error", want: []int{500, 500, 500, 500}, held: 1},
		{name: "nor for a last success", attempts: "a error, a error, a! fine", want: []int{500, 500, 204}},
		{name: "a sink that comes back", away: 15 * time.Second, attempts: "a error, a error, a error", want: []int{500, 500, 422}, letters: []string{"a 3 500"}},
		{name: "a sink that does not", away: 21 * time.Second, attempts: "a error, a error, a slow", want: []int{500, 500, 504}, held: 1},
		{name: "but for the broker's second delivery", away: 21 * time.Second, attempts: "a error, a error, a error, a error", want: []int{500, 500, 500, 422}, letters: []string{"a 4 500"}},
		{name: "a sink that is away for permanent errors", away: 2 * time.Second, attempts: "a permanent, a permanent, a permanent", want: []int{500, 500, 422}, letters: []string{"a 3 422"}},
		{name: "attempts that are not told", to: query(unknown), attempts: "a error, a error, a error, a error", want: []int{500, 500, 500, 500}},
		{name: "attempts that are no number", to: events.Sign(unknown.Query()+"&lambdamaxattempts=all&lambdaretrywindow=1h", testKey), attempts: "a error", want: []int{500}},
		{name: "a sink of the user's own", to: query(retry), attempts: "a error, a error, a error", want: []int{500, 500, 500}},
		{name: "a broker that keeps its events", to: query(bare), attempts: "a error, a error, a error", want: []int{500, 500, 500}},
		{name: "a direct caller", to: "x=y", attempts: "a error, a error, a error", want: []int{500, 500, 500}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // nothing runs on behind an answer, or this fails
				s, box := withLetterBox(t)
				box.away = time.Now().Add(tt.away)
				gone, hangUp := context.WithCancel(t.Context())
				hangUp()
				if tt.to == "" {
					tt.to = query(three)
				}
				other := three
				other.Trigger = "invoices"
				var got []int
				for a := range strings.SplitSeq(tt.attempts, ", ") {
					id, what, _ := strings.Cut(a, " ")
					ctx, to := t.Context(), tt.to
					id, hung := strings.CutSuffix(id, "!")
					id, others := strings.CutSuffix(id, "@")
					if hung {
						ctx = gone
					}
					if others {
						to = query(other)
					}
					got = append(got, attemptTo(ctx, s, to, id, what).Code)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("answers (-want, +got): %s", diff)
				}
				if diff := cmp.Diff(tt.letters, box.said()); diff != "" {
					t.Errorf("letters (-want, +got): %s", diff)
				}
				if n := s.attempts.order.Len(); n != tt.held || len(s.attempts.counts) != n || s.attempts.none() != (n == 0) {
					t.Errorf("%d counts are held (%d by name, none is %t), want %d", n, len(s.attempts.counts), s.attempts.none(), tt.held)
				}
			})
		})
	}
}

// TestAnswerToADeadLetter is none that a dispatcher would pass on, and the letter says
// what happened, and where.
func TestAnswerToADeadLetter(t *testing.T) {
	one := three
	one.MaxAttempts = 1
	s, box := withLetterBox(t)
	for id, what := range map[string]string{"last": "error", "late": "busy", "permanent": "permanent"} {
		w := attemptTo(t.Context(), s, query(one), id, what)
		if w.Code != http.StatusUnprocessableEntity || w.Header().Get("Content-Type") != typeJSON || w.Header().Get("Ce-Type") != "" || w.Header().Get("Retry-After") != "" || !strings.Contains(w.Body.String(), `"message"`) {
			t.Errorf("%s: answered %d %v %s, want 422 and plain JSON", what, w.Code, w.Header(), w.Body)
		}
		letter := box.stored[len(box.stored)-1]
		if letter.Get("Ce-Id") != id || letter.Get("Ce-Knativeerrordest") != "http://example.com/?"+query(one) || letter.Get("Ce-Knativeerrordata") == "" || letter.Get("Ce-Lambdaattempts") != "1" {
			t.Errorf("%s: the letter is %v", what, letter)
		}
	}
	if w := attemptTo(t.Context(), s, query(three), "again", "error"); w.Header().Get("Ce-Type") != events.ResponseError {
		t.Errorf("an attempt that is not the last is answered with %v", w.Header())
	}
}

// TestHowLongASinkIsWaitedFor: as long as RabbitMQ may take to start, and no longer than
// the dispatcher waits.
func TestHowLongASinkIsWaitedFor(t *testing.T) {
	one := three
	one.MaxAttempts = 1
	for _, tt := range []struct {
		name              string
		dispatcher, takes time.Duration
		status            int
	}{
		{"a patient dispatcher", time.Minute, letterPatience, http.StatusInternalServerError},
		{"a hasty one", 3 * time.Second, 3 * time.Second, http.StatusInternalServerError},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, box := withLetterBox(t)
			box.away = time.Now().Add(time.Hour)
			ctx, cancel := context.WithTimeout(t.Context(), tt.dispatcher)
			defer cancel()
			began := time.Now()
			w := attemptTo(ctx, s, query(one), "a", "error")
			if took := time.Since(began); w.Code != tt.status || took != tt.takes {
				t.Errorf("%s: answered %d after %v, want %d after %v", tt.name, w.Code, took, tt.status, tt.takes)
			}
			if most := 3 + int(tt.takes/time.Second); box.asked < 3 || box.asked > most {
				t.Errorf("%s: the sink was asked %d times, want 3 to %d", tt.name, box.asked, most)
			}
		})
	}
}

// TestManyLastAttempts: of many events at once each becomes one letter, after as many
// attempts as there are, while others succeed.
func TestManyLastAttempts(t *testing.T) {
	s, box := withLetterBox(t)
	const many = 200
	var group sync.WaitGroup
	for i := range many {
		group.Go(func() {
			id := fmt.Sprint("event-", i)
			for attempt := range 3 {
				want := http.StatusInternalServerError
				if attempt == 2 {
					want = http.StatusUnprocessableEntity
				}
				if got := attemptTo(t.Context(), s, query(three), id, "error").Code; got != want {
					t.Errorf("attempt %d of %s is answered with %d, want %d", attempt, id, got, want)
				}
				attemptTo(t.Context(), s, query(three), "fine-"+id, "fine")
			}
		})
	}
	group.Wait()
	distinct := map[string]bool{}
	for _, said := range box.said() {
		distinct[said] = true
	}
	if len(box.stored) != many || len(distinct) != many || !distinct["event-7 3 500"] || !s.attempts.none() {
		t.Errorf("%d letters of %d events, %d counts are held; want %d of each and none", len(box.stored), len(distinct), s.attempts.order.Len(), many)
	}
}

// TestTallyIsBounded in number and in age.
func TestTallyIsBounded(t *testing.T) {
	now := time.Unix(0, 0)
	named := func(i int) (d delivery) {
		copy(d[:], fmt.Sprint(i))
		return d
	}
	var t1 tally
	for i := range 2 * maxCounted {
		t1.failed(named(i), time.Hour, now)
		t1.failed(named(0), time.Hour, now) // fails all the time, and so is not forgotten
	}
	if len(t1.counts) != maxCounted || t1.order.Len() != maxCounted {
		t.Errorf("%d counts are held, want %d", len(t1.counts), maxCounted)
	}
	for i, want := range map[int]int{0: 2*maxCounted + 2, 2*maxCounted - 1: 2, 1: 1} {
		if got := t1.failed(named(i), time.Hour, now); got != want {
			t.Errorf("failure of %d counts as the %dth, want %d", i, got, want)
		}
	}

	var t2 tally
	t2.failed(named(1), time.Hour, now)
	t2.failed(named(2), time.Minute, now)
	for _, step := range []struct {
		after   time.Duration
		i, want int
		held    int
	}{
		{59 * time.Second, 2, 2, 2},
		{2 * time.Minute, 2, 1, 2}, // behind one that may still come
		{time.Hour, 1, 2, 2},
		{3 * time.Hour, 3, 1, 1}, // all others are over
	} {
		if got := t2.failed(named(step.i), time.Minute, now.Add(step.after)); got != step.want || len(t2.counts) != step.held {
			t.Errorf("after %v the failure of %d counts as the %dth, with %d held; want %d, %d", step.after, step.i, got, len(t2.counts), step.want, step.held)
		}
	}
}

// TestDeliveriesAreToldApart, however their names are put together.
func TestDeliveriesAreToldApart(t *testing.T) {
	seen := map[delivery]string{}
	for _, names := range [][3]string{{"a", "b", "c"}, {"ab", "", "c"}, {"a", "bc", ""}, {"a", `b""c`, ""}, {"a", "b", `"c`}, {"", "ab", "c"}} {
		e := ordered()
		e.SetSource(names[1])
		e.SetID(names[2])
		d := deliveryOf(&request{event: e}, events.Subscriber{Trigger: names[0]})
		if other, ok := seen[d]; ok {
			t.Errorf("%q and %s are one", names, other)
		}
		seen[d] = fmt.Sprintf("%q", names)
	}
}
