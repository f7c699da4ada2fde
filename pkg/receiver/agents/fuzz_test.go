package agents

import (
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/approval"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

const maxTime = 2 * time.Second // that reading any event may take

func posted(eventType, source, hops string, data []byte) *event.Event {
	e := event.New()
	e.SetID("1")
	e.SetType(eventType)
	e.SetSource(source)
	if hops != "" {
		e.SetExtension(events.HopsExtension, hops)
	}
	_ = e.SetData(event.ApplicationJSON, data)
	return &e
}

// FuzzApproval: what is taken for a request is within the bounds of one.
func FuzzApproval(f *testing.F) {
	f.Add("", []byte(`{"action":"refund","parameters":{"order":7}}`))
	f.Add("3", []byte(`{"action":""}`))
	f.Add("-1", []byte(`[]`))
	f.Fuzz(func(t *testing.T, hops string, data []byte) {
		start := time.Now()
		asked, n, err := read(posted(events.ApprovalRequested, "/team/bruno", hops, data))
		if took := time.Since(start); took > maxTime {
			t.Errorf("it takes %s", took)
		}
		if err != nil {
			return
		}
		if l := utf8.RuneCountInString(asked.Action); l == 0 || l > approval.MaxAction || len(data) > approval.MaxData || n < 0 || n >= events.MaxHops {
			t.Errorf("%d bytes with %d hops are a request: %+v", len(data), n, asked)
		}
	})
}

// FuzzControl: what is taken for a control is one that the agent lets in, of permissions
// that there are.
func FuzzControl(f *testing.F) {
	f.Add("io.example.alarm", "/guard", []byte(`{"permission":"brokers","action":"withdraw","duration":"1h"}`))
	f.Add("io.example.alarm", "/guards/a", []byte(`{"permission":"*","action":"restore"}`))
	f.Add("io.example.other", "/guard", []byte(`{"permission":"*","action":"withdraw","duration":"99999h"}`))
	agent := &v1alpha1.LambdaAgent{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "bruno"}}
	agent.Spec.Permissions = &v1alpha1.PermissionsSpec{EventControls: &v1alpha1.EventControls{AllowEventDisable: true,
		ControlEventTypes: []string{"io.example.alarm"}, AllowedControlSources: []string{"/guard", "/guards/*"}}}
	h := &Handler{Config: config.DefaultEvents}
	f.Fuzz(func(t *testing.T, eventType, source string, data []byte) {
		start := time.Now()
		c, err := h.controlled(agent, posted(eventType, source, "", data))
		if took := time.Since(start); took > maxTime {
			t.Errorf("it takes %s", took)
		}
		if err != nil {
			return
		}
		if !agent.Controls(config.DefaultEvents()).Allows(eventType, source) {
			t.Errorf("an event of type %q from %q is let in", eventType, source)
		}
		if d, err := time.ParseDuration(c.Duration); c.Duration != "" && (err != nil || d <= 0 || d > maxWithdrawal || c.Action != events.PermissionWithdraw) {
			t.Errorf("the control is %+v", c)
		}
	})
}
