package modelproxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"
)

const (
	maxAttempts = 3 // of one model
	firstPause  = 250 * time.Millisecond
	// patience with a model that wants to be asked again later, where another may
	// answer at once.
	patience = 2 * time.Second
)

// forward a call to the models that may answer it, in order, until one does.
func (s *Server) forward(ctx context.Context, w http.ResponseWriter, q *call, o *observation, res *result) *failure {
	list := s.cfg.candidates(q)
	if len(list) == 0 {
		return &failure{status: http.StatusNotImplemented, kind: "unsupported", message: "no model of this agent has this API"}
	}
	var last *failure
	var said []string
	for i, u := range list {
		res.upstream = u
		longest := patience
		if i == len(list)-1 {
			longest = s.cfg.timeout
		}
		last = s.ask(ctx, w, u, q, o, res, longest)
		if last == nil || last.final || res.committed {
			return last
		}
		slog.WarnContext(ctx, "a model did not answer", "provider", u.Provider, "model", u.Name, "reason", last.why(u), "error_type", last.kind)
		said = append(said, u.Name+": "+last.message)
		if i < len(list)-1 {
			o.fellBack(ctx, u, last)
		}
	}
	if len(said) > 1 {
		last.message = "no model answered: " + strings.Join(said, "; ")
	}
	return last
}

// ask one model, again where that may help and needs no pause above the longest, for
// as long as the agent's timeout.
func (s *Server) ask(parent context.Context, w http.ResponseWriter, u *upstream, q *call, o *observation, res *result, longest time.Duration) *failure {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	deadline := time.Now().Add(s.cfg.timeout)
	watchdog := time.AfterFunc(s.cfg.timeout, func() { cancel(errTimeout) })
	defer watchdog.Stop()
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := s.attempt(ctx, w, u, q, o, res, watchdog)
		if err == nil {
			return nil
		}
		f := broken(ctx, u, err)
		wait := max(f.after, pause/2+rand.N(pause/2)) //nolint:gosec // nobody gains by knowing when
		if !f.again || res.committed || attempt == maxAttempts || wait > longest || time.Until(deadline) <= wait {
			return f
		}
		select {
		case <-ctx.Done():
			return broken(ctx, u, ctx.Err())
		case <-time.After(wait):
		}
		pause *= 2
	}
}

// attempt to get an answer and pass it on.
func (s *Server) attempt(ctx context.Context, w http.ResponseWriter, u *upstream, q *call, o *observation, res *result, watchdog *time.Timer) error {
	r, err := u.request(ctx, q)
	if err != nil {
		return err
	}
	s.telemetry.propagator.Inject(ctx, propagation.HeaderCarrier(r.Header))
	response, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return refused(u, response)
	}
	if q.stream {
		return s.relay(ctx, w, u, q, response, o, res, watchdog)
	}
	text, err := whole(u, q, response, res)
	if err != nil {
		return err
	}
	o.firstByte()
	res.committed = true
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // the agent may be gone
	return nil
}

// relay a stream, chunk by chunk. Nothing goes to the agent before the first chunk
// is there and is one; from then on the timeout is that between two chunks.
func (s *Server) relay(ctx context.Context, w http.ResponseWriter, u *upstream, q *call, response *http.Response, o *observation, res *result, watchdog *time.Timer) error {
	stream, err := newChunks(u, q, response)
	if err != nil {
		return err
	}
	prefix, suffix, kind := "data: ", "\n\n", "text/event-stream"
	if q.ollama {
		prefix, suffix, kind = "", "\n", "application/x-ndjson"
	}
	flusher := http.NewResponseController(w)
	var line []byte
	for {
		text, err := stream.next()
		var a *reply
		if err == nil {
			a, err = parseChunk(text)
		}
		if err != nil {
			return s.cut(ctx, w, u, q, err, res, prefix, suffix)
		}
		watchdog.Reset(s.cfg.timeout)
		if !res.committed {
			o.firstByte()
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "no-cache")
			res.committed = true
		}
		if a != nil {
			res.add(a)
		}
		if a == nil || a.Usage == nil || len(a.Choices) > 0 || q.wantsUsage {
			line = append(append(append(line[:0], prefix...), text...), suffix...)
			if _, err := w.Write(line); err != nil {
				return &failure{status: 499, kind: kindCancelled, message: "the agent went away", final: true}
			}
			_ = flusher.Flush() // the next write tells
		}
		if a == nil || q.ollama && a.Done {
			return nil
		}
	}
}

// cut is the end of a stream before its end. The agent is told, as it has the
// beginning already and no other model can go on.
func (s *Server) cut(ctx context.Context, w http.ResponseWriter, u *upstream, q *call, err error, res *result, prefix, suffix string) error {
	if errors.Is(err, io.EOF) {
		if res.committed && len(res.finish) > 0 && !q.ollama {
			_, _ = io.WriteString(w, prefix+string(done)+suffix) // some end without it
			return nil
		}
		err = errGarbage
	}
	if !res.committed {
		return err
	}
	f := broken(ctx, u, err)
	if f.kind != kindCancelled && f.kind != kindTimeout {
		f.kind, f.message = kindCut, u.Provider+" ended the stream before its end"
	}
	_, _ = io.WriteString(w, prefix+string(errorBody(q.ollama, f.kind, f.message))+suffix)
	return f
}
