package kservice

import (
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/networking/pkg/apis/networking"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
)

// platform are beginnings of keys that are never passed on: those of this project and of
// Knative, which have fields; what kubectl and Kueue write for the object itself; and what
// would take a pod's hardening away.
var platform = []string{
	lambda.GroupName + "/", lambda.ManagedByLabelKey,
	"autoscaling.knative.dev/", "client.knative.dev/", "duck.knative.dev/", "eventing.knative.dev/", "features.knative.dev/",
	"networking.internal.knative.dev/", "networking.knative.dev/", "queue.sidecar.serving.knative.dev/", "serving.knative.dev/", "sources.knative.dev/",
	"kubectl.kubernetes.io/", "kueue.x-k8s.io/",
	"apparmor.security.beta.kubernetes.io/", "container.apparmor.security.beta.kubernetes.io/", "seccomp.security.alpha.kubernetes.io/", "container.seccomp.security.alpha.kubernetes.io/",
}

// Expose passes the owner's labels and annotations on to the Service, its revisions and
// their pods, and says who can call it.
func Expose(s *servingv1.Service, owner *metav1.ObjectMeta, v v1alpha1.Visibility, d *config.Defaults) {
	labels, annotations := passedOn(owner.Labels, d.ExcludedLabelPrefixes), passedOn(owner.Annotations, d.ExcludedAnnotationPrefixes)
	for _, to := range []*metav1.ObjectMeta{&s.ObjectMeta, &s.Spec.Template.ObjectMeta} {
		to.Labels = merged(labels, to.Labels)
		to.Annotations = merged(annotations, to.Annotations)
	}
	list := func(key string, of map[string]string) {
		if len(of) > 0 {
			s.Annotations = child.MergeMap(s.Annotations, map[string]string{key: strings.Join(slices.Sorted(maps.Keys(of)), ",")})
		}
	}
	if v == v1alpha1.VisibilityClusterLocal { // of the Service alone
		local := map[string]string{networking.VisibilityLabelKey: string(v)}
		s.Labels, labels = child.MergeMap(s.Labels, local), child.MergeMap(labels, local)
	}
	list(lambda.PropagatedLabelsAnnotationKey, labels)
	list(lambda.PropagatedAnnotationsAnnotationKey, annotations)
}

// merged is what is passed on with what the platform sets, which has the last word.
func merged(passed, set map[string]string) map[string]string {
	if len(passed) == 0 {
		return set
	}
	return child.MergeMap(maps.Clone(passed), set)
}

// passedOn are those with keys that begin with none of the prefixes.
func passedOn(all map[string]string, excluded []string) map[string]string {
	var passed map[string]string
	for key, value := range all {
		begins := func(prefix string) bool { return strings.HasPrefix(key, prefix) }
		if !slices.ContainsFunc(platform, begins) && !slices.ContainsFunc(excluded, begins) {
			passed = child.MergeMap(passed, map[string]string{key: value})
		}
	}
	return passed
}

// withdraw takes off the existing Service what is not passed on any more.
func withdraw(have, want *servingv1.Service) {
	for key, maps := range map[string]func(*metav1.ObjectMeta) map[string]string{
		lambda.PropagatedLabelsAnnotationKey:      func(m *metav1.ObjectMeta) map[string]string { return m.Labels },
		lambda.PropagatedAnnotationsAnnotationKey: func(m *metav1.ObjectMeta) map[string]string { return m.Annotations },
	} {
		for name := range strings.SplitSeq(have.Annotations[key], ",") {
			if _, wanted := maps(&want.ObjectMeta)[name]; !wanted {
				delete(maps(&have.ObjectMeta), name)
				delete(maps(&have.Spec.Template.ObjectMeta), name)
			}
		}
		if want.Annotations[key] == "" {
			delete(have.Annotations, key)
		}
	}
}
