package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// senders post at once where as much is sent as is taken.
	senders = 100
	// lateness is how long after the last post events may arrive.
	lateness = time.Minute
)

// target is a Broker, and a type that one of its Triggers takes.
type target struct{ url, eventType string }

// sources are numbered, so that no event is counted for another measurement.
var sources atomic.Int64

func newSource() string { return fmt.Sprintf("/perf/%d", sources.Add(1)) }

// post an event; an answer other than 202 is an error.
func (b *bench) post(ctx context.Context, to target, source string, n int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url, strings.NewReader(`{"of":"this size, about a hundred bytes, as a small order or a change of an object would be"}`))
	if err != nil {
		return err
	}
	r.Header = http.Header{
		"Content-Type": {"application/json"}, "Ce-Specversion": {"1.0"}, "Ce-Type": {to.eventType}, "Ce-Source": {source}, "Ce-Id": {fmt.Sprint(n)},
	}
	response, err := b.http.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
	if response.StatusCode != http.StatusAccepted {
		return fmt.Errorf("%s answered %s: %s", to.url, response.Status, text)
	}
	return nil
}

// measured of a stream of events.
type measured struct {
	posts   []time.Duration // until each was answered
	arrived []time.Duration // from before it was posted until the subscriber had it
}

func (m *measured) add(more *measured) {
	m.posts, m.arrived = append(m.posts, more.posts...), append(m.arrived, more.arrived...)
}

// steady posts events at the rate of the options for the window of the options, however
// long each takes.
func (b *bench) steady(ctx context.Context, to target) (*measured, error) {
	n := b.o.rate * int(b.o.window/time.Second)
	source := newSource()
	arrivals := b.expect(source, n)
	sent, posts, errs := make([]time.Time, n), make([]time.Duration, n), make([]error, n)
	ticker := time.NewTicker(time.Second / time.Duration(b.o.rate))
	defer ticker.Stop()
	var group sync.WaitGroup
	for i := range n {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		group.Go(func() {
			sent[i] = time.Now()
			errs[i] = b.post(ctx, to, source, i)
			posts[i] = time.Since(sent[i])
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := arrivals.await(ctx); err != nil {
		return nil, err
	}
	m := &measured{posts: posts}
	for i := range n {
		m.arrived = append(m.arrived, arrivals.at[i].Sub(sent[i]))
	}
	return m, nil
}

// flood posts so many events by all senders at once. What is refused is posted again.
func (b *bench) flood(ctx context.Context, to target, source string, events int) (refused int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var next, again atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, senders)
	for w := range senders {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(events) && errs[w] == nil; i = next.Add(1) - 1 {
				for err := b.post(ctx, to, source, int(i)); err != nil; err = b.post(ctx, to, source, int(i)) {
					again.Add(1)
					if errs[w] = sleep(ctx, 100*time.Millisecond); errs[w] != nil {
						errs[w] = errors.Join(err, errs[w])
						break
					}
				}
			}
		})
	}
	group.Wait()
	return again.Load(), errors.Join(errs...)
}

// await that all have arrived.
func (a *arrivals) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lateness)
	defer cancel()
	select {
	case <-a.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d of %d events have not arrived: %w", a.missing(), len(a.at), ctx.Err())
	}
}
