package lambdafunction

import (
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// slots bound how many builds run at once. What runs is read from the Jobs in
// the cache; a Job that was made a moment ago, and that the cache does not have
// yet, is remembered until it does.
type slots struct {
	enqueue func(types.NamespacedName)

	mu      sync.Mutex
	granted map[types.NamespacedName]struct{} // Jobs
	waiting []types.NamespacedName            // functions, first come first
}

func newSlots(enqueue func(types.NamespacedName)) *slots {
	return &slots{enqueue: enqueue, granted: map[types.NamespacedName]struct{}{}}
}

// take asks for a slot for a function's Job. Where there is none it tells how
// many functions wait before this one, which is enqueued when a slot is free.
func (s *slots) take(function, job types.NamespacedName, active []*batchv1.Job, cfg *config.Build) (ok bool, before int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	running := map[types.NamespacedName]struct{}{}
	for _, j := range active {
		key := types.NamespacedName{Namespace: j.Namespace, Name: j.Name}
		running[key] = struct{}{}
		delete(s.granted, key) // the cache has it now
	}
	for key := range s.granted {
		running[key] = struct{}{}
	}
	inNamespace := 0
	for key := range running {
		if key.Namespace == job.Namespace {
			inNamespace++
		}
	}
	if _, has := running[job]; has || (len(running) < cfg.MaxParallel && inNamespace < cfg.MaxParallelPerNamespace) {
		s.granted[job] = struct{}{}
		s.leave(function)
		return true, 0
	}
	for i, w := range s.waiting {
		if w == function {
			return false, i
		}
	}
	s.waiting = append(s.waiting, function)
	return false, len(s.waiting) - 1
}

// leave takes a function out of those that wait.
func (s *slots) leave(function types.NamespacedName) {
	for i, w := range s.waiting {
		if w == function {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			return
		}
	}
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
	waiting := append([]types.NamespacedName(nil), s.waiting...)
	s.mu.Unlock()
	for _, function := range waiting {
		s.enqueue(function)
	}
}
