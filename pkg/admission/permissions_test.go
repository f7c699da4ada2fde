package admission

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clientgotesting "k8s.io/client-go/testing"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

const receiver = "system:serviceaccount:knative-lambda:knative-lambda-receiver"

// rights of users, as <verb> <resource>; * is all verbs.
var rights = map[string][]string{
	"admin":  {"* brokers", "* rabbitmqbrokerconfigs", "* triggers", "* lambdafunctions"},
	"editor": {"* triggers", "get brokers", "* rabbitmqbrokerconfigs"},
	"nobody": nil,
}

// change is of an agent, by a user.
type change struct {
	user     string
	old, new *v1alpha1.LambdaAgent
}

// check returns what is said, and how many questions the API server was asked.
func (c change) check(t *testing.T) (string, int32) {
	t.Helper()
	var asked atomic.Int32
	kube := fake.NewClientset()
	kube.PrependReactor("create", "subjectaccessreviews", func(a clientgotesting.Action) (bool, runtime.Object, error) {
		asked.Add(1)
		review := a.(clientgotesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		r := review.Spec.ResourceAttributes
		has := rights[review.Spec.User]
		review.Status.Allowed = r.Namespace == "team" && (slices.Contains(has, "* "+r.Resource) || slices.Contains(has, r.Verb+" "+r.Resource))
		return true, review, nil
	})
	ctx := apis.WithUserInfo(apis.WithinCreate(context.Background()), &authenticationv1.UserInfo{Username: c.user})
	if c.old != nil {
		ctx = apis.WithUserInfo(apis.WithinUpdate(context.Background(), c.old), &authenticationv1.UserInfo{Username: c.user})
	}
	o, err := runtime.DefaultUnstructuredConverter.ToUnstructured(c.new)
	if err != nil {
		t.Fatal(err)
	}
	p := &Permissions{Kube: kube, Receiver: receiver, Now: func() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) }}
	if err := p.Check(ctx, &unstructured.Unstructured{Object: o}); err != nil {
		return err.Error(), asked.Load()
	}
	return "", asked.Load()
}

func agent(change ...func(*v1alpha1.LambdaAgent)) *v1alpha1.LambdaAgent {
	a := &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "bruno"}}
	a.Kind, a.APIVersion = "LambdaAgent", v1alpha1.SchemeGroupVersion.String()
	a.Spec.AI.Temperature = v1alpha1.NewNumber(1)
	for _, c := range change {
		c(a)
	}
	return a
}

func with(p v1alpha1.PermissionsSpec) func(*v1alpha1.LambdaAgent) {
	return func(a *v1alpha1.LambdaAgent) { a.Spec.Permissions = &p }
}

func as(account string) func(*v1alpha1.LambdaAgent) {
	return func(a *v1alpha1.LambdaAgent) { a.Spec.ServiceAccountName = account }
}

func withdrawn(text string) func(*v1alpha1.LambdaAgent) {
	return func(a *v1alpha1.LambdaAgent) {
		a.Annotations = map[string]string{lambda.WithdrawnAnnotationKey: text}
	}
}

func image(a *v1alpha1.LambdaAgent) { a.Spec.Image.Tag = "2" }

// TestEscalation: nobody makes an agent gain what they do not have.
func TestEscalation(t *testing.T) {
	all, none := v1alpha1.PermissionsSpec{}, v1alpha1.PermissionsSpec{DisableBrokerCreation: true, DisableTriggerCreation: true, DisableFunctionCreation: true}
	triggers := v1alpha1.PermissionsSpec{DisableBrokerCreation: true, DisableFunctionCreation: true}
	const lost = `{"permissions":[{"permission":"brokers"},{"permission":"functions"},{"permission":"triggers"}]}`
	const over = `{"permissions":[{"permission":"brokers","until":"2026-01-02T11:00:00Z"}]}`
	for _, tt := range []struct {
		name   string
		change change
		want   string // empty is admitted
		asked  int32
	}{
		{"no permissions", change{"nobody", nil, agent()}, "", 0},
		{"permissions that give nothing", change{"nobody", nil, agent(with(none))}, "", 0},
		{"who has all gives all", change{"admin", nil, agent(with(all))}, "", 28},
		{"who has some gives these", change{"editor", nil, agent(with(triggers))}, "", 7},
		{"who has nothing gives nothing", change{"nobody", nil, agent(with(triggers))}, "spec.permissions.disableTriggerCreation: false gives the agent the right to create, get, list, watch, update, patch, delete triggers.eventing.knative.dev in namespace \"team\", which user \"nobody\" has not", 7},
		{"a verb is missing", change{"editor", nil, agent(with(all))}, "disableBrokerCreation: false gives the agent the right to create, list, watch, update, patch, delete brokers.eventing.knative.dev in", 14},
		{"what stays is not asked for", change{"nobody", agent(with(all)), agent(with(all), image)}, "", 0},
		{"what is taken away is not", change{"nobody", agent(with(all)), agent(with(triggers))}, "", 0},
		{"what is added is", change{"editor", agent(with(triggers)), agent(with(all))}, "disableBrokerCreation", 14},
		{"to another ServiceAccount", change{"nobody", agent(with(triggers)), agent(with(triggers), as("other"))}, "disableTriggerCreation", 7},
		{"another ServiceAccount without permissions", change{"nobody", agent(), agent(as("other"))}, "", 0},
		{"giving back by hand", change{"nobody", agent(with(triggers), withdrawn(lost)), agent(with(triggers))}, "disableTriggerCreation", 7},
		{"giving back by hand, who may", change{"admin", agent(with(all), withdrawn(lost)), agent(with(all))}, "", 28},
		{"what is over may be taken off", change{"nobody", agent(with(all), withdrawn(over)), agent(with(all))}, "", 0},
		{"the receiver gives back", change{receiver, agent(with(all), withdrawn(lost)), agent(with(all))}, "", 0},
		{"the receiver changes the spec", change{receiver, agent(), agent(image)}, "the receiver may note what events withdrew", 0},
		{"the receiver makes an agent", change{receiver, nil, agent()}, "the receiver may note what events withdrew", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, asked := tt.change.check(t)
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("said %q, want %q", got, tt.want)
			}
			if asked != tt.asked {
				t.Errorf("%d questions, want %d", asked, tt.asked)
			}
		})
	}
}
