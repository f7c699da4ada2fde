package optional

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	logtesting "knative.dev/pkg/logging/testing"
)

// served are the resources of each version.
type cluster map[string][]string

func (c cluster) ServerResourcesForGroupVersion(version string) (*metav1.APIResourceList, error) {
	names, ok := c[version]
	if !ok {
		return nil, apierrs.NewNotFound(schema.GroupResource{}, version)
	}
	list := &metav1.APIResourceList{GroupVersion: version}
	for _, name := range names {
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: name})
	}
	return list, nil
}

var brokers = schema.GroupVersion{Group: "eventing.knative.dev", Version: "v1"}

func TestTry(t *testing.T) {
	for name, tt := range map[string]struct {
		cluster cluster
		err     error
		started bool
	}{
		"all there":        {cluster{"eventing.knative.dev/v1": {"brokers", "triggers", "brokers/status"}}, nil, true},
		"one is missing":   {cluster{"eventing.knative.dev/v1": {"brokers"}}, nil, false},
		"none":             {cluster{}, nil, false},
		"no right to list": {cluster{"eventing.knative.dev/v1": {"brokers", "triggers"}}, errors.New("forbidden"), false},
		"another version":  {cluster{"eventing.knative.dev/v1beta1": {"brokers", "triggers"}}, nil, false},
	} {
		var informers context.Context
		k := Kinds{Name: name, Resources: []schema.GroupVersionResource{brokers.WithResource("brokers"), brokers.WithResource("triggers")},
			Start: func(ctx context.Context) error {
				informers = ctx
				return tt.err
			}}
		if got := k.try(logtesting.TestContextWithLogger(t), tt.cluster); got != tt.started {
			t.Errorf("%s: started = %v, want %v", name, got, tt.started)
		}
		if tt.err != nil && informers.Err() == nil {
			t.Errorf("%s: informers that were given up run on", name)
		}
	}
}

// later serves nothing at first.
type later struct {
	asked atomic.Int32
	cluster
}

func (l *later) ServerResourcesForGroupVersion(version string) (*metav1.APIResourceList, error) {
	if l.asked.Add(1) < 3 {
		return cluster{}.ServerResourcesForGroupVersion(version)
	}
	return l.cluster.ServerResourcesForGroupVersion(version)
}

func TestRunFindsWhatComesLater(t *testing.T) {
	previous := interval
	interval = 10 * time.Millisecond
	t.Cleanup(func() { interval = previous })
	ctx, cancel := context.WithTimeout(logtesting.TestContextWithLogger(t), 10*time.Second)
	defer cancel()
	found := make(chan struct{})
	var started atomic.Int32
	Run(ctx, &later{cluster: cluster{"eventing.knative.dev/v1": {"brokers"}}}, Kinds{
		Name: "Knative Eventing", Resources: []schema.GroupVersionResource{brokers.WithResource("brokers")},
		Start: func(context.Context) error { started.Add(1); return nil },
		Found: func() { close(found) },
	})
	if started.Load() != 0 {
		t.Error("started before the kinds were there")
	}
	select {
	case <-found:
	case <-ctx.Done():
		t.Fatal("what came later was not found")
	}
	if n := started.Load(); n != 1 {
		t.Errorf("started %d times", n)
	}
}

type factory struct{ started bool }

func (f *factory) Start(<-chan struct{}) { f.started = true }

func TestSync(t *testing.T) {
	f := &factory{}
	if err := Sync(t.Context(), f, func(<-chan struct{}) map[string]bool { return map[string]bool{"Broker": true} }); err != nil || !f.started {
		t.Errorf("Sync() = %v, started %v", err, f.started)
	}
	if err := Sync(t.Context(), f, func(<-chan struct{}) map[string]bool { return map[string]bool{"Broker": false} }); err == nil {
		t.Error("Sync() does not tell that a cache was not filled")
	}
}
