//go:build e2e

package tenant

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// approver answers after a while, and says when it is asked.
type approver struct {
	delay time.Duration
	asked chan time.Time
}

func (s *approver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case s.asked <- time.Now():
	default:
	}
	select {
	case <-time.After(s.delay):
	case <-r.Context().Done():
	}
	w.WriteHeader(http.StatusAccepted)
}

// TestSlowApprovers: approvals that are not answered delay neither another tenant's
// question nor its deadline.
func TestSlowApprovers(t *testing.T) {
	ctx := within(t, 3*time.Minute) // not in parallel: it measures what others would slow down
	victim, attacker := admin.Tenant(ctx, t, "victim"), admin.Tenant(ctx, t, "attacker")
	allowApprovers(ctx, t)
	slow, quick := &approver{delay: 29 * time.Second, asked: make(chan time.Time, 64)}, &approver{asked: make(chan time.Time, 64)}
	at, mine := admin.ServeHost(t, slow), admin.ServeHost(t, quick)
	hung := createAgent(ctx, t, attacker, agent(attacker, "hung", supervised(at.URL), func(s *v1alpha1.LambdaAgentSpec) { s.Eventing.EventSource = "/hung" }))
	ops := createAgent(ctx, t, victim, agent(victim, "ops", supervised(mine.URL), func(s *v1alpha1.LambdaAgentSpec) { s.Eventing.EventSource = "/ops" }))
	hasty := createAgent(ctx, t, victim, agent(victim, "hasty", supervised(mine.URL), func(s *v1alpha1.LambdaAgentSpec) {
		s.Eventing.EventSource = "/hasty"
		s.Approval.Timeout = v1alpha1.NewDuration(5 * time.Second)
	}))
	of := map[string]string{}
	for tenant, made := range map[*test.Tenant][]*v1alpha1.LambdaAgent{attacker: {hung}, victim: {ops, hasty}} {
		for _, a := range made {
			knows(ctx, t, tenant, a)
			of[a.Name] = approvalsPath(ctx, t, tenant, a)
		}
	}
	select {
	case <-slow.asked:
	case <-time.After(20 * time.Second):
		t.Skip("approvers on this machine are not asked: config-events, approval-allowed-networks has not its address")
	}
	drain(quick.asked)
	for i := range 60 {
		if status, err := request(ctx, t, of["hung"], hung, fmt.Sprintf("hung-%d", i)); err != nil {
			t.Fatalf("request %d of the attacker: %d %v", i, status, err)
		}
	}
	began := time.Now()
	if _, err := request(ctx, t, of["ops"], ops, "mine-now"); err != nil {
		t.Fatal(err)
	}
	select {
	case when := <-quick.asked:
		t.Logf("the victim's approver was asked after %v", when.Sub(began).Round(time.Millisecond))
		if took := when.Sub(began); took > 5*time.Second {
			t.Errorf("the victim's approver was asked after %v, want within 5s", took)
		}
	case <-time.After(30 * time.Second):
		t.Error("the victim's approver was not asked within 30s, while the attacker's does not answer")
	}
	deadline(ctx, t, victim, of["hasty"], hasty)
}

func drain(ch chan time.Time) {
	for {
		select {
		case <-ch:
		case <-time.After(time.Second):
			return
		}
	}
}

// deadline waits until a request without an answer is decided by its deadline.
func deadline(ctx context.Context, t *testing.T, a *test.Tenant, path string, of *v1alpha1.LambdaAgent) {
	t.Helper()
	if _, err := request(ctx, t, path, of, "hasty-1"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err := wait.PollUntilContextTimeout(ctx, interval, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		list, err := a.Lambda.LambdaV1alpha1().ApprovalRequests(a.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		for _, r := range list.Items {
			if r.Spec.ID == "hasty-1" && r.Status.Decision != "" {
				return true, nil
			}
		}
		return false, nil
	})
	took := time.Since(began)
	t.Logf("the deadline of 5s was kept after %v", took.Round(time.Millisecond))
	if err != nil || took > 10*time.Second {
		t.Errorf("the deadline of 5s was kept after %v: %v; want within 10s", took, err)
	}
}

// allowApprovers lets approvers on this machine be asked, as an administrator would, until
// the test ends.
func allowApprovers(ctx context.Context, t *testing.T) {
	t.Helper()
	const key = "approval-allowed-networks"
	configs := admin.Kube.CoreV1().ConfigMaps(operatorNamespace)
	before, err := configs.Get(ctx, "config-events", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if before.Data[key] != "" {
		return
	}
	patch := func(ctx context.Context, value string) error {
		_, err := configs.Patch(ctx, "config-events", types.MergePatchType, []byte(fmt.Sprintf(`{"data":{%q:%s}}`, key, value)), metav1.PatchOptions{})
		return err
	}
	if err := patch(ctx, fmt.Sprintf("%q", admin.HostIP(t)+"/32")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := patch(context.WithoutCancel(ctx), "null"); err != nil {
			t.Error("config-events is left changed:", err)
		}
	})
}
