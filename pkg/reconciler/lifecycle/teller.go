package lifecycle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

const (
	// deletionTTL is how long each replica remembers an object that was deleted, to
	// report the deletion when the sink answers again, or when the leader that was to
	// report it has stopped.
	deletionTTL = 10 * time.Minute
	// maxDeletions that a replica remembers.
	maxDeletions = 10000
)

// teller tells the sink of the objects of one kind. Its queue lets one worker at a
// time have an object, tries again with growing delays, and holds keys only.
type teller struct {
	reconciler.LeaderAwareFuncs

	// get the object of a key as it is in the cache.
	get func(types.NamespacedName) (*snapshot, error)
	// patch the object's metadata by a JSON merge patch.
	patch func(ctx context.Context, key types.NamespacedName, patch []byte) error
	// sink is where events go now; empty is nowhere.
	sink func() string
	post func(ctx context.Context, url string, e *event.Event) error
	now  clock.PassiveClock

	mu sync.Mutex
	// last records that were written, as the cache may have older ones.
	last map[types.UID]told
	// deletions that have not been reported, oldest first. Replicas that do not lead
	// remember them, too.
	deletions []deletion
}

// deletion of an object, as it was last.
type deletion struct {
	key      types.NamespacedName
	snapshot *snapshot
	at       time.Time
}

var _ controller.Reconciler = (*teller)(nil)
var _ reconciler.LeaderAware = (*teller)(nil)

// Reconcile implements controller.Reconciler.
func (t *teller) Reconcile(ctx context.Context, name string) error {
	namespace, object, err := cache.SplitMetaNamespaceKey(name)
	if err != nil {
		return controller.NewPermanentError(err)
	}
	key := types.NamespacedName{Namespace: namespace, Name: object}
	if !t.IsLeaderFor(key) {
		return controller.NewSkipKey(name)
	}
	sink := t.sink()
	if err := t.reportDeletions(ctx, sink, key); err != nil {
		return err // in order: what has the name now comes after
	}
	s, err := t.get(key)
	if apierrs.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	if sink == "" {
		return t.release(ctx, key, s)
	}
	if s.GetDeletionTimestamp() != nil {
		return nil // others' finalizers hold it: it is reported when it is gone
	}
	return t.tell(ctx, sink, key, s)
}

// deleted remembers an object that was deleted, as the informer had it last.
func (t *teller) deleted(key types.NamespacedName, s *snapshot) {
	if t.sink() == "" {
		return
	}
	now := t.now.Now()
	s.deletedAt = now.UTC()
	if d := s.GetDeletionTimestamp(); d != nil {
		s.deletedAt = d.UTC()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deletions = slices.DeleteFunc(t.deletions, func(d deletion) bool { return now.Sub(d.at) > deletionTTL })
	if len(t.deletions) >= maxDeletions {
		t.deletions = t.deletions[1:]
	}
	t.deletions = append(t.deletions, deletion{key, s, now})
}

// pending are the keys of deletions that a new leader has to report: the last one may
// have reported them, and the sink tells by their ids.
func (t *teller) pending() (keys []types.NamespacedName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.deletions {
		keys = append(keys, d.key)
	}
	return keys
}

// reportDeletions of objects of that name, and what was new of them before.
func (t *teller) reportDeletions(ctx context.Context, sink string, key types.NamespacedName) error {
	t.mu.Lock()
	due := slices.Clone(t.deletions)
	t.mu.Unlock()
	for _, d := range due {
		if d.key != key {
			continue
		}
		if sink != "" && t.now.Since(d.at) <= deletionTTL {
			before := t.record(d.snapshot)
			if _, err := t.postAll(ctx, sink, d.snapshot, before, transitions(d.snapshot, before, t.now.Now().UTC())); err != nil {
				return err
			}
		} else {
			logging.FromContext(ctx).Warnw("A deletion is not reported: the lifecycle sink did not answer in time, or was removed", "key", key)
		}
		uid := d.snapshot.GetUID()
		t.mu.Lock()
		delete(t.last, uid)
		t.deletions = slices.DeleteFunc(t.deletions, func(other deletion) bool { return other.snapshot.GetUID() == uid })
		t.mu.Unlock()
	}
	return nil
}

// tell what is new, in order, and record it.
func (t *teller) tell(ctx context.Context, sink string, key types.NamespacedName, s *snapshot) error {
	before := t.record(s)
	list := transitions(s, before, t.now.Now().UTC())
	after, err := t.postAll(ctx, sink, s, before, list)
	if after.Count != before.Count {
		if werr := t.write(ctx, key, s, after); werr != nil {
			return fmt.Errorf("recording what the lifecycle sink was told: %w", werr)
		}
	}
	return err
}

// postAll posts until the sink does not take one, and returns what it has been told.
func (t *teller) postAll(ctx context.Context, sink string, s *snapshot, before told, list []news) (told, error) {
	for _, n := range list {
		e, err := n.event(s)
		if err != nil {
			return before, controller.NewPermanentError(err)
		}
		if err := t.post(ctx, sink, e); err != nil {
			return before, fmt.Errorf("the lifecycle sink did not take %s: %w", n.eventType, err)
		}
		before = n.then
	}
	return before, nil
}

// event of the news. Its id is the same whenever it is made, so that whoever gets
// it twice can tell.
func (n *news) event(s *snapshot) (*event.Event, error) {
	sum := sha256.Sum256([]byte(string(s.GetUID()) + "\x00" + n.eventType + "\x00" + n.detail))
	e := event.New()
	e.SetID(hex.EncodeToString(sum[:16]))
	e.SetType(n.eventType)
	e.SetSource(events.Source(s.noun, s.GetNamespace(), s.GetName()))
	e.SetSubject(s.GetNamespace() + "/" + s.GetName())
	e.SetTime(n.time)
	return &e, e.SetData(event.ApplicationJSON, n.data)
}

// record is what the sink was told of an object: as it was written last, or is in
// its annotation.
func (t *teller) record(s *snapshot) told {
	var r told
	// What cannot be read was not written here: it is told anew.
	_ = json.Unmarshal([]byte(s.GetAnnotations()[lambda.ToldAnnotationKey]), &r)
	t.mu.Lock()
	defer t.mu.Unlock()
	if newer, ok := t.last[s.GetUID()]; ok && newer.Count > r.Count {
		return newer
	}
	return r
}

func (t *teller) write(ctx context.Context, key types.NamespacedName, s *snapshot, r told) error {
	t.mu.Lock()
	t.last[s.GetUID()] = r
	t.mu.Unlock()
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return t.patchMeta(ctx, key, map[string]any{"uid": s.GetUID(), "annotations": map[string]any{lambda.ToldAnnotationKey: string(text)}})
}

// release takes off an object what this package has written.
func (t *teller) release(ctx context.Context, key types.NamespacedName, s *snapshot) error {
	if _, noted := s.GetAnnotations()[lambda.ToldAnnotationKey]; !noted {
		return nil
	}
	return t.patchMeta(ctx, key, map[string]any{"resourceVersion": s.GetResourceVersion(), "annotations": map[string]any{lambda.ToldAnnotationKey: nil}})
}

func (t *teller) patchMeta(ctx context.Context, key types.NamespacedName, metadata map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return err
	}
	if err := t.patch(ctx, key, patch); !apierrs.IsNotFound(err) {
		return err
	}
	return nil // it is gone
}

// patchOptions name who writes the metadata.
var patchOptions = metav1.PatchOptions{FieldManager: "lambda-lifecycle"}

// postTimeout bounds one delivery to the lifecycle sink.
const postTimeout = 10 * time.Second

// client of the lifecycle sink, which an administrator configures.
var client = egress.Client(egress.Deliveries, postTimeout)
