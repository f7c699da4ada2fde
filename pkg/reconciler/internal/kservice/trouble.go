package kservice

import (
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	"knative.dev/serving/pkg/apis/serving"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

// ReasonContainerFailed says that the container of the newest revision ends by
// itself; the message is what it said last.
const ReasonContainerFailed = "ContainerFailed"

// queueProxy is the container that Knative Serving adds.
const queueProxy = "queue-proxy"

// Trouble tells why the newest revision of a Service does not come up, as its
// pods show it; an empty reason where they show nothing. Knative Serving looks at
// pods only while their Deployment changes, and may say why at the end of the
// progress deadline: ten minutes later.
func Trouble(pods corelisters.PodLister, service *servingv1.Service) (reason, message string, err error) {
	s := &service.Status
	ready := s.GetCondition(servingv1.ServiceConditionReady)
	if service.Generation != s.ObservedGeneration || ready.IsTrue() || ready.IsFalse() ||
		s.LatestCreatedRevisionName == "" || s.LatestCreatedRevisionName == s.LatestReadyRevisionName {
		return "", "", nil
	}
	mine, err := pods.Pods(service.Namespace).List(labels.SelectorFromSet(labels.Set{serving.RevisionLabelKey: s.LatestCreatedRevisionName}))
	if err != nil {
		return "", "", fmt.Errorf("failed to list the pods of revision %q: %w", s.LatestCreatedRevisionName, err)
	}
	for _, pod := range mine {
		for i := range pod.Status.ContainerStatuses {
			if reason, message = troubleOf(&pod.Status.ContainerStatuses[i]); reason != "" {
				return reason, message, nil
			}
		}
	}
	return "", "", nil
}

// MissesImage tells whether a pod of the newest revision does not find its image in
// the registry, be it one of the first or one that was started for more requests.
func MissesImage(pods corelisters.PodLister, service *servingv1.Service) (bool, error) {
	if service.Status.LatestCreatedRevisionName == "" || service.Generation != service.Status.ObservedGeneration {
		return false, nil
	}
	mine, err := pods.Pods(service.Namespace).List(labels.SelectorFromSet(labels.Set{serving.RevisionLabelKey: service.Status.LatestCreatedRevisionName}))
	if err != nil {
		return false, fmt.Errorf("failed to list the pods of revision %q: %w", service.Status.LatestCreatedRevisionName, err)
	}
	for _, pod := range mine {
		for i := range pod.Status.ContainerStatuses {
			c := &pod.Status.ContainerStatuses[i]
			if w := c.State.Waiting; w != nil && c.Name != queueProxy && notFound.MatchString(w.Message) {
				return true, nil
			}
		}
	}
	return false, nil
}

// notFound is how container runtimes say that a registry does not have an image.
var notFound = regexp.MustCompile(`(?i)not found|manifest unknown`)

func troubleOf(c *corev1.ContainerStatus) (reason, message string) {
	if c.Name == queueProxy || c.Ready {
		return "", ""
	}
	ended := c.State.Terminated
	if ended == nil {
		ended = c.LastTerminationState.Terminated
	}
	if ended != nil {
		said := strings.TrimSpace(ended.Message)
		if said == "" {
			said = fmt.Sprintf("%s with exit code %d, and said nothing", ended.Reason, ended.ExitCode)
		}
		return ReasonContainerFailed, "Container failed with: " + said
	}
	switch w := c.State.Waiting; {
	case w == nil, w.Reason == "", w.Reason == "ContainerCreating", w.Reason == "PodInitializing":
		return "", ""
	default:
		return w.Reason, "The container cannot start: " + w.Message + advice(w.Message)
	}
}

// advice on what Kubernetes says of an image that has to run as root, or names its
// user by a word.
func advice(message string) string {
	if !strings.Contains(message, "runAsNonRoot") {
		return ""
	}
	return "; name another user in spec.securityContext.runAsUser, or set spec.securityContext.runAsNonRoot: false"
}
