package lambdaagent

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata/fake"
	"knative.dev/pkg/tracker"

	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/references"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdaagent/resources"
)

// TestWatchReferred: who refers to a Secret or a ConfigMap hears of each change of it,
// and nothing of it is kept but who it is.
func TestWatchReferred(t *testing.T) {
	scheme := fake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	object := func(kind, name string) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: kind},
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name), ResourceVersion: "1", Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: "values"}},
		}
	}
	client := fake.NewSimpleMetadataClient(scheme, object("Secret", "keys"), object("ConfigMap", "prompts"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	heard := make(chan types.NamespacedName, 10)
	tracked := tracker.New(func(key types.NamespacedName) { heard <- key }, time.Hour)
	one, two := agent(), agent()
	one.Name, two.Name = "one", "two"
	for kind, by := range map[string]any{"Secret": one, "ConfigMap": two} {
		name := map[string]string{"Secret": "keys", "ConfigMap": "prompts"}[kind]
		if err := tracked.TrackReference(tracker.Reference{APIVersion: "v1", Kind: kind, Namespace: namespace, Name: name}, by); err != nil {
			t.Fatal(err)
		}
		<-heard // of itself
	}
	watcher := references.NewWatcher(client)
	found := watcher.Watch(ctx, tracked)
	secrets := make(chan any, 10)
	watcher.Observe(ctx, references.KindSecret, func(obj any) { secrets <- obj })
	hears := func(want ...string) {
		t.Helper()
		for range want {
			select {
			case key := <-heard:
				if key.Name != want[0] && key.Name != want[len(want)-1] {
					t.Errorf("%s heard, want %v", key.Name, want)
				}
			case <-time.After(time.Minute):
				t.Fatalf("%v did not hear of the change", want)
			}
		}
	}
	hears("one", "two")
	secret, err := found[resources.KindSecret].Namespace(namespace).Get("keys")
	if err != nil || secret.UID != "keys" || len(secret.Annotations) > 0 {
		t.Errorf("the cache has %+v, %v; want the Secret without its annotations", secret, err)
	}
	gvr := corev1.SchemeGroupVersion.WithResource("secrets")
	if err := client.Resource(gvr).Namespace(namespace).Delete(ctx, "keys", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	hears("one")
	for range 2 { // it is there, and deleted
		select {
		case <-secrets:
		case <-time.After(time.Minute):
			t.Fatal("a change of the Secret is not passed on")
		}
	}
}
