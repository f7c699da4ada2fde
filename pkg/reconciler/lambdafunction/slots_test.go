package lambdafunction

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// world of slots: the Jobs that the cache has, and who was enqueued.
type world struct {
	*slots
	cache    []*batchv1.Job
	enqueued []string
}

func newWorld() *world {
	w := &world{}
	w.slots = newSlots(func(k types.NamespacedName) { w.enqueued = append(w.enqueued, k.String()) },
		func() ([]*batchv1.Job, error) { return w.cache, nil })
	return w
}

// appears puts a Job into the cache.
func (w *world) appears(namespace, name, image string) {
	w.cache = append(w.cache, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name,
		Annotations: map[string]string{lambda.ImageAnnotationKey: image}}})
}

// ends takes a Job out of the cache and tells the slots.
func (w *world) ends(namespace, name string) {
	for i, j := range w.cache {
		if j.Namespace == namespace && j.Name == name {
			w.cache = append(w.cache[:i:i], w.cache[i+1:]...)
		}
	}
	w.freed(types.NamespacedName{Namespace: namespace, Name: name})
}

// asks for a slot for a function's Job of the same name.
func (w *world) asks(t *testing.T, namespace, name, image string, most, mostPerNamespace int) grant {
	t.Helper()
	key := types.NamespacedName{Namespace: namespace, Name: name}
	g, err := w.take(key, key, image, &config.Build{MaxParallel: most, MaxParallelPerNamespace: mostPerNamespace})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func want(t *testing.T, got, want grant) {
	t.Helper()
	if got != want {
		t.Errorf("take() = %+v, want %+v", got, want)
	}
}

func TestSlotsAreBounded(t *testing.T) {
	w := newWorld()
	want(t, w.asks(t, "a", "1", "i1", 2, 2), grant{ok: true})
	want(t, w.asks(t, "a", "1", "i1", 2, 2), grant{ok: true}) // the same Job again
	want(t, w.asks(t, "b", "1", "i2", 2, 2), grant{ok: true})
	want(t, w.asks(t, "a", "2", "i3", 2, 2), grant{before: 0})
	want(t, w.asks(t, "a", "3", "i4", 2, 2), grant{before: 1})
	want(t, w.asks(t, "a", "2", "i3", 2, 2), grant{before: 0}) // asking again keeps the place
	w.appears("a", "1", "i1")
	want(t, w.asks(t, "a", "3", "i4", 2, 2), grant{before: 1}) // what the cache has is counted once
	w.ends("a", "1")
	if diff := cmp.Diff([]string{"a/2", "a/3"}, w.enqueued); diff != "" {
		t.Error("enqueued (-want, +got):", diff)
	}
	want(t, w.asks(t, "a", "2", "i3", 2, 2), grant{ok: true})
	want(t, w.asks(t, "a", "3", "i4", 2, 2), grant{before: 0})
	w.forget(types.NamespacedName{Namespace: "a", Name: "3"})
	want(t, w.asks(t, "a", "4", "i5", 2, 2), grant{before: 0})
}

func TestSlotsOfANamespace(t *testing.T) {
	w := newWorld()
	want(t, w.asks(t, "a", "1", "i1", 8, 1), grant{ok: true})
	want(t, w.asks(t, "a", "2", "i2", 8, 1), grant{before: 0})
	want(t, w.asks(t, "b", "1", "i3", 8, 1), grant{ok: true})
	w.cancel(types.NamespacedName{Namespace: "a", Name: "1"}) // its Job could not be made
	want(t, w.asks(t, "a", "2", "i2", 8, 1), grant{ok: true})
}

func TestOneBuildOfAnImage(t *testing.T) {
	w := newWorld()
	want(t, w.asks(t, "a", "1", "i", 8, 8), grant{ok: true})
	want(t, w.asks(t, "a", "2", "i", 8, 8), grant{shared: "1"}) // before the cache has the Job
	w.appears("a", "1", "i")
	want(t, w.asks(t, "a", "2", "i", 8, 8), grant{shared: "1"}) // and after
	want(t, w.asks(t, "b", "2", "i", 8, 8), grant{ok: true})    // other namespaces have other rights
	w.ends("a", "1")
	want(t, w.asks(t, "a", "2", "i", 8, 8), grant{ok: true})
}

func TestSlotsAtOnce(t *testing.T) {
	w := newWorld()
	var wg sync.WaitGroup
	granted := make(chan bool, 50)
	for i := range 50 {
		wg.Go(func() { granted <- w.asks(t, "a", fmt.Sprint(i), "i", 50, 50).ok })
	}
	wg.Wait()
	close(granted)
	builds := 0
	for ok := range granted {
		if ok {
			builds++
		}
	}
	if builds != 1 {
		t.Errorf("%d of 50 functions build the same image at once, want one", builds)
	}
}

func TestSlotsWithoutCache(t *testing.T) {
	broken := errors.New("the cache is broken")
	s := newSlots(func(types.NamespacedName) {}, func() ([]*batchv1.Job, error) { return nil, broken })
	if g, err := s.take(types.NamespacedName{}, types.NamespacedName{}, "i", &config.Build{MaxParallel: 1, MaxParallelPerNamespace: 1}); !errors.Is(err, broken) || g.ok {
		t.Errorf("take() = %+v, %v, want the cache's error", g, err)
	}
}
