package deadletter_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata/fake"
	"knative.dev/pkg/ptr"

	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/httpapi"
)

// made is an object of the name key, controlled by an object of that UID.
func made(apiVersion, kind, uid, controller string) *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: apiVersion, Kind: kind},
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, UID: types.UID(uid)},
	}
	if controller != "" {
		o.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Any", Name: key.Name, UID: types.UID(controller), Controller: ptr.Bool(true)}}
	}
	return o
}

func TestServing_Owned(t *testing.T) {
	t.Parallel()
	service := func(controller string) runtime.Object {
		return made("serving.knative.dev/v1", "Service", "ksvc", controller)
	}
	route := func(controller string) runtime.Object {
		return made("serving.knative.dev/v1", "Route", "route", controller)
	}
	address := func(controller string) runtime.Object { return made("v1", "Service", "svc", controller) }
	for name, tc := range map[string]struct {
		objects []runtime.Object
		want    string
	}{
		"as Knative made them":      {[]runtime.Object{service("f"), route("ksvc"), address("route")}, ""},
		"no Knative Service":        {nil, "Knative Service team/greeter does not exist"},
		"no address":                {[]runtime.Object{service("f"), route("ksvc")}, "Service team/greeter does not exist"},
		"a replaced address":        {[]runtime.Object{service("f"), route("ksvc"), address("")}, "Service team/greeter is not controlled by the Route"},
		"an invented owner":         {[]runtime.Object{service("f"), route("ksvc"), address("other")}, "Service team/greeter is not controlled by the Route"},
		"a Route of one's own":      {[]runtime.Object{service("f"), route(""), address("route")}, "Route team/greeter is not controlled by the Knative Service"},
		"another function's":        {[]runtime.Object{service("g"), route("ksvc"), address("route")}, "Knative Service team/greeter is not controlled by the function"},
		"a Service of one's own":    {[]runtime.Object{service(""), route("ksvc"), address("route")}, "Knative Service team/greeter is not controlled by the function"},
		"of a function before it":   {[]runtime.Object{service("old"), route("ksvc"), address("route")}, "delete it, and Knative creates it again"},
		"the address of a stranger": {[]runtime.Object{service("f"), route("ksvc"), address("ksvc")}, "Service team/greeter is not controlled by the Route"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scheme := fake.NewTestScheme()
			if err := metav1.AddMetaToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			err := deadletter.NewServing(fake.NewSimpleMetadataClient(scheme, tc.objects...)).Owned(t.Context(), deadletter.Function(key), "f")
			var notReady *httpapi.StatusError
			switch {
			case tc.want == "":
				if err != nil {
					t.Errorf("Owned() = %v", err)
				}
			case !errors.As(err, &notReady) || notReady.Reason != deadletter.ReasonNotReady || !strings.Contains(err.Error(), tc.want):
				t.Errorf("Owned() = %v, want one of the reason NotReady with %q", err, tc.want)
			}
		})
	}
}

type replaced struct{}

func (replaced) Owned(context.Context, deadletter.Owner, types.UID) error {
	return errors.New("the Service team/greeter is not controlled by the Route")
}

// TestReplay_ToAReplacedService: nothing is sent to an address that is not the owner's.
func TestReplay_ToAReplacedService(t *testing.T) {
	t.Parallel()
	r := newRecipient(t, func(string) int { return 500 })
	s, store := service(t, r.function(), 1, r.client())
	s.Serving = replaced{}
	err := s.Replay(t.Context(), deadletter.Function(key), deadletter.Selection{All: true}, func(receiverv1.ReplayResult) { t.Error("something was sent") })
	if err == nil || !strings.Contains(err.Error(), "is not controlled by") || len(r.got) != 0 || len(store.IDs(queue)) != 1 {
		t.Errorf("Replay() = %v, the other Service got %v; want a refusal", err, r.got)
	}
}
