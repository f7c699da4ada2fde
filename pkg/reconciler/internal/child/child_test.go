package child

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	clientgotesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/kmeta"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

var (
	owner   = &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "greeter", UID: "uid"}}
	other   = &v1alpha1.LambdaFunction{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "other", UID: "other"}}
	ofMaps  = schema.GroupResource{Resource: "configmaps"}
	refusal = apierrs.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "child", nil)
)

func ownedBy(o kmeta.OwnerRefable) func(*corev1.ConfigMap) {
	return func(c *corev1.ConfigMap) { c.OwnerReferences = []metav1.OwnerReference{*kmeta.NewControllerRef(o)} }
}

func data(text string) func(*corev1.ConfigMap) {
	return func(c *corev1.ConfigMap) { c.Data = map[string]string{"ours": text} }
}

func deleting(c *corev1.ConfigMap) {
	c.DeletionTimestamp, c.Finalizers = &metav1.Time{Time: time.Unix(1, 0)}, []string{"theirs"}
}

func theirs(c *corev1.ConfigMap) { c.Annotations = map[string]string{"theirs": "1"} }

// made is a child of the owner with the data "new".
func made(change ...func(*corev1.ConfigMap)) *corev1.ConfigMap {
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "child", UID: "child"}}
	ownedBy(owner)(c)
	data("new")(c)
	for _, f := range change {
		f(c)
	}
	return c
}

func mutate(existing, desired *corev1.ConfigMap) { existing.Data = desired.Data }

// world is what a reconciler sees and what there is.
type world struct {
	set      Set[*corev1.ConfigMap]
	client   *fake.Clientset
	recorder *record.FakeRecorder
	ctx      context.Context
}

// newWorld has cached in the cache, there on the API server, and the named verb
// fail.
func newWorld(t *testing.T, cached, there *corev1.ConfigMap, verb string, failure error) *world {
	t.Helper()
	w := &world{client: fake.NewClientset(), recorder: record.NewFakeRecorder(10)}
	w.ctx = controller.WithEventRecorder(t.Context(), w.recorder)
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	if cached != nil {
		if err := indexer.Add(cached); err != nil {
			t.Fatal(err)
		}
	}
	if there != nil {
		if err := w.client.Tracker().Add(there.DeepCopy()); err != nil {
			t.Fatal(err)
		}
	}
	if failure != nil {
		w.client.PrependReactor(verb, "configmaps", func(clientgotesting.Action) (bool, runtime.Object, error) { return true, nil, failure })
	}
	w.set = Set[*corev1.ConfigMap]{Kind: "ConfigMap", Lister: corelisters.NewConfigMapLister(indexer).ConfigMaps("team"), Client: w.client.CoreV1().ConfigMaps("team")}
	return w
}

// did are the calls that were made, and events what was told.
func (w *world) did() (verbs []string) {
	for _, action := range w.client.Actions() {
		verbs = append(verbs, action.GetVerb())
	}
	return verbs
}

func (w *world) events() (told []string) {
	close(w.recorder.Events)
	for e := range w.recorder.Events {
		told = append(told, e)
	}
	return told
}

func TestEnsure(t *testing.T) {
	conflict := apierrs.NewConflict(ofMaps, "child", errors.New("newer"))
	broken := errors.New("broken")
	terminating := error(ltesting.NamespaceTerminating(ofMaps, "team", "child"))
	for _, tt := range []struct {
		name          string
		cached, there *corev1.ConfigMap
		never         bool // the child never changes
		verb          string
		failure       error
		want          *corev1.ConfigMap
		err           string
		did, events   []string
	}{
		{name: "it is made", want: made(), did: []string{"create"}, events: []string{`Normal Created Created ConfigMap "child"`}},
		{name: "it is as it should be", cached: made(), there: made(), want: made()},
		{name: "what others set stays", cached: made(theirs), there: made(theirs), want: made(theirs)},
		{name: "it has changed", cached: made(data("old"), theirs), there: made(data("old"), theirs), want: made(theirs),
			did: []string{"update"}, events: []string{`Normal Updated Updated ConfigMap "child"`}},
		{name: "it never changes", never: true, cached: made(data("old")), there: made(data("old")), want: made(data("old"))},
		{name: "it is being deleted", cached: made(data("old"), deleting), there: made(data("old"), deleting), want: made(data("old"), deleting)},
		{name: "somebody else's", cached: made(ownedBy(other)), there: made(ownedBy(other)), want: made(ownedBy(other)),
			err: "ConfigMap team/child exists already and is not owned by this resource: delete or rename one of the two"},
		{name: "somebody else's, which never changes", never: true, cached: made(ownedBy(other)), there: made(ownedBy(other)), want: made(ownedBy(other)),
			err: "ConfigMap team/child exists already and is not owned by this resource: delete or rename one of the two"},
		{name: "the cache is late", there: made(), want: made(), did: []string{"create", "get"}},
		{name: "the cache is late, and it has changed", there: made(data("old")), want: made(), did: []string{"create", "get", "update"},
			events: []string{`Normal Updated Updated ConfigMap "child"`}},
		{name: "somebody else's, which the cache does not hold", there: made(ownedBy(other)), want: made(ownedBy(other)), did: []string{"create", "get"},
			err: "ConfigMap team/child exists already and is not owned by this resource: delete or rename one of the two"},
		{name: "it cannot be made", verb: "create", failure: broken, did: []string{"create"},
			err: `failed to create ConfigMap "child": broken`, events: []string{`Warning CreateFailed Failed to create ConfigMap "child": broken`}},
		{name: "its namespace is being deleted: no news to the user", verb: "create", failure: terminating, did: []string{"create"},
			err: `failed to create ConfigMap "child": the namespace is being deleted`},
		{name: "it cannot be read", there: made(), verb: "get", failure: broken, did: []string{"create", "get"}, err: `failed to get ConfigMap "child": broken`},
		{name: "it cannot be changed", cached: made(data("old")), there: made(data("old")), verb: "update", failure: broken, want: made(data("old")), did: []string{"update"},
			err: `failed to update ConfigMap "child": broken`, events: []string{`Warning UpdateFailed Failed to update ConfigMap "child": broken`}},
		{name: "a newer one is there: no news to the user", cached: made(data("old")), there: made(data("old")), verb: "update", failure: conflict, want: made(data("old")),
			did: []string{"update"}, err: `failed to update ConfigMap "child": ` + conflict.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.cached, tt.there, tt.verb, tt.failure)
			before := tt.cached.DeepCopy()
			change := mutate
			if tt.never {
				change = nil
			}
			got, err := w.set.Ensure(w.ctx, owner, made(), change)
			if (tt.err == "") != (err == nil) || err != nil && err.Error() != tt.err {
				t.Errorf("error = %v, want %q", err, tt.err)
			}
			if errors.Is(tt.failure, terminating) && (!errors.Is(err, ErrNamespaceTerminating) || apierrs.IsForbidden(err)) {
				t.Errorf("error %v does not tell that the namespace is being deleted, or looks like an exceeded quota", err)
			}
			if tt.failure != nil && !errors.Is(tt.failure, terminating) && !errors.Is(err, tt.failure) {
				t.Errorf("error %v does not wrap %v", err, tt.failure)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreTypes(metav1.TypeMeta{}), cmpopts.IgnoreFields(metav1.ObjectMeta{}, "ManagedFields")); diff != "" && tt.want != nil {
				t.Error("child (-want, +got):", diff)
			}
			if diff := cmp.Diff(tt.did, w.did()); diff != "" {
				t.Error("calls (-want, +got):", diff)
			}
			if diff := cmp.Diff(tt.events, w.events()); diff != "" {
				t.Error("events (-want, +got):", diff)
			}
			if diff := cmp.Diff(before, tt.cached); diff != "" {
				t.Error("what the cache holds was changed (-want, +got):", diff)
			}
		})
	}
}

func TestDelete(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name        string
		cached      *corev1.ConfigMap
		failure     error
		err         string
		did, events []string
	}{
		{name: "it is not there"},
		{name: "it goes", cached: made(), did: []string{"delete"}, events: []string{`Normal Deleted Deleted ConfigMap "child"`}},
		{name: "it goes already", cached: made(deleting)},
		{name: "somebody else's", cached: made(ownedBy(other))},
		{name: "it went meanwhile", cached: made(), failure: apierrs.NewNotFound(ofMaps, "child"), did: []string{"delete"}, events: []string{`Normal Deleted Deleted ConfigMap "child"`}},
		{name: "another one is there meanwhile", cached: made(), failure: apierrs.NewConflict(ofMaps, "child", errors.New("UID")), did: []string{"delete"},
			events: []string{`Normal Deleted Deleted ConfigMap "child"`}},
		{name: "it cannot be deleted", cached: made(), failure: broken, err: `failed to delete ConfigMap "child": broken`, did: []string{"delete"},
			events: []string{`Warning DeleteFailed Failed to delete ConfigMap "child": broken`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.cached, tt.cached, "delete", tt.failure)
			err := w.set.Delete(w.ctx, owner, "child")
			if (tt.err == "") != (err == nil) || err != nil && err.Error() != tt.err {
				t.Errorf("error = %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.did, w.did()); diff != "" {
				t.Error("calls (-want, +got):", diff)
			}
			if diff := cmp.Diff(tt.events, w.events()); diff != "" {
				t.Error("events (-want, +got):", diff)
			}
			for _, action := range w.client.Actions() {
				options := action.(clientgotesting.DeleteAction).GetDeleteOptions()
				if p := options.Preconditions; p == nil || p.UID == nil || *p.UID != "child" {
					t.Errorf("it is deleted whoever it is: %+v", options)
				}
				if p := options.PropagationPolicy; p == nil || *p != metav1.DeletePropagationBackground {
					t.Errorf("its own children are left, or waited for: %+v", options)
				}
			}
		})
	}
}

func TestKindsOfErrors(t *testing.T) {
	notOwned := fmt.Errorf("wrapped: %w", &NotOwnedError{Kind: "ConfigMap"})
	for _, tt := range []struct {
		err                error
		notOwned, rejected bool
	}{
		{notOwned, true, false},
		{fmt.Errorf("wrapped: %w", refusal), false, true},
		{apierrs.NewBadRequest("denied the request"), false, true},
		{apierrs.NewForbidden(ofMaps, "child", errors.New("quota")), false, false},
		{errors.New("broken"), false, false},
		{nil, false, false},
	} {
		if IsNotOwned(tt.err) != tt.notOwned || IsRejected(tt.err) != tt.rejected {
			t.Errorf("%v: not owned: %t, rejected: %t, want %t, %t", tt.err, IsNotOwned(tt.err), IsRejected(tt.err), tt.notOwned, tt.rejected)
		}
	}
}

func TestMergeMap(t *testing.T) {
	type m = map[string]string
	for _, tt := range []struct{ dst, want, merged m }{
		{nil, nil, nil},
		{nil, m{}, nil},
		{nil, m{"a": "1"}, m{"a": "1"}},
		{m{"b": "2"}, nil, m{"b": "2"}},
		{m{"a": "0", "b": "2"}, m{"a": "1"}, m{"a": "1", "b": "2"}},
	} {
		if diff := cmp.Diff(tt.merged, MergeMap(tt.dst, tt.want)); diff != "" {
			t.Error("(-want, +got):", diff)
		}
	}
}
