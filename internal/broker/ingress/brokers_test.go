package ingress

import (
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	"knative.dev/eventing/pkg/apis/eventing"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/client/clientset/versioned/fake"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
)

func brokerObject(name, class string, uid types.UID) *eventingv1.Broker {
	b := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: uid}}
	if class != "" {
		b.Annotations = map[string]string{eventing.BrokerClassKey: class}
	}
	return b
}

// listed Brokers: those of the cache, and those that the API server has.
func listed(t *testing.T, cached, live []*eventingv1.Broker) (*ListedBrokers, *fake.Clientset) {
	t.Helper()
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, b := range cached {
		if err := indexer.Add(b); err != nil {
			t.Fatal(err)
		}
	}
	var objects []runtime.Object
	for _, b := range live {
		objects = append(objects, b)
	}
	client := fake.NewSimpleClientset(objects...)
	return NewListedBrokers(eventinglisters.NewBrokerLister(indexer), client.EventingV1()), client
}

func TestListedBrokers_Get(t *testing.T) {
	t.Parallel()
	audience := "broker"
	full := brokerObject("full", lambda.BrokerClass, "1")
	full.Status.Address = &duckv1.Addressable{Audience: &audience}
	full.Status.Policies = []eventingduckv1.AppliedEventPolicyRef{{Name: "p"}}
	l, _ := listed(t, []*eventingv1.Broker{
		full, brokerObject("plain", lambda.BrokerClass, "2"), brokerObject("foreign", "MTChannelBasedBroker", "3"), brokerObject("classless", "", "4"),
	}, nil)
	if b, ok := l.Get("team", "full"); !ok || b.UID != "1" || *b.Audience != audience || len(b.Policies) != 1 || b.Namespace != "team" || b.Name != "full" {
		t.Errorf("Get() = %+v, %t", b, ok)
	}
	if b, ok := l.Get("team", "plain"); !ok || b.UID != "2" || b.Audience != nil {
		t.Errorf("Get() = %+v, %t", b, ok)
	}
	for _, name := range []string{"foreign", "classless", "absent"} {
		if b, ok := l.Get("team", name); ok {
			t.Errorf("Get(%s) = %+v", name, b)
		}
	}
	if b, ok := l.Get("other", "plain"); ok {
		t.Errorf("Get() in another namespace = %+v", b)
	}
}

func TestListedBrokers_Refresh(t *testing.T) {
	t.Parallel()
	stale, current := brokerObject("b", lambda.BrokerClass, "1"), brokerObject("b", lambda.BrokerClass, "2")
	for name, tc := range map[string]struct {
		live  []*eventingv1.Broker
		fails bool
		ok    bool
		uid   types.UID
	}{
		"recreated":              {live: []*eventingv1.Broker{current}, ok: true, uid: "2"},
		"unchanged":              {live: []*eventingv1.Broker{stale}, ok: true, uid: "1"},
		"deleted":                {},
		"another class":          {live: []*eventingv1.Broker{brokerObject("b", "MTChannelBasedBroker", "2")}},
		"the API server is away": {fails: true, ok: true, uid: "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, client := listed(t, []*eventingv1.Broker{stale}, tc.live)
			if tc.fails {
				client.PrependReactor("get", "brokers", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("away") })
			}
			b, ok := l.Refresh(t.Context(), "team", "b")
			if ok != tc.ok || b.UID != tc.uid {
				t.Errorf("Refresh() = %+v, %t", b, ok)
			}
			for range 10 { // within the second the cache answers
				if b, ok := l.Refresh(t.Context(), "team", "b"); !ok || b.UID != "1" {
					t.Errorf("Refresh() from the cache = %+v, %t", b, ok)
				}
			}
			if reads := len(client.Actions()); reads != 1 {
				t.Errorf("the API server was asked %d times", reads)
			}
		})
	}
}
