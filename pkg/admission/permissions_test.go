package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clientgotesting "k8s.io/client-go/testing"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/internal/grant"
	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

const (
	operator  = "system:serviceaccount:knative-lambda:knative-lambda-controller"
	receiver  = "system:serviceaccount:knative-lambda:knative-lambda-receiver"
	lost      = `{"permissions":[{"permission":"brokers"},{"permission":"functions"},{"permission":"triggers"}]}`
	lostUntil = `{"permissions":[{"permission":"triggers","until":"2026-01-02T12:00:10Z"}]}`
	over      = `{"permissions":[{"permission":"triggers","until":"2026-01-02T11:00:00Z"}]}`
)

var now = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// rightsOf users, as <verb> <resource>; * is all verbs.
var rightsOf = map[string][]string{
	"admin":  {"* brokers", "* rabbitmqbrokerconfigs", "* triggers", "* lambdafunctions"},
	"editor": {"* triggers", "get brokers", "* rabbitmqbrokerconfigs"},
	"tenant": nil,
	operator: {"* brokers", "* rabbitmqbrokerconfigs", "* triggers", "* lambdafunctions"},
}

func testKeys(t *testing.T) *keyring.Store[keyring.Keyring] {
	t.Helper()
	k, err := keyring.New(map[string][]byte{keyring.CurrentKey: bytes.Repeat([]byte{1}, keyring.KeySize)})
	if err != nil {
		t.Fatal(err)
	}
	return keyring.Static(k)
}

// noDefaults is a defaulting that changes nothing.
type noDefaults struct{ Defaulting }

func (noDefaults) Admit(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Allowed: true}
}

// write is a request to create or update an agent.
type write struct {
	user     string
	old, new *v1alpha1.LambdaAgent
	// meddle is another mutating webhook, called after this one.
	meddle func(*v1alpha1.LambdaAgent)
}

// outcome of a write.
type outcome struct {
	stored   *v1alpha1.LambdaAgent // nil if it was refused
	message  string
	warnings string
	reviews  int32
}

// admit does what the API server does with a write.
func (w write) admit(t *testing.T) (o outcome) {
	t.Helper()
	m := &Mutation{Defaulting: noDefaults{}, Kube: w.reviewer(&o.reviews), Keys: testKeys(t), Controller: operator, Receiver: receiver, Now: func() time.Time { return now }}
	request := &admissionv1.AdmissionRequest{Operation: admissionv1.Create, Kind: metav1.GroupVersionKind{Kind: "LambdaAgent"}, UserInfo: authenticationv1.UserInfo{Username: w.user}}
	request.Object.Raw = encode(t, w.new)
	if w.old != nil {
		request.Operation, request.OldObject.Raw = admissionv1.Update, encode(t, w.old)
	}
	response := m.Admit(t.Context(), request)
	o.warnings = strings.Join(response.Warnings, "\n")
	if !response.Allowed {
		o.message = response.Result.Message
		return o
	}
	text := request.Object.Raw
	if len(response.Patch) > 0 {
		patch, err := jsonpatch.DecodePatch(response.Patch)
		if err != nil {
			t.Fatal(err)
		}
		if text, err = patch.Apply(text); err != nil {
			t.Fatal(err)
		}
	}
	a := &v1alpha1.LambdaAgent{}
	if err := json.Unmarshal(text, a); err != nil {
		t.Fatal(err)
	}
	if w.meddle != nil {
		w.meddle(a)
	}
	ctx := apis.WithinCreate(t.Context())
	if w.old == nil {
		a.UID, a.Generation, a.CreationTimestamp = "uid", 1, metav1.NewTime(now.Add(time.Second))
	} else {
		ctx = apis.WithinUpdate(ctx, w.old)
		if a.Generation = w.old.Generation; !equality.Semantic.DeepEqual(a.Spec, w.old.Spec) {
			a.Generation++
		}
	}
	o.stored = a
	if err := Check(m.Keys)(apis.WithUserInfo(ctx, &request.UserInfo), &unstructured.Unstructured{Object: unstructuredOf(t, a)}); err != nil {
		o.stored, o.message = nil, err.Error()
	}
	return o
}

func (w write) reviewer(count *int32) *fake.Clientset {
	kube := fake.NewClientset()
	kube.PrependReactor("create", "subjectaccessreviews", func(a clientgotesting.Action) (bool, runtime.Object, error) {
		atomic.AddInt32(count, 1)
		review := a.(clientgotesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		r, has := review.Spec.ResourceAttributes, rightsOf[review.Spec.User]
		review.Status.Allowed = r.Namespace == "team" && (slices.Contains(has, "* "+r.Resource) || slices.Contains(has, r.Verb+" "+r.Resource))
		return true, review, nil
	})
	return kube
}

func encode(t *testing.T, a *v1alpha1.LambdaAgent) []byte {
	t.Helper()
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func unstructuredOf(t *testing.T, a *v1alpha1.LambdaAgent) (o map[string]any) {
	t.Helper()
	if err := json.Unmarshal(encode(t, a), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

type option = func(*v1alpha1.LambdaAgent)

func agent(options ...option) *v1alpha1.LambdaAgent {
	a := &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "bruno", Annotations: map[string]string{}}}
	a.Kind, a.APIVersion = "LambdaAgent", v1alpha1.SchemeGroupVersion.String()
	a.Spec.AI.Temperature = v1alpha1.NewNumber(1)
	for _, o := range options {
		o(a)
	}
	return a
}

// stored is an agent that a user with all rights has made, a while ago.
func stored(t *testing.T, options ...option) *v1alpha1.LambdaAgent {
	t.Helper()
	a := agent(append([]option{func(a *v1alpha1.LambdaAgent) {
		a.UID, a.Generation, a.CreationTimestamp = "uid", 3, metav1.NewTime(now.Add(-time.Hour))
	}}, options...)...)
	if len(a.Spec.Permissions.Granted()) > 0 {
		a.Annotations[lambda.VerifiedAnnotationKey] = grant.Sign(testKeys(t).Newest(), a, a.UID, a.Generation, now.Add(-time.Hour))
	}
	return a
}

// changed is the agent with changes.
func changed(a *v1alpha1.LambdaAgent, options ...option) *v1alpha1.LambdaAgent {
	a = a.DeepCopy()
	for _, o := range options {
		o(a)
	}
	return a
}

func with(p v1alpha1.PermissionsSpec) option {
	return func(a *v1alpha1.LambdaAgent) { a.Spec.Permissions = &p }
}

func as(account string) option {
	return func(a *v1alpha1.LambdaAgent) { a.Spec.ServiceAccountName = account }
}

// annotated sets an annotation; an empty value removes it.
func annotated(key, value string) option {
	return func(a *v1alpha1.LambdaAgent) {
		if value == "" {
			delete(a.Annotations, key)
		} else {
			a.Annotations[key] = value
		}
	}
}

func withdrawn(text string) option { return annotated(lambda.WithdrawnAnnotationKey, text) }

func unproven(a *v1alpha1.LambdaAgent) { delete(a.Annotations, lambda.VerifiedAnnotationKey) }

func image(a *v1alpha1.LambdaAgent) { a.Spec.Image.Tag = "2" }

func labelled(a *v1alpha1.LambdaAgent) { a.Labels = map[string]string{"a": "b"} }

var (
	all      = v1alpha1.PermissionsSpec{}
	none     = v1alpha1.PermissionsSpec{DisableBrokerCreation: true, DisableTriggerCreation: true, DisableFunctionCreation: true}
	triggers = v1alpha1.PermissionsSpec{DisableBrokerCreation: true, DisableFunctionCreation: true}
)

// TestEscalation: no user makes an agent gain what they do not hold. What is admitted is
// verified for the controller, unless it says otherwise.
func TestEscalation(t *testing.T) {
	ours := grant.SignRecord(testKeys(t).Newest(), v1alpha1.Withdrawals{Permissions: []v1alpha1.WithdrawnPermission{{Permission: "triggers"}}})
	expiring := `{"permissions":[{"permission":"brokers","until":"2026-01-02T12:00:20Z"},{"permission":"functions","until":"2026-01-02T12:00:20Z"},{"permission":"triggers","until":"2026-01-02T12:00:20Z"}]}`
	legacy := changed(stored(t, with(triggers)), unproven)
	for _, tt := range []struct {
		name     string
		write    write
		want     string // empty is admitted
		reviews  int32
		unproven bool
	}{
		{"no permissions", write{user: "tenant", new: agent()}, "", 0, true},
		{"permissions that give nothing", write{user: "tenant", new: agent(with(none))}, "", 0, true},
		{"who holds all gives all", write{user: "admin", new: agent(with(all))}, "", 28, false},
		{"who holds some gives these", write{user: "editor", new: agent(with(triggers))}, "", 7, false},
		{"who holds nothing gives nothing", write{user: "tenant", new: agent(with(triggers))}, "spec.permissions.disableTriggerCreation: false gives the agent the right to create, get, list, watch, update, patch, delete triggers.eventing.knative.dev in namespace \"team\", which user \"tenant\" does not hold: set it to true, or ask a user who holds it", 7, false},
		{"a verb is missing", write{user: "editor", new: agent(with(all))}, "disableBrokerCreation: false gives the agent the right to create, list, watch, update, patch, delete brokers.eventing.knative.dev in", 14, false},
		{"what stays is not reviewed", write{user: "tenant", old: stored(t, with(all)), new: changed(stored(t, with(all)), image)}, "", 0, false},
		{"what is removed is not", write{user: "tenant", old: stored(t, with(all)), new: changed(stored(t, with(all)), with(triggers))}, "", 0, false},
		{"what is added is", write{user: "editor", old: stored(t, with(triggers)), new: changed(stored(t, with(triggers)), with(all))}, "disableBrokerCreation", 14, false},
		{"to another ServiceAccount", write{user: "tenant", old: stored(t, with(triggers)), new: changed(stored(t, with(triggers)), as("other"))}, "disableTriggerCreation", 7, false},
		{"another ServiceAccount without permissions", write{user: "tenant", old: stored(t), new: changed(stored(t), as("other"))}, "", 0, true},

		{"withdrawn for 20 seconds", write{user: "tenant", new: agent(with(all), withdrawn(expiring))}, "is written by the operator only", 0, false},
		{"withdrawn without end", write{user: "tenant", new: agent(with(all), withdrawn(lost))}, "is written by the operator only", 0, false},
		{"withdrawn, in a second step", write{user: "tenant", old: stored(t), new: changed(stored(t), with(all), withdrawn(lostUntil))}, "is written by the operator only", 0, false},
		{"gained while it is withdrawn", write{user: "tenant", old: stored(t, with(none), withdrawn(lost)), new: changed(stored(t, with(none), withdrawn(lost)), with(triggers))}, "disableTriggerCreation", 7, false},
		{"a backup with a record of the operator's, of who holds all", write{user: "admin", new: agent(with(triggers), withdrawn(ours))}, "", 7, false},
		{"of who holds nothing", write{user: "tenant", new: agent(with(triggers), withdrawn(ours))}, "disableTriggerCreation", 7, false},
		{"a record that was edited", write{user: "admin", new: agent(with(triggers), withdrawn(strings.Replace(ours, "triggers", "brokers", 1)))}, "is written by the operator only", 0, false},

		{"a copied proof", write{user: "tenant", new: changed(agent(with(triggers)), annotated(lambda.VerifiedAnnotationKey, stored(t, with(triggers)).Annotations[lambda.VerifiedAnnotationKey]))}, "disableTriggerCreation", 7, false},
		{"what an earlier version admitted, by who does not hold it", write{user: "tenant", old: legacy, new: changed(legacy, image)}, "", 7, true},
		{"by who holds it", write{user: "admin", old: legacy, new: changed(legacy, labelled)}, "", 7, false},
		{"the operator does not vouch for it", write{user: operator, old: legacy, new: changed(legacy, labelled)}, "", 0, true},
		{"the operator's finalizer", write{user: operator, old: stored(t, with(all)), new: changed(stored(t, with(all)), labelled)}, "", 0, false},
		{"another webhook adds permissions", write{user: "admin", new: agent(with(triggers)), meddle: with(all)}, "another admission webhook changes spec.permissions", 7, false},
		{"another webhook changes the account", write{user: "admin", old: stored(t, with(triggers)), new: changed(stored(t, with(triggers)), labelled), meddle: as("other")}, "another admission webhook changes spec.permissions", 0, false},

		{"the receiver changes the spec", write{user: receiver, old: stored(t), new: changed(stored(t), image)}, "the receiver may only change the annotations", 0, false},
		{"the receiver changes a label", write{user: receiver, old: stored(t), new: changed(stored(t), labelled)}, "the receiver may only change the annotations", 0, false},
		{"the receiver changes another annotation", write{user: receiver, old: stored(t), new: changed(stored(t), annotated("a", "b"))}, "the receiver may only change the annotations", 0, false},
		{"the receiver makes an agent", write{user: receiver, new: agent()}, "the receiver may only change the annotations", 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.write.admit(t)
			if (got.message == "") != (tt.want == "") || !strings.Contains(got.message, tt.want) {
				t.Errorf("said %q, want %q", got.message, tt.want)
			}
			if got.reviews != tt.reviews {
				t.Errorf("%d access reviews, want %d", got.reviews, tt.reviews)
			}
			if got.stored != nil {
				if _, ok := grant.Verify(testKeys(t).Newest(), got.stored); ok == tt.unproven {
					t.Errorf("verified for the controller: %v, annotation %q", ok, got.stored.Annotations[lambda.VerifiedAnnotationKey])
				}
			}
		})
	}
}
