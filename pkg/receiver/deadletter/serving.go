package deadletter

import (
	"context"
	"fmt"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
)

// Serving verifies where the address of an owner leads.
type Serving interface {
	// Owned returns an error of ReasonNotReady unless the Service of the owner's name is the one
	// that Knative made for it. uid is that of the function or agent. A user of the
	// namespace can replace the Service, such as by an ExternalName for a Service of
	// another namespace, whose answers they may not read.
	Owned(ctx context.Context, o Owner, uid types.UID) error
}

// chain of the objects that lead from an owner to its address. Each controls the next.
var chain = []struct {
	kind     string
	resource schema.GroupVersionResource
}{
	{"Knative Service", schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}},
	{"Route", schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "routes"}},
	{"Service", schema.GroupVersionResource{Version: "v1", Resource: "services"}},
}

type serving struct{ client metadata.Interface }

// NewServing returns a Serving that reads the owner references of the objects.
func NewServing(client metadata.Interface) Serving { return serving{client} }

// Owned implements Serving.
func (s serving) Owned(ctx context.Context, o Owner, uid types.UID) error {
	above := string(o.Kind)
	for _, link := range chain {
		found, err := s.client.Resource(link.resource).Namespace(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
		switch {
		case apierrs.IsNotFound(err):
			return notServed(o, fmt.Sprintf("%s %s/%s does not exist", link.kind, o.Namespace, o.Name))
		case err != nil:
			return fmt.Errorf("reading %s %s/%s: %w", link.kind, o.Namespace, o.Name, err)
		}
		controller := metav1.GetControllerOf(found)
		if controller == nil || controller.UID != uid {
			return notServed(o, fmt.Sprintf("%s %s/%s is not controlled by the %s of that name; delete it, and Knative creates it again",
				link.kind, o.Namespace, o.Name, above))
		}
		above, uid = link.kind, found.UID
	}
	return nil
}

func notServed(o Owner, why string) error {
	return notReady(o, "cannot be sent its dead letters: %s", why)
}
