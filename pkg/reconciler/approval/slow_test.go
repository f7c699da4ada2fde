package approval

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgotesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"knative.dev/pkg/reconciler"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/approval"
	fakelambda "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned/fake"
	listers "github.com/brunovlucena/knative-lambda-operator/pkg/client/listers/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// slowEndpoint answers each request after 29 seconds, but those to a host "mine".
type slowEndpoint struct {
	mu    sync.Mutex
	began time.Time
	mine  []time.Duration
}

const slowFor = 29 * time.Second

func (s *slowEndpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Host, "mine") {
		s.mu.Lock()
		s.mine = append(s.mine, time.Since(s.began))
		s.mu.Unlock()
		return &http.Response{StatusCode: http.StatusAccepted, Body: http.NoBody}, nil
	}
	select {
	case <-time.After(slowFor):
		return nil, context.DeadlineExceeded
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// crowd is a controller with its workers, and a cluster of many requests.
type crowd struct {
	*decider
	queue            workqueue.TypedRateLimitingInterface[types.NamespacedName]
	requests, agents cache.Indexer
	late             *deadlines
	cluster          *fakelambda.Clientset
}

func newCrowd(t *testing.T, endpoint http.RoundTripper) *crowd {
	t.Helper()
	index := func() cache.Indexer {
		return cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	}
	c := &crowd{requests: index(), agents: index(), cluster: fakelambda.NewSimpleClientset()}
	c.queue = workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](firstRetry, maxRetry))
	// As an informer would: what is written comes back, and is enqueued.
	c.cluster.PrependReactor("update", "approvalrequests", func(a clientgotesting.Action) (bool, runtime.Object, error) {
		r := a.(clientgotesting.UpdateAction).GetObject().(*v1alpha1.ApprovalRequest).DeepCopy()
		if err := c.requests.Update(r); err != nil {
			return true, nil, err
		}
		c.queue.Add(types.NamespacedName{Namespace: r.Namespace, Name: r.Name})
		return true, r, nil
	})
	c.decider = &decider{
		requests: listers.NewApprovalRequestLister(c.requests), agents: listers.NewLambdaAgentLister(c.agents), client: c.cluster.LambdaV1alpha1(),
		recorder: record.NewFakeRecorder(1000), clock: clock.RealClock{}, after: c.queue.AddAfter,
	}
	if err := c.Promote(reconciler.UniversalBucket(), nil); err != nil {
		t.Fatal(err)
	}
	post := func(context.Context, string, *event.Event) error { return nil }
	c.calls = newCalls(&asker{client: &http.Client{Transport: endpoint}}, post, clock.RealClock{}, c.queue.Add, c.IsLeaderFor)
	c.late = newDeadlines(c.decider, clock.RealClock{})
	return c
}

// run with 8 workers until the returned function is called.
func (c *crowd) run(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { c.calls.Run(ctx) })
	running.Go(func() { c.late.run(ctx) })
	for range concurrency {
		running.Go(func() {
			for {
				key, quit := c.queue.Get()
				if quit {
					return
				}
				if err := c.Reconcile(ctx, key.String()); err != nil {
					c.queue.AddRateLimited(key)
				}
				c.queue.Done(key)
			}
		})
	}
	return func() {
		cancel()
		c.queue.ShutDown()
		running.Wait()
	}
}

// add a request of an agent of the namespace, which asks a custom endpoint.
func (c *crowd) add(t *testing.T, namespace, id, host string, timeout time.Duration) types.NamespacedName {
	t.Helper()
	agent := &v1alpha1.LambdaAgent{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "agent-" + id, UID: types.UID(namespace + id)},
		Spec: v1alpha1.LambdaAgentSpec{OperationMode: v1alpha1.ModeSupervised, Approval: &v1alpha1.ApprovalSpec{
			Providers: []v1alpha1.ApprovalProvider{"custom"}, Timeout: v1alpha1.NewDuration(timeout), TimeoutAction: "deny",
			Custom: &v1alpha1.CustomApproval{Endpoint: "http://" + host + "/decide"},
		}},
	}
	r := approval.New(agent, id, &events.ApprovalRequest{Action: "reboot"}, []byte(`{"action":"reboot"}`), 0, time.Now())
	r.UID = types.UID(namespace + id)
	if err := c.agents.Add(agent); err != nil {
		t.Fatal(err)
	}
	if err := c.requests.Add(r); err != nil {
		t.Fatal(err)
	}
	key := types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
	c.queue.Add(key)
	c.late.watch(r)
	return key
}

// TestOneTenantIsSlow: 60 approvals of one tenant at an endpoint that takes 29 s do not
// delay another tenant's request, nor its deadline.
func TestOneTenantIsSlow(t *testing.T) {
	for name, host := range map[string]func(int) string{
		"one endpoint":           func(int) string { return "slow.test" },
		"endpoints of their own": func(i int) string { return fmt.Sprintf("slow-%d.test", i) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				endpoint := &slowEndpoint{began: time.Now()}
				c := newCrowd(t, endpoint)
				stop := c.run(t.Context())
				var slow []types.NamespacedName
				for i := range 60 {
					slow = append(slow, c.add(t, "slow", fmt.Sprint(i), host(i), 10*time.Minute))
				}
				time.Sleep(5 * time.Second) // of the bubble's clock
				answered := c.add(t, "mine", "answered", "mine.test", time.Hour)
				silent := c.add(t, "mine", "silent", "silent.test", 30*time.Second)
				time.Sleep(time.Second)
				if len(endpoint.mine) != 1 || endpoint.mine[0] > 6*time.Second {
					t.Errorf("asked at %v, want within a second of 5s", endpoint.mine)
				}
				time.Sleep(28 * time.Second) // to 34 s after the start, a second before the deadline
				if s := c.now(silent).Status; s.Decision != "" {
					t.Errorf("decided at %v, before its deadline", s.DecidedTime)
				}
				time.Sleep(1100 * time.Millisecond)
				if s := c.now(silent).Status; s.Decision != v1alpha1.ApprovalDenied || s.DecidedBy != approval.ByTimeout {
					t.Errorf("the decision a tenth of a second after the deadline is %q by %q, want denied by timeout", s.Decision, s.DecidedBy)
				}
				time.Sleep(10*time.Minute - 35*time.Second) // to the deadline of the slow ones
				for _, key := range slow {
					if s := c.now(key).Status; s.DecidedBy != approval.ByTimeout {
						t.Errorf("%s is %q by %q, want decided by timeout", key, s.Decision, s.DecidedBy)
					}
				}
				if s := c.now(answered).Status; s.Decision != "" || len(s.Notices) != 1 || s.Notices[0].Time == nil {
					t.Errorf("the request that was taken has status %+v", s)
				}
				stop()
			})
		})
	}
}

func (c *crowd) now(key types.NamespacedName) *v1alpha1.ApprovalRequest {
	r, err := c.decider.requests.ApprovalRequests(key.Namespace).Get(key.Name)
	if err != nil {
		return &v1alpha1.ApprovalRequest{}
	}
	return r
}

// TestDeadlines: a request is decided at its deadline by the replica that is responsible
// for it, and again where the API server fails.
func TestDeadlines(t *testing.T) {
	for name, tt := range map[string]struct {
		notLeader bool
		failures  int
		after     time.Duration
		want      v1alpha1.ApprovalDecision
	}{
		"in time":              {after: time.Minute + 100*time.Millisecond, want: v1alpha1.ApprovalDenied},
		"before":               {after: time.Minute - time.Second},
		"another's":            {notLeader: true, after: time.Hour},
		"the API server fails": {failures: 3, after: time.Minute + 5*time.Second, want: v1alpha1.ApprovalDenied},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t, &slowEndpoint{})
				if tt.notLeader {
					c.Demote(reconciler.UniversalBucket())
				}
				failures := tt.failures
				c.cluster.PrependReactor("update", "approvalrequests", func(clientgotesting.Action) (bool, runtime.Object, error) {
					if failures--; failures >= 0 {
						return true, nil, fmt.Errorf("the API server is away")
					}
					return false, nil, nil
				})
				key := c.add(t, "team", "1", "silent.test", time.Minute)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); c.late.run(ctx) }()
				time.Sleep(tt.after) // of the bubble's clock
				if got := c.now(key).Status.Decision; got != tt.want {
					t.Errorf("decision %q, want %q", got, tt.want)
				}
				cancel()
				<-done
				c.queue.ShutDown()
				c.stopped(t)
			})
		})
	}
}

// stopped runs the poller of calls to its end: it has goroutines of its own.
func (c *crowd) stopped(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.calls.Run(ctx)
}
