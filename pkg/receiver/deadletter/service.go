package deadletter

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

const (
	// MaxListed is how many letters one answer lists.
	MaxListed = 1000
	// parallelReplays to one function at once.
	parallelReplays = 8
)

// Functions tells of functions.
type Functions interface {
	Get(key types.NamespacedName) (*v1alpha1.LambdaFunction, error)
}

// Service lists, shows, replays and purges the dead letters of functions.
type Service struct {
	Store     Store
	Functions Functions
	Sender    Sender
}

// Selection of letters: those of an event's id, or all where it is empty.
type Selection struct{ ID string }

func (s Selection) has(l *Letter) bool { return s.ID == "" || s.ID == l.ID() }

// List tells of the letters, the oldest first. A queue does not keep their order
// once somebody has looked at them, so more than the limit are looked at; of a
// queue that is longer than that, some.
func (s *Service) List(ctx context.Context, function types.NamespacedName, limit int) ([]events.DeadLetter, error) {
	listed := []events.DeadLetter{}
	f, _ := s.Functions.Get(function) // for how often it was sent; it may be gone
	err := s.each(ctx, function, func(_ Session, l *Letter) (bool, error) {
		describe(l, f)
		listed = append(listed, l.Describe())
		return len(listed) < MaxListed, nil
	})
	sort.SliceStable(listed, func(i, j int) bool { // by time, as RFC 3339 in UTC sorts
		if listed[i].DeadTime != listed[j].DeadTime {
			return listed[i].DeadTime < listed[j].DeadTime
		}
		return listed[i].ID < listed[j].ID
	})
	return listed[:min(limit, len(listed))], err
}

// Show returns the letters of an event's id, with their data.
func (s *Service) Show(ctx context.Context, function types.NamespacedName, id string) ([]*Letter, error) {
	const enough = 10
	var found []*Letter
	f, _ := s.Functions.Get(function)
	err := s.each(ctx, function, func(_ Session, l *Letter) (bool, error) {
		if l.ID() == id {
			describe(l, f)
			found = append(found, l)
		}
		return len(found) < enough, nil
	})
	return found, err
}

// describe adds what the queue does not know where Knative itself filled it.
func describe(l *Letter, f *v1alpha1.LambdaFunction) {
	if l.Malformed == nil {
		Annotate(&l.Event, Retries(f), time.Time{})
	}
}

// Retries of a function's broker; below 0 where they are not known.
func Retries(f *v1alpha1.LambdaFunction) int {
	const byDefault = 5
	switch {
	case f == nil:
		return -1
	case f.Spec.Eventing == nil || f.Spec.Eventing.DLQ == nil || f.Spec.Eventing.DLQ.RetryMaxAttempts == nil:
		return byDefault
	}
	return int(*f.Spec.Eventing.DLQ.RetryMaxAttempts)
}

// Result of one letter's replay.
type Result struct {
	events.DeadLetter
	// Status that the function answered; 0 where it did not.
	Status int `json:"status,omitempty"`
	// Error says why the letter stays in the queue; empty where it was accepted.
	Error string `json:"error,omitempty"`
}

// Replay sends letters to the function again, several at once, and tells of each.
// A letter leaves the queue only after the function, and whoever gets its reply,
// has taken it.
func (s *Service) Replay(ctx context.Context, function types.NamespacedName, which Selection, tell func(Result)) error {
	f, err := s.Functions.Get(function)
	if err != nil {
		return err
	}
	target, err := targetOf(f)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	group, replaying := errgroup.WithContext(ctx)
	group.SetLimit(parallelReplays)
	err = s.each(replaying, function, func(session Session, l *Letter) (bool, error) {
		if which.has(l) {
			group.Go(func() error {
				r := s.replay(replaying, target, session, l)
				mu.Lock()
				defer mu.Unlock()
				tell(r)
				return nil
			})
		}
		return replaying.Err() == nil, nil
	}, group.Wait)
	return err
}

func (s *Service) replay(ctx context.Context, t target, session Session, l *Letter) Result {
	r := Result{DeadLetter: l.Describe()}
	if l.Malformed != nil {
		r.Error = "it is not a CloudEvent and cannot be sent again; purge it"
		return r
	}
	status, err := s.Sender.send(ctx, t, l.Again())
	r.Status = status
	if err == nil {
		err = session.Remove(l)
	}
	if err != nil {
		r.Error = err.Error()
	}
	l.Event.DataEncoded = nil // the session goes on, without it
	return r
}

// Purge removes letters and tells how many.
func (s *Service) Purge(ctx context.Context, function types.NamespacedName, which Selection) (int, error) {
	purged := 0
	err := s.each(ctx, function, func(session Session, l *Letter) (bool, error) {
		if !which.has(l) {
			return true, nil
		}
		if err := session.Remove(l); err != nil {
			return false, err
		}
		purged++
		return true, nil
	})
	return purged, err
}

// each looks at the letters of a function until visit has seen enough. What is to
// be done before the session ends is in finally.
func (s *Service) each(ctx context.Context, function types.NamespacedName, visit func(Session, *Letter) (bool, error), finally ...func() error) (err error) {
	session, err := s.Store.Open(ctx, events.DeadLetterQueue(function.Namespace, function.Name))
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range finally {
			if ferr := f(); err == nil {
				err = ferr
			}
		}
		if cerr := session.Close(); err == nil {
			err = cerr
		}
	}()
	for more := true; more; {
		l, err := session.Next()
		if err != nil {
			return err
		}
		if l == nil {
			return nil
		}
		if more, err = visit(session, l); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// NotReadyError says that a function cannot get its letters now.
type NotReadyError struct{ Function, Why string }

func (e *NotReadyError) Error() string { return fmt.Sprintf("function %s %s", e.Function, e.Why) }
