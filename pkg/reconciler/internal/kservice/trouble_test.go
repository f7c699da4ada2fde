package kservice

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"knative.dev/pkg/apis"
	"knative.dev/serving/pkg/apis/serving"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

func TestMissesImage(t *testing.T) {
	service := &servingv1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Generation: 2}}
	service.Status.ObservedGeneration, service.Status.LatestCreatedRevisionName = 2, "new"
	for name, tt := range map[string]struct {
		revision, container, message string
		want                         bool
	}{
		"containerd's words":         {"new", "user-container", "failed to pull and unpack image: failed to resolve reference \"r.test/x@sha256:1\": r.test/x@sha256:1: not found", true},
		"a registry's":               {"new", "user-container", "MANIFEST_UNKNOWN: manifest unknown", true},
		"refused":                    {"new", "user-container", "401 Unauthorized", false},
		"of another revision":        {"old", "user-container", "not found", false},
		"of Knative's own container": {"new", "queue-proxy", "not found", false},
	} {
		pods := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
		if err := pods.Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p", Labels: map[string]string{serving.RevisionLabelKey: tt.revision}},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: tt.container,
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: tt.message}}}}}}); err != nil {
			t.Fatal(err)
		}
		if got, err := MissesImage(corelisters.NewPodLister(pods), service); got != tt.want || err != nil {
			t.Errorf("%s: MissesImage() = %t, %v, want %t", name, got, err, tt.want)
		}
	}
}

func TestTrouble(t *testing.T) {
	starting := func(change ...func(*servingv1.Service)) *servingv1.Service {
		s := &servingv1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Generation: 2}}
		s.Status.ObservedGeneration, s.Status.LatestCreatedRevisionName, s.Status.LatestReadyRevisionName = 2, "new", "old"
		s.Status.SetConditions(apis.Conditions{{Type: servingv1.ServiceConditionReady, Status: corev1.ConditionUnknown}})
		for _, c := range change {
			c(s)
		}
		return s
	}
	is := func(status corev1.ConditionStatus) func(*servingv1.Service) {
		return func(s *servingv1.Service) {
			s.Status.SetConditions(apis.Conditions{{Type: servingv1.ServiceConditionReady, Status: status}})
		}
	}
	ended := func(message string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error", Message: message}}
	}
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "why"}}
	}
	user := func(s corev1.ContainerStatus) corev1.ContainerStatus { s.Name = "user-container"; return s }

	for _, tt := range []struct {
		name      string
		service   *servingv1.Service
		revision  string
		container corev1.ContainerStatus
		reason    string
		message   string
	}{
		{"ended", starting(), "new", user(corev1.ContainerStatus{State: ended("no such handler\n")}), ReasonContainerFailed, "Container failed with: no such handler"},
		{"ended before", starting(), "new", user(corev1.ContainerStatus{State: waiting("CrashLoopBackOff"), LastTerminationState: ended("no such handler")}), ReasonContainerFailed, "Container failed with: no such handler"},
		{"ended in silence", starting(), "new", user(corev1.ContainerStatus{State: ended("")}), ReasonContainerFailed, "Container failed with: Error with exit code 3, and said nothing"},
		{"image", starting(), "new", user(corev1.ContainerStatus{State: waiting("ImagePullBackOff")}), "ImagePullBackOff", "The container cannot start: why"},
		{"configuration", starting(), "new", user(corev1.ContainerStatus{State: waiting("CreateContainerConfigError")}), "CreateContainerConfigError", "The container cannot start: why"},
		{"on its way", starting(), "new", user(corev1.ContainerStatus{State: waiting("ContainerCreating")}), "", ""},
		{"runs again", starting(), "new", user(corev1.ContainerStatus{Ready: true, LastTerminationState: ended("once")}), "", ""},
		{"of another revision", starting(), "old", user(corev1.ContainerStatus{State: ended("x")}), "", ""},
		{"Knative's own container", starting(), "new", corev1.ContainerStatus{Name: "queue-proxy", State: ended("x")}, "", ""},
		{"ready", starting(is(corev1.ConditionTrue)), "new", user(corev1.ContainerStatus{State: ended("x")}), "", ""},
		{"Knative has told already", starting(is(corev1.ConditionFalse)), "new", user(corev1.ContainerStatus{State: ended("x")}), "", ""},
		{"of an older generation", starting(func(s *servingv1.Service) { s.Generation = 3 }), "new", user(corev1.ContainerStatus{State: ended("x")}), "", ""},
		{"the revision was ready once", starting(func(s *servingv1.Service) { s.Status.LatestReadyRevisionName = "new" }), "new", user(corev1.ContainerStatus{State: ended("x")}), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pods := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
			if err := pods.Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p", Labels: map[string]string{serving.RevisionLabelKey: tt.revision}},
				Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{tt.container}}}); err != nil {
				t.Fatal(err)
			}
			reason, message, err := Trouble(corelisters.NewPodLister(pods), tt.service)
			if reason != tt.reason || message != tt.message || err != nil {
				t.Errorf("Trouble() = %q, %q, %v, want %q, %q", reason, message, err, tt.reason, tt.message)
			}
		})
	}
}
