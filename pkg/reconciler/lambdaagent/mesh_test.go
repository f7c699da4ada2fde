package lambdaagent

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	clientgotesting "k8s.io/client-go/testing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/controller"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/routing"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// mesh is agents that all emit a type of their own and receive those of all others.
type mesh struct {
	*ltesting.World
	reconciler *Reconciler
	agents     []*v1alpha1.LambdaAgent
	writes     map[string]int // by verb and resource, since the last count
}

func newMesh(t *testing.T, n int) *mesh {
	m := &mesh{}
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("io.mesh.agent-%d.said", i))
	}
	ctx := in()
	objects := ltesting.Objects()
	for i := range n {
		a := peer(fmt.Sprintf("agent-%d", i), intends(fmt.Sprintf("agent-%d.said", i)))
		for j, eventType := range all {
			if i != j {
				subscribes(eventType)(a.Spec.Eventing)
			}
		}
		a.Generation = 1
		a.Spec = a.EffectiveSpec(config.FromContextOrDefaults(ctx))
		m.agents, objects = append(m.agents, a), append(objects, a)
	}
	m.World = ltesting.NewWorld(ctx, t, func(ctx context.Context, ls *ltesting.Listers) controller.Reconciler {
		m.reconciler = reconcilerOf(ctx, ls)
		return generated(ctx, ls, m.reconciler)
	}, objects...)
	return m
}

// pass reconciles all agents once.
func (m *mesh) pass(t *testing.T) (written []clientgotesting.Action) {
	t.Helper()
	m.writes = map[string]int{}
	for _, a := range m.agents {
		for _, w := range m.Reconcile(t, keyOf(a).String()) {
			what := w.GetVerb() + " " + w.GetResource().Resource
			if w.GetSubresource() != "" {
				what += "/" + w.GetSubresource()
			}
			m.writes[what]++
			written = append(written, w)
		}
	}
	return written
}

// works lets what was created be as it is when it works.
func (m *mesh) works(created []clientgotesting.Action) {
	for _, w := range created {
		create, ok := w.(clientgotesting.CreateActionImpl)
		if !ok {
			continue
		}
		switch o := create.Object.DeepCopyObject().(type) {
		case *eventingv1.Broker:
			o.Generation, o.Status.Status = 1, *readyStatus.DeepCopy()
			m.Put(o)
		case *eventingv1.Trigger:
			o.Generation, o.Status.Status = 1, *readyStatus.DeepCopy()
			m.Put(o)
		case *servingv1.Service:
			ltesting.WithRevision(o.Name+"-00001", o.Name+"-00001", apis.Condition{Status: corev1.ConditionTrue})(o)
			m.Put(o)
		}
	}
}

// TestMesh: fifty agents that all talk to each other are joined in one pass over each,
// by as many writes as there are things to make; a resync writes nothing.
func TestMesh(t *testing.T) {
	const n, others = 50, 49
	m := newMesh(t, n)
	began := time.Now()
	m.works(m.pass(t))
	t.Logf("the first pass over %d agents took %v", n, time.Since(began).Round(time.Millisecond))
	want := map[string]int{
		"create configmaps": n, "create services": n, "create brokers": n,
		"create triggers": n * (others + others + 1), "update lambdaagents/status": n, // as many subscriptions as routes, and calls
	}
	if got := fmt.Sprint(m.writes); got != fmt.Sprint(want) {
		t.Errorf("the first pass writes %v, want %v", got, want)
	}
	m.pass(t)
	if got, want := fmt.Sprint(m.writes), fmt.Sprint(map[string]int{"update lambdaagents/status": n}); got != want {
		t.Errorf("once all that was made works, %s is written, want %s", got, want)
	}
	began = time.Now()
	m.pass(t)
	t.Logf("a resync took %v", time.Since(began).Round(time.Millisecond))
	if len(m.writes) > 0 {
		t.Errorf("a resync writes %v, want nothing", m.writes)
	}
	m.leaves(t)
}

// leaves: the others hear of one that goes, and each writes what concerns it.
func (m *mesh) leaves(t *testing.T) {
	gone := m.agents[0]
	affected := m.reconciler.index.Set(keyOf(gone), nil)
	if len(affected) != len(m.agents)-1 {
		t.Errorf("%d agents hear of one that goes, want all others", len(affected))
	}
	m.agents = m.agents[1:]
	m.pass(t)
	n := len(m.agents)
	if got, want := fmt.Sprint(m.writes), fmt.Sprint(map[string]int{"update triggers": n, "update lambdaagents/status": n}); got != want {
		t.Errorf("when one goes, %s is written, want %s", got, want)
	}
	if len(m.reconciler.index.Routes(keyOf(gone))) > 0 {
		t.Error("an agent that has gone has routes")
	}
	if again := m.reconciler.index.Set(keyOf(gone), routing.Of(gone)); len(again) != n {
		t.Errorf("%d agents hear of one that comes back, want all others", len(again))
	}
}
