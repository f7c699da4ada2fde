package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
)

const (
	// sinkTimeout of one attempt to hand an event over.
	sinkTimeout = 30 * time.Second
	// replyAttempts of a reply while its request waits. Then a broker sends the
	// event again, which calls the handler again.
	replyAttempts = 3
	// outboxAttempts of an event for which nobody waits.
	outboxAttempts = 5
	// attemptDelay before the second attempt; it doubles up to maxAttemptDelay.
	attemptDelay    = 200 * time.Millisecond
	maxAttemptDelay = 2 * time.Second
	// outboxLength is how many events may wait to be sent, outboxSenders how many
	// are sent at a time.
	outboxLength  = 1000
	outboxSenders = 4
)

// sink is where events are posted to.
type sink struct {
	url string
	// name is the URL without its path, which may prove to whom it was given: for logs.
	name   string
	client *http.Client
}

// newSink is nil without a URL.
func newSink(to string) *sink {
	if to == "" {
		return nil
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // sinks are addresses of the cluster
	transport.MaxIdleConnsPerHost = 100
	return &sink{url: to, name: hostOf(to), client: &http.Client{Transport: transport, Timeout: sinkTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func hostOf(to string) string {
	u, err := url.Parse(to)
	if err != nil {
		return "the sink"
	}
	return u.Scheme + "://" + u.Host
}

// post tries to hand the event over, with growing delays, until the sink has
// taken it, ctx ends or there have been that many attempts.
func (s *sink) post(ctx context.Context, e *event.Event, attempts int) error {
	var err error
	delay := attemptDelay
	for attempt := range attempts {
		if attempt > 0 {
			select {
			case <-ctx.Done():
				return err
			case <-time.After(delay):
			}
			delay = min(2*delay, maxAttemptDelay)
		}
		if err = s.attempt(ctx, e); err == nil {
			return nil
		}
	}
	return err
}

func (s *sink) attempt(ctx context.Context, e *event.Event) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, http.NoBody)
	if err != nil {
		return err
	}
	if err := ceio.WriteRequest(binding.WithForceBinary(ctx), binding.ToMessage(e), r); err != nil {
		return err
	}
	for _, name := range []string{"traceparent", "tracestate"} { // brokers pass on what comes as a header only
		if value, ok := e.Extensions()[name].(string); ok {
			r.Header.Set(name, value)
		}
	}
	response, err := s.client.Do(r)
	var failed *url.Error
	if errors.As(err, &failed) { // its text has the whole URL
		err = fmt.Errorf("sending to %s: %w", s.name, failed.Err)
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection is kept
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("%s answered %s", s.name, response.Status)
	}
	return nil
}

// outbox posts events to a sink without anybody waiting for it. A nil outbox
// drops them.
type outbox struct {
	sink      *sink
	telemetry *Telemetry
	events    chan *event.Event
	senders   sync.WaitGroup
	ctx       context.Context // ends what is being sent
	cancel    context.CancelFunc
	mu        sync.RWMutex
	closed    bool
}

// newOutbox is nil without a sink.
func newOutbox(s *sink, telemetry *Telemetry) *outbox {
	if s == nil {
		return nil
	}
	o := &outbox{sink: s, telemetry: telemetry, events: make(chan *event.Event, outboxLength)}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	for range outboxSenders {
		o.senders.Go(o.send)
	}
	return o
}

func (o *outbox) send() {
	for e := range o.events {
		if err := o.sink.post(o.ctx, e, outboxAttempts); err != nil {
			o.lost(e, err)
			continue
		}
		o.telemetry.responseSent(true)
	}
}

func (o *outbox) lost(e *event.Event, err error) {
	o.telemetry.responseSent(false)
	slog.Error("a response event was lost", "error", err, "event_id", e.ID(), "event_type", e.Type(), "sink", o.sink.name)
}

// add never waits: where too many events wait already, this one is lost.
func (o *outbox) add(e *event.Event) {
	if o == nil {
		return
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.closed {
		o.lost(e, errors.New("the runtime has ended"))
		return
	}
	select {
	case o.events <- e:
	default:
		o.lost(e, fmt.Errorf("%d events wait for the sink already", outboxLength))
	}
}

// close sends what waits, for no longer than the timeout.
func (o *outbox) close(timeout time.Duration) {
	if o == nil {
		return
	}
	o.mu.Lock()
	o.closed = true
	close(o.events)
	o.mu.Unlock()
	timer := time.AfterFunc(timeout, o.cancel)
	defer timer.Stop()
	o.senders.Wait()
	o.cancel()
}
