package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

const (
	// operatorNamespace has the configuration.
	operatorNamespace = "knative-lambda"
	// creators apply agents at once.
	creators = 8
	// patience is how long anything may take.
	patience = 10 * time.Minute
)

// mesh is agents in a namespace of their own.
type mesh struct {
	*test.Clients
	o         *options
	namespace string
	writes    *writes
}

func newMesh(ctx context.Context, clients *test.Clients, o *options) (*mesh, error) {
	namespace, err := emptyNamespace(ctx, clients)
	if err != nil {
		return nil, err
	}
	m := &mesh{Clients: clients, o: o, namespace: namespace}
	m.writes, err = count(ctx, clients.Dynamic, m.namespace)
	if err != nil {
		_ = m.remove() // the first error is told
		return nil, err
	}
	return m, nil
}

// emptyNamespace is one in which no pod can run.
func emptyNamespace(ctx context.Context, clients *test.Clients) (string, error) {
	namespace, err := clients.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "perf-mesh-"}}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	_, err = clients.Kube.CoreV1().ResourceQuotas(namespace.Name).Create(ctx, &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "no-pods"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}},
	}, metav1.CreateOptions{})
	if err != nil {
		_ = remove(clients, namespace.Name) // the first error is told
	}
	return namespace.Name, err
}

func (m *mesh) remove() error { return remove(m.Clients, m.namespace) }

// said is the type that an agent emits.
func said(i int) string { return fmt.Sprintf("io.mesh.agent-%d.said", i) }

func (m *mesh) agent(i int) *v1alpha1.LambdaAgent {
	a := &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: fmt.Sprintf("agent-%d", i)}}
	a.Spec.Image = v1alpha1.ImageReference{Repository: "localhost:5001/nowhere/agent", Tag: "1"}
	a.Spec.Scaling.MinReplicas = ptr.Int32(0)
	a.Spec.Eventing = &v1alpha1.AgentEventing{Enabled: true, Intents: []string{fmt.Sprintf("agent-%d.said", i)}}
	for k := 1; k <= m.o.peers; k++ {
		a.Spec.Eventing.Subscriptions = append(a.Spec.Eventing.Subscriptions, v1alpha1.AgentSubscription{EventType: said((i + k) % m.o.agents)})
	}
	return a
}

func (m *mesh) create(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for i := range m.o.agents {
		group.Go(func() error {
			_, err := m.Lambda.LambdaV1alpha1().LambdaAgents(m.namespace).Create(ctx, m.agent(i), metav1.CreateOptions{})
			return err
		})
	}
	return group.Wait()
}

// triggers of all agents: one of each subscription, and one of each route.
func (m *mesh) triggers() int { return 2 * m.o.agents * m.o.peers }

// joined waits until the watch has shown every Trigger.
func (m *mesh) joined(ctx context.Context) error {
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		return m.writes.made("triggers") >= m.triggers(), m.writes.failed()
	})
	if err != nil {
		return fmt.Errorf("%d of %d Triggers were made: %w", m.writes.made("triggers"), m.triggers(), err)
	}
	return nil
}

// settled waits until nothing has been written for a while.
func (m *mesh) settled(ctx context.Context) error {
	return wait.PollUntilContextTimeout(ctx, time.Second, patience, true, func(context.Context) (bool, error) {
		return time.Since(m.writes.last()) >= m.o.settle, m.writes.failed()
	})
}

// resync has the operator look at all agents again, by a change of its configuration
// that changes nothing, and waits for what that may bring.
func (m *mesh) resync(ctx context.Context) error {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"lambda.knative.io/perf-mesh":"%d"}}}`, time.Now().UnixNano())
	configMaps := m.Kube.CoreV1().ConfigMaps(operatorNamespace)
	if _, err := configMaps.Patch(ctx, config.EventingConfigName, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return err
	}
	select {
	case <-time.After(m.o.quiet):
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err := configMaps.Patch(ctx, config.EventingConfigName, types.MergePatchType, []byte(`{"metadata":{"annotations":{"lambda.knative.io/perf-mesh":null}}}`), metav1.PatchOptions{})
	if err != nil {
		return err
	}
	return m.writes.failed()
}
