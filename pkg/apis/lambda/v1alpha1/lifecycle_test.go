package v1alpha1

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/apis/duck"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	apistest "knative.dev/pkg/apis/testing"
	"knative.dev/pkg/ptr"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

func TestTypesImplementDuckTypes(t *testing.T) {
	for _, kind := range []any{&LambdaFunction{}, &LambdaAgent{}} {
		for _, duckType := range []duck.Implementable{&duckv1.Conditions{}, &duckv1.Addressable{}} {
			if err := duck.VerifyType(kind, duckType); err != nil {
				t.Errorf("%T is no %T: %v", kind, duckType, err)
			}
		}
	}
}

// states are conditions by type: status, reason and message, in one text each.
type states map[apis.ConditionType]string

func statesOf(conditions duckv1.Conditions) states {
	s := states{}
	for _, c := range conditions {
		text := string(c.Status)
		if c.Reason != "" {
			text += " " + c.Reason
		}
		if c.Message != "" {
			text += ": " + c.Message
		}
		s[c.Type] = text
	}
	return s
}

// percent in messages is the users': it formats nothing.
const percent = "100 %s of it"

func TestFunctionMarks(t *testing.T) {
	const source, build, service, eventing = FunctionConditionSourceResolved, FunctionConditionBuildSucceeded, FunctionConditionServiceReady, FunctionConditionEventingReady
	for _, tt := range []struct {
		name string
		mark func(*LambdaFunctionStatus)
		// changed is the one condition that is not Unknown without a reason;
		// ready is what Ready says then.
		changed apis.ConditionType
		want    string
		ready   string
	}{
		{"nothing", func(*LambdaFunctionStatus) {}, source, "Unknown", "Unknown"},
		{"source resolved", (*LambdaFunctionStatus).MarkSourceResolved, source, "True", "Unknown"},
		{"source failed", func(s *LambdaFunctionStatus) { s.MarkSourceFailed("Gone", percent) }, source, "False Gone: " + percent, "False Gone: " + percent},
		{"build succeeded", (*LambdaFunctionStatus).MarkBuildSucceeded, build, "True", "Unknown"},
		{"build not requested", (*LambdaFunctionStatus).MarkBuildNotRequested, build, "True NotRequested: The source is a ready-made image.", "Unknown"},
		{"build pending", func(s *LambdaFunctionStatus) { s.MarkBuildPending(ReasonBuilding, percent) }, build, "Unknown Building: " + percent, "Unknown Building: " + percent},
		{"build failed", func(s *LambdaFunctionStatus) { s.MarkBuildFailed("Broken", percent) }, build, "False Broken: " + percent, "False Broken: " + percent},
		{"service waiting", func(s *LambdaFunctionStatus) { s.MarkServiceWaiting(ReasonWaitingForBuild, percent) }, service, "Unknown WaitingForBuild: " + percent, "Unknown WaitingForBuild: " + percent},
		{"service failed", func(s *LambdaFunctionStatus) { s.MarkServiceFailed(ReasonServiceNotOwned, percent) }, service, "False ServiceNotOwned: " + percent, "False ServiceNotOwned: " + percent},
		{"eventing not requested", (*LambdaFunctionStatus).MarkEventingNotRequested, eventing, "True NotRequested: The spec asks for no triggers and no eventing.", "Unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &LambdaFunctionStatus{}
			s.InitializeConditions()
			tt.mark(s)
			want := states{source: "Unknown", build: "Unknown", service: "Unknown", eventing: "Unknown", FunctionConditionReady: tt.ready}
			want[tt.changed] = tt.want
			if diff := cmp.Diff(want, statesOf(s.Conditions)); diff != "" {
				t.Error("(-want, +got):", diff)
			}
		})
	}
}

func TestAgentMarks(t *testing.T) {
	const service, broker, routing = AgentConditionServiceReady, AgentConditionBrokerReady, AgentConditionRoutingReady
	for _, tt := range []struct {
		name string
		mark func(*LambdaAgentStatus)
		want states
	}{
		{"nothing", func(*LambdaAgentStatus) {}, states{}},
		{"service waiting", func(s *LambdaAgentStatus) { s.MarkServiceWaiting("Pulling", percent) }, states{service: "Unknown Pulling: " + percent, AgentConditionReady: "Unknown Pulling: " + percent}},
		{"service failed", func(s *LambdaAgentStatus) { s.MarkServiceFailed("Broken", percent) }, states{service: "False Broken: " + percent, AgentConditionReady: "False Broken: " + percent}},
		{"eventing not requested", (*LambdaAgentStatus).MarkEventingNotRequested,
			states{broker: "True NotRequested: The spec asks for no eventing.", routing: "True NotRequested: The spec asks for no eventing."}},
		{"broker ready", (*LambdaAgentStatus).MarkBrokerReady, states{broker: "True"}},
		{"broker pending", func(s *LambdaAgentStatus) { s.MarkBrokerPending("Starting", percent) }, states{broker: "Unknown Starting: " + percent, AgentConditionReady: "Unknown Starting: " + percent}},
		{"broker failed", func(s *LambdaAgentStatus) { s.MarkBrokerFailed("Broken", percent) }, states{broker: "False Broken: " + percent, AgentConditionReady: "False Broken: " + percent}},
		{"routing ready", (*LambdaAgentStatus).MarkRoutingReady, states{routing: "True"}},
		{"routing ready but", func(s *LambdaAgentStatus) { s.MarkRoutingReadyBut("Waiting", percent) }, states{routing: "True Waiting: " + percent}},
		{"routing pending", func(s *LambdaAgentStatus) { s.MarkRoutingPending("Starting", percent) }, states{routing: "Unknown Starting: " + percent, AgentConditionReady: "Unknown Starting: " + percent}},
		{"routing failed", func(s *LambdaAgentStatus) { s.MarkRoutingFailed("Broken", percent) }, states{routing: "False Broken: " + percent, AgentConditionReady: "False Broken: " + percent}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &LambdaAgentStatus{}
			s.InitializeConditions()
			tt.mark(s)
			want := states{service: "Unknown", broker: "Unknown", routing: "Unknown", AgentConditionReady: "Unknown"}
			for condition, state := range tt.want {
				want[condition] = state
			}
			if diff := cmp.Diff(want, statesOf(s.Conditions)); diff != "" {
				t.Error("(-want, +got):", diff)
			}
		})
	}
}

// TestSummary: Ready says the first of the phases that failed, else the first that
// is not done, whichever was marked last.
func TestSummary(t *testing.T) {
	var (
		resolved   = (*LambdaFunctionStatus).MarkSourceResolved
		unresolved = func(s *LambdaFunctionStatus) { s.MarkSourceFailed("Gone", "1") }
		built      = (*LambdaFunctionStatus).MarkBuildSucceeded
		building   = func(s *LambdaFunctionStatus) { s.MarkBuildPending(ReasonBuilding, "2") }
		broken     = func(s *LambdaFunctionStatus) { s.MarkBuildFailed("Broken", "2") }
		waiting    = func(s *LambdaFunctionStatus) { s.MarkServiceWaiting(ReasonWaitingForBuild, "3") }
		crashing   = func(s *LambdaFunctionStatus) { s.MarkServiceFailed("Crashing", "3") }
		quiet      = (*LambdaFunctionStatus).MarkEventingNotRequested
	)
	type marks = []func(*LambdaFunctionStatus)
	for _, tt := range []struct {
		name  string
		marks marks
		want  string
	}{
		{"waiting for the build", marks{quiet, resolved, waiting, building}, "Unknown Building: 2"},
		{"the same, marked the other way round", marks{building, waiting, resolved, quiet}, "Unknown Building: 2"},
		{"the build failed while an old revision crashes", marks{resolved, broken, crashing, quiet}, "False Broken: 2"},
		{"an old revision crashes while the new one is built", marks{resolved, building, crashing, quiet}, "False Crashing: 3"},
		{"all failed", marks{crashing, broken, unresolved, quiet}, "False Gone: 1"},
		{"nothing known of the source", marks{building, waiting, quiet}, "Unknown"},
		{"the service alone is missing", marks{quiet, built, resolved, waiting}, "Unknown WaitingForBuild: 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &LambdaFunctionStatus{}
			s.InitializeConditions()
			for _, mark := range tt.marks {
				mark(s)
			}
			before := statesOf(s.Conditions)
			s.Summarize()
			before[FunctionConditionReady] = tt.want
			if diff := cmp.Diff(before, statesOf(s.Conditions)); diff != "" {
				t.Error("(-want, +got):", diff)
			}
		})
	}

	a := &LambdaAgentStatus{}
	a.InitializeConditions()
	a.MarkServiceFailed("Crashing", "1")
	a.MarkEventingNotRequested()
	a.Summarize()
	apistest.CheckConditionFailed(a, AgentConditionReady, t)
}

// service is one whose Ready has the status, of its newest generation.
func service(status corev1.ConditionStatus, change ...func(*servingv1.Service)) *servingv1.Service {
	s := &servingv1.Service{}
	s.Generation, s.Status.ObservedGeneration = 2, 2
	s.Status.URL = apis.HTTP("greeter.team.test")
	s.Status.Address = &duckv1.Addressable{URL: apis.HTTP("greeter.team.svc.test")}
	s.Status.LatestCreatedRevisionName, s.Status.LatestReadyRevisionName = "greeter-2", "greeter-1"
	s.Status.Traffic = []servingv1.TrafficTarget{{RevisionName: "greeter-1", Percent: ptr.Int64(100)}}
	condition(servingv1.ServiceConditionReady, status)(s)
	for _, c := range change {
		c(s)
	}
	return s
}

// condition sets one with a reason and a message.
func condition(of apis.ConditionType, status corev1.ConditionStatus) func(*servingv1.Service) {
	return func(s *servingv1.Service) {
		c := apis.Condition{Type: of, Status: status}
		if status != corev1.ConditionTrue {
			c.Reason, c.Message = string(of)+"Because", percent
		}
		s.Status.SetConditions(append(apis.Conditions(s.Status.Conditions), c))
	}
}

func TestPropagateService(t *testing.T) {
	for _, tt := range []struct {
		name    string
		service *servingv1.Service
		want    string
	}{
		{"ready", service(corev1.ConditionTrue), "True"},
		{"not ready", service(corev1.ConditionFalse), "False ReadyBecause: " + percent},
		{"not known", service(corev1.ConditionUnknown), "Unknown ReadyBecause: " + percent},
		{"ready, by an older generation", service(corev1.ConditionTrue, func(s *servingv1.Service) { s.Generation = 3 }),
			"Unknown ServiceNotReconciled: Knative Serving has not yet seen the newest Service."},
		{"failed, by an older generation", service(corev1.ConditionFalse, func(s *servingv1.Service) { s.Generation = 3 }),
			"Unknown ServiceNotReconciled: Knative Serving has not yet seen the newest Service."},
		{"without a condition", service(corev1.ConditionTrue, func(s *servingv1.Service) { s.Status.Conditions = nil }),
			"Unknown ServiceNotReconciled: Knative Serving has not yet said whether the Service is ready."},
		{"the newest revision failed", service(corev1.ConditionFalse, condition(servingv1.ServiceConditionConfigurationsReady, corev1.ConditionFalse)),
			"False ConfigurationsReadyBecause: " + percent},
		{"only its routes failed", service(corev1.ConditionFalse, condition(servingv1.ServiceConditionConfigurationsReady, corev1.ConditionTrue)),
			"False ReadyBecause: " + percent},
		{"the newest revision failed, the Service does not say so yet", service(corev1.ConditionUnknown, condition(servingv1.ServiceConditionConfigurationsReady, corev1.ConditionFalse)),
			"Unknown ReadyBecause: " + percent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, a := &LambdaFunctionStatus{}, &LambdaAgentStatus{}
			f.InitializeConditions()
			a.InitializeConditions()
			f.PropagateService(tt.service)
			a.PropagateService(tt.service)
			if got := statesOf(f.Conditions)[FunctionConditionServiceReady]; got != tt.want {
				t.Errorf("the function's ServiceReady = %s, want %s", got, tt.want)
			}
			if got := statesOf(a.Conditions)[AgentConditionServiceReady]; got != tt.want {
				t.Errorf("the agent's ServiceReady = %s, want %s", got, tt.want)
			}
			from := &tt.service.Status
			wantF := &LambdaFunctionStatus{Status: f.Status, URL: from.URL, Address: from.Address, Traffic: from.Traffic,
				LatestCreatedRevisionName: "greeter-2", LatestReadyRevisionName: "greeter-1"}
			if diff := cmp.Diff(wantF, f); diff != "" {
				t.Error("the function's status (-want, +got):", diff)
			}
			wantA := &LambdaAgentStatus{Status: a.Status, URL: from.URL, Address: from.Address,
				LatestCreatedRevisionName: "greeter-2", LatestReadyRevisionName: "greeter-1"}
			if diff := cmp.Diff(wantA, a); diff != "" {
				t.Error("the agent's status (-want, +got):", diff)
			}
		})
	}
}

func TestReady(t *testing.T) {
	f, a := &LambdaFunction{}, &LambdaAgent{}
	f.Generation, a.Generation = 2, 2
	f.Status.InitializeConditions()
	a.Status.InitializeConditions()
	for _, step := range []struct {
		name string
		do   func()
		want bool
	}{
		{"nothing is known", func() {}, false},
		{"all is well, of an older generation", func() {
			f.Status.ObservedGeneration, a.Status.ObservedGeneration = 1, 1
			f.Status.MarkSourceResolved()
			f.Status.MarkBuildNotRequested()
			f.Status.MarkEventingNotRequested()
			f.Status.PropagateService(service(corev1.ConditionTrue))
			f.Status.Summarize()
			a.Status.MarkEventingNotRequested()
			a.Status.PropagateService(service(corev1.ConditionTrue))
			a.Status.Summarize()
		}, false},
		{"of the newest", func() { f.Status.ObservedGeneration, a.Status.ObservedGeneration = 2, 2 }, true},
		{"what informs does not block", func() {
			agentConditions.Manage(&a.Status).MarkFalse(AgentConditionModelAvailable, "Silent", "the model does not answer")
			a.Status.Summarize()
		}, true},
		{"a new spec comes", func() { f.Generation, a.Generation = 3, 3 }, false},
	} {
		step.do()
		if f.IsReady() != step.want || a.IsReady() != step.want {
			t.Errorf("%s: the function is ready: %t, the agent: %t, want %t", step.name, f.IsReady(), a.IsReady(), step.want)
		}
	}
}
