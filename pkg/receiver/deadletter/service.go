package deadletter

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sort"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// parallelReplays of one queue at once.
const parallelReplays = 8

// Service lists, shows, replays and purges the dead letters of functions and agents.
type Service struct {
	Store     Store
	Functions Functions
	Agents    Agents
	Sender    Sender
	// Serving verifies the addresses of functions and agents before a replay.
	Serving Serving
	// Keys sign what is sent to the receiver itself; nil sends nothing there.
	Keys *keyring.Store[keyring.Keyring]
	// Receiver returns the receiver's own Service.
	Receiver func() types.NamespacedName
}

// List tells of the letters, the oldest first. A queue does not keep their order
// once somebody has looked at them, so more than the limit are looked at; of a
// queue that is longer than that, some.
func (s *Service) List(ctx context.Context, owner Owner, limit int) ([]receiverv1.DeadLetter, error) {
	listed := []receiverv1.DeadLetter{}
	err := s.each(ctx, owner, func(_ Session, l *Letter) (bool, error) {
		listed = append(listed, l.Describe())
		return len(listed) < receiverv1.MaxListed, nil
	})
	sort.SliceStable(listed, func(i, j int) bool { // by time, as RFC 3339 in UTC sorts
		if listed[i].DeadTime != listed[j].DeadTime {
			return listed[i].DeadTime < listed[j].DeadTime
		}
		return listed[i].ID < listed[j].ID
	})
	return listed[:min(limit, len(listed))], err
}

// Show returns the dead letters of an event's id, with their data.
func (s *Service) Show(ctx context.Context, owner Owner, which Selection) ([]*Letter, error) {
	const enough = 10
	if err := which.validate(); err != nil {
		return nil, err
	}
	var found []*Letter
	err := s.each(ctx, owner, func(_ Session, l *Letter) (bool, error) {
		if which.has(l) {
			found = append(found, l)
		}
		return len(found) < enough, nil
	})
	return found, err
}

// Replay sends letters again, several at once, and tells of each.
// A letter leaves the queue only after whoever it is for, and whoever gets the reply,
// has taken it.
func (s *Service) Replay(ctx context.Context, owner Owner, which Selection, tell func(receiverv1.ReplayResult)) error {
	if err := which.validate(); err != nil {
		return err
	}
	targets, err := s.targets(ctx, owner)
	if err != nil {
		return err
	}
	if which, err = s.identify(ctx, owner, which); err != nil {
		return err
	}
	var mu sync.Mutex
	group, replaying := errgroup.WithContext(ctx)
	group.SetLimit(parallelReplays)
	err = s.each(replaying, owner, func(session Session, l *Letter) (bool, error) {
		if which.has(l) {
			group.Go(func() error {
				r := s.replay(replaying, targets, session, l)
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

func (s *Service) replay(ctx context.Context, targets func(*Letter) (target, error), session Session, l *Letter) (r receiverv1.ReplayResult) {
	r = receiverv1.ReplayResult{DeadLetter: l.Describe()}
	defer func() {
		if p := recover(); p != nil { // one answer must not stop the receiver
			slog.ErrorContext(ctx, "A replay panicked", "id", r.ID, "source", r.Source, "panic", p, "stack", string(debug.Stack()))
			r.Error = "the replay failed inside the receiver; its log has the reason"
		}
	}()
	if l.Malformed != nil {
		r.Error = "it is not a CloudEvent and cannot be sent again; purge it"
		return r
	}
	to, err := targets(l)
	if err == nil {
		r.Status, err = s.Sender.send(ctx, to, l.Again())
	}
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
func (s *Service) Purge(ctx context.Context, owner Owner, which Selection) (int, error) {
	purged := 0
	if err := which.validate(); err != nil {
		return 0, err
	}
	which, err := s.identify(ctx, owner, which)
	if err != nil {
		return 0, err
	}
	err = s.each(ctx, owner, func(session Session, l *Letter) (bool, error) {
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

// each looks at the letters of an owner until visit has seen enough. What is to
// be done before the session ends is in finally.
func (s *Service) each(ctx context.Context, owner Owner, visit func(Session, *Letter) (bool, error), finally ...func() error) (err error) {
	session, err := s.Store.Open(ctx, owner.Queue())
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
		if l.Malformed == nil { // the dispatcher leaves the reason and the origin to its readers
			clean(&l.Event)
			Annotate(&l.Event, time.Time{})
		}
		if more, err = visit(session, l); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// notReady is the error of an owner whose dead letters cannot be redelivered now.
func notReady(o Owner, format string, args ...any) error {
	return httpapi.Errorf(http.StatusConflict, ReasonNotReady, "%s %s %s", o.Kind, o.Name, fmt.Sprintf(format, args...))
}
