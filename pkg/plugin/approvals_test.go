package plugin

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/approval"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

// supervised is an agent, and asked what it asked for.
var supervised = &v1alpha1.LambdaAgent{
	ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "bruno", UID: "uid"},
	Spec: v1alpha1.LambdaAgentSpec{OperationMode: v1alpha1.ModeSupervised, Approval: &v1alpha1.ApprovalSpec{
		Providers: []v1alpha1.ApprovalProvider{"slack"}, Timeout: v1alpha1.NewDuration(time.Hour), TimeoutAction: "deny",
	}},
}

func asked() *v1alpha1.ApprovalRequest {
	r := approval.New(supervised, "a/1", &events.ApprovalRequest{Action: "reboot"}, []byte(`{"action":"reboot","arguments":{"node":"a"}}`), 0, time.Now())
	r.CreationTimestamp = metav1.Now()
	r.Status.Notices = []v1alpha1.ApprovalNotice{{Provider: "slack", Error: "the answer was 404 Not Found"}}
	return r
}

func TestApprovals(t *testing.T) {
	for decision, verb := range map[string]string{"granted": "grant", "denied": "deny"} {
		w := newWorld(t)
		w.says("a/1   reboot   pending", "approvals", "list", "bruno")
		w.says("Provider slack:   the answer was 404 Not Found", "approvals", "show", "bruno", "a/1")
		w.says(`"node": "a"`, "approvals", "show", "bruno", "a/1")
		w.says(`"id": "a/1"`, "approvals", "list", "bruno", "-o", "json")
		w.says("a/1 "+decision, "approvals", verb, "bruno", "a/1", "--reason", "because")
		w.says("because", "approvals", "show", "bruno", "a/1", "-o", "yaml")
		w.says(decision, "approvals", "list", "bruno")
	}
}

func TestApprovalsRefused(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		want string
		args []string
	}{
		{"accepts 1 arg(s)", []string{"approvals", "list"}},
		{"accepts 2 arg(s)", []string{"approvals", "grant", "bruno"}},
		{"expected an id, got an empty one", []string{"approvals", "grant", "bruno", ""}},
		{"expected an id, got an empty one", []string{"approvals", "deny", "bruno", ""}},
		{"expected an id, got an empty one", []string{"approvals", "show", "bruno", ""}},
		{`has no request "2"`, []string{"approvals", "deny", "bruno", "2"}},
		{"not found", []string{"approvals", "list", "nobody"}},
		{`provider "custom" is not asked`, []string{"approvals", "grant", "bruno", "a/1", "--provider", "custom"}},
		{"expected json or yaml", []string{"approvals", "list", "bruno", "-o", "xml"}},
	} {
		if err := w.run(tt.args...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.args, err, tt.want)
		}
	}
}
