package lambdafunction

import (
	"maps"
	"slices"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

// slots bound how many builds run at once, and keep one image from being built
// twice at once. What runs is read from the Jobs in the cache; a Job that was made
// a moment ago, and that the cache does not have yet, is remembered until it does.
type slots struct {
	enqueue func(types.NamespacedName)
	// active lists the Jobs in the cache that have not ended.
	active func() ([]*batchv1.Job, error)

	mu      sync.Mutex
	granted map[types.NamespacedName]string // Job → the image's reference
	waiting []types.NamespacedName          // functions, first come first
}

func newSlots(enqueue func(types.NamespacedName), active func() ([]*batchv1.Job, error)) *slots {
	return &slots{enqueue: enqueue, active: active, granted: map[types.NamespacedName]string{}}
}

// grant is the answer to a function that wants to build.
type grant struct {
	// ok says that it may.
	ok bool
	// shared is the Job of another function in the namespace that builds the same
	// image just now; empty where there is none.
	shared string
	// before is how many functions wait before this one.
	before int
}

// take asks for a slot for a function's Job that builds a reference. A function
// that gets none is enqueued when one is free.
func (s *slots) take(function, job types.NamespacedName, reference string, cfg *config.Build) (grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Read under the lock: what a grant was forgotten for, this list has.
	active, err := s.active()
	if err != nil {
		return grant{}, err
	}
	running := map[types.NamespacedName]string{}
	for _, j := range active {
		key := types.NamespacedName{Namespace: j.Namespace, Name: j.Name}
		running[key] = j.Annotations[lambda.ImageAnnotationKey]
		delete(s.granted, key) // the cache has it now
	}
	maps.Copy(running, s.granted)
	inNamespace := 0
	for key, builds := range running {
		if key.Namespace != job.Namespace {
			continue
		}
		inNamespace++
		if builds == reference && key != job {
			s.leave(function)
			return grant{shared: key.Name}, nil
		}
	}
	if _, has := running[job]; has || (len(running) < cfg.MaxParallel && inNamespace < cfg.MaxParallelPerNamespace) {
		s.granted[job] = reference
		s.leave(function)
		return grant{ok: true}, nil
	}
	if i := slices.Index(s.waiting, function); i >= 0 {
		return grant{before: i}, nil
	}
	s.waiting = append(s.waiting, function)
	return grant{before: len(s.waiting) - 1}, nil
}

// leave takes a function out of those that wait.
func (s *slots) leave(function types.NamespacedName) {
	s.waiting = slices.DeleteFunc(s.waiting, func(w types.NamespacedName) bool { return w == function })
}

// cancel takes back a slot whose Job could not be made.
func (s *slots) cancel(job types.NamespacedName) {
	s.mu.Lock()
	delete(s.granted, job)
	s.mu.Unlock()
}

// forget drops a function that waits no more.
func (s *slots) forget(function types.NamespacedName) {
	s.mu.Lock()
	s.leave(function)
	s.mu.Unlock()
}

// freed tells those that wait that a Job has ended.
func (s *slots) freed(job types.NamespacedName) {
	s.mu.Lock()
	delete(s.granted, job)
	waiting := slices.Clone(s.waiting)
	s.mu.Unlock()
	for _, function := range waiting {
		s.enqueue(function)
	}
}
