package lambdafunction

import (
	"maps"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/fair"
)

// slots bound how many builds run at once, share them fairly among namespaces, and
// keep one image from being built twice at once. What runs is read from the Jobs in
// the cache; a Job that was made a moment ago, and that the cache does not have yet,
// is remembered until it does, and so is a slot that its function has not taken yet.
type slots struct {
	enqueue func(types.NamespacedName)
	// waited is told how long a build was in the line when it leaves it with a slot.
	waited func(time.Duration)
	clock  clock.PassiveClock
	// active lists the Jobs in the cache that have not ended.
	active func() ([]*batchv1.Job, error)

	mu      sync.Mutex
	bounds  config.Build
	granted map[types.NamespacedName]claim // by Job
	waiting map[types.NamespacedName]claim // by function
	line    fair.Line[types.NamespacedName]
	// told is how many builds are before that of each function that waits, as its
	// condition says.
	told map[types.NamespacedName]int
}

// claim is what a function wants a slot for.
type claim struct {
	function, job types.NamespacedName
	// reference of the image.
	reference string
	// kueue says that Kueue decides when the Job runs: it takes no slot.
	kueue bool
	// since when it waits.
	since time.Time
}

func newSlots(enqueue func(types.NamespacedName), active func() ([]*batchv1.Job, error), clock clock.PassiveClock) *slots {
	return &slots{enqueue: enqueue, waited: func(time.Duration) {}, clock: clock, active: active, granted: map[types.NamespacedName]claim{},
		waiting: map[types.NamespacedName]claim{}, told: map[types.NamespacedName]int{}}
}

// grant is the answer to a function that wants to build.
type grant struct {
	// ok says that it may.
	ok bool
	// shared is the Job of another function in the namespace that builds the same
	// image just now; empty where there is none.
	shared string
	// before is how many builds are before this one: exact below fewBuilds, else
	// at least so many.
	before int
}

// take asks for a slot. A function that gets none is enqueued when it has one, and
// when what it was told of its place no longer holds.
func (s *slots) take(c claim, cfg *config.Build) (grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bounds = *cfg
	s.release(c.function, c.job) // of a spec that has moved on
	running, err := s.running()
	if err != nil {
		return grant{}, err
	}
	if _, has := running[c.job]; !has {
		if other := sharedWith(running, c); other != "" {
			s.leave(c.function)
			return grant{shared: other}, nil
		}
		if !c.kueue {
			s.wait(c)
			s.line.Join(c.function, c.function.Namespace)
			s.advance(running, c.function)
		}
	}
	if _, has := running[c.job]; has || c.kueue {
		s.leave(c.function)
		s.granted[c.job] = c
		return grant{ok: true}, nil
	}
	return grant{before: s.told[c.function]}, nil
}

// wait in the line; who is in it stays where it is.
func (s *slots) wait(c claim) {
	c.since = s.clock.Now()
	if before, ok := s.waiting[c.function]; ok {
		c.since = before.since
	}
	s.waiting[c.function] = c
}

// depth is how many builds wait.
func (s *slots) depth() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.line.Len()
}

// running are the claims of Jobs that run, or may be made.
func (s *slots) running() (map[types.NamespacedName]claim, error) {
	// Read under the lock: what a grant was forgotten for, this list has.
	active, err := s.active()
	if err != nil {
		return nil, err
	}
	running := make(map[types.NamespacedName]claim, len(active)+len(s.granted))
	for _, j := range active {
		job := types.NamespacedName{Namespace: j.Namespace, Name: j.Name}
		running[job] = claim{job: job, reference: j.Annotations[lambda.ImageAnnotationKey], kueue: j.Labels[lambda.KueueQueueLabelKey] != ""}
		delete(s.granted, job) // the cache has it now
	}
	maps.Copy(running, s.granted)
	return running, nil
}

// sharedWith is the Job of another function in the namespace for the same image.
func sharedWith(running map[types.NamespacedName]claim, c claim) string {
	for job, r := range running {
		if job.Namespace == c.job.Namespace && r.reference == c.reference && job != c.job {
			return job.Name
		}
	}
	return ""
}

// release gives up the slots of a function but that of one Job, which were not
// taken, or whose Jobs the cache does not have yet.
func (s *slots) release(function, keep types.NamespacedName) {
	maps.DeleteFunc(s.granted, func(job types.NamespacedName, c claim) bool { return c.function == function && job != keep })
}

func (s *slots) leave(function types.NamespacedName) {
	s.line.Leave(function)
	delete(s.waiting, function)
	delete(s.told, function)
}

// advance gives free slots to those whose turn it is, and enqueues them and whoever
// was told another place; but not who asks just now.
func (s *slots) advance(running map[types.NamespacedName]claim, asking types.NamespacedName) {
	taken, have := 0, map[string]int{}
	for job, c := range running {
		if !c.kueue {
			taken++
			have[job.Namespace]++
		}
	}
	for taken < s.bounds.MaxParallel {
		function, ok := s.line.Next(have, s.bounds.MaxParallelPerNamespace)
		if !ok {
			break
		}
		c := s.waiting[function]
		s.leave(function)
		if sharedWith(running, c) == "" { // else it will be told when it asks
			s.granted[c.job], running[c.job] = c, c
			s.waited(s.clock.Since(c.since))
			taken++
			have[function.Namespace]++
		}
		if function != asking {
			s.enqueue(function)
		}
	}
	for i, function := range s.line.Order(have) {
		before := coarse(i)
		was, known := s.told[function]
		if known && was == before {
			continue
		}
		s.told[function] = before
		if function != asking {
			s.enqueue(function)
		}
	}
}

// fewBuilds before one are told exactly.
const fewBuilds = 10

// coarse is what is told of a number of builds: from fewBuilds on 1, 2 or 5 times a
// power of ten, not more than the number. A line that moves makes as many writes as
// there are numbers to tell, however long it is.
func coarse(n int) int {
	if n < fewBuilds {
		return n
	}
	for power := fewBuilds; ; power *= 10 {
		for _, step := range []int{5, 2, 1} {
			if told := step * power; n >= told && n < 10*power {
				return told
			}
		}
	}
}

// cancel takes back a slot whose Job could not be made.
func (s *slots) cancel(job types.NamespacedName) { s.freed(job) }

// forget drops a function that wants no build any more.
func (s *slots) forget(function types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(function)
	s.release(function, types.NamespacedName{})
	s.move()
}

// freed says that a Job has ended, or will not be.
func (s *slots) freed(job types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.granted, job)
	s.move()
}

// move lets those who wait have what has become free.
func (s *slots) move() {
	if s.line.Len() == 0 {
		return
	}
	if running, err := s.running(); err == nil { // else the next to ask moves the line
		s.advance(running, types.NamespacedName{})
	}
}
