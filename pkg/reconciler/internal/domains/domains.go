// Package domains gives functions and agents names of their own: a DomainMapping of
// Knative Serving for each domain.
package domains

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrs "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/kmeta"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	servingv1beta1 "knative.dev/serving/pkg/apis/serving/v1beta1"
	servingclientset "knative.dev/serving/pkg/client/clientset/versioned"
	servinglisters "knative.dev/serving/pkg/client/listers/serving/v1beta1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
)

// Status of a function or an agent.
type Status interface {
	MarkDomainsReady()
	MarkDomainsPending(reason, message string)
	MarkDomainsFailed(reason, message string)
	SetDomains([]v1alpha1.DomainStatus)
	ClearDomains() error
}

// Owner of DomainMappings.
type Owner interface {
	kmeta.OwnerRefable
	metav1.Object
}

// Mappings reads and writes them.
type Mappings struct {
	Client servingclientset.Interface
	Lister servinglisters.DomainMappingLister
}

// Target is what domains lead to.
type Target struct {
	// Service is the name of the Knative Service.
	Service string
	// Labels of each DomainMapping.
	Labels map[string]string
	// Addressed says that the Service has an address.
	Addressed bool
}

// Reconcile makes the owner have a DomainMapping for each domain, and no other.
func (m Mappings) Reconcile(ctx context.Context, owner Owner, target Target, e *v1alpha1.Exposure, status Status) error {
	set := child.Set[*servingv1beta1.DomainMapping]{Kind: "DomainMapping", Lister: m.Lister.DomainMappings(owner.GetNamespace()),
		Client: m.Client.ServingV1beta1().DomainMappings(owner.GetNamespace())}
	wanted := e.Domains
	if e.Visibility == v1alpha1.VisibilityClusterLocal {
		wanted = nil
	}
	if err := m.deleteOthers(ctx, set, owner, wanted); err != nil {
		return err
	}
	switch {
	case len(e.Domains) == 0:
		return status.ClearDomains()
	case len(wanted) == 0:
		status.SetDomains(nil)
		status.MarkDomainsFailed(v1alpha1.ReasonClusterLocal, "Domains publish what is cluster-local: remove spec.domains, or set spec.visibility: external.")
		return nil
	case !target.Addressed:
		status.MarkDomainsPending(v1alpha1.ReasonServiceNotReconciled, "The Knative Service has no address yet.")
		return nil
	}
	var all []outcome
	for _, d := range wanted {
		o, err := ensure(ctx, set, owner, target, d)
		if err != nil {
			return err
		}
		all = append(all, o)
	}
	report(status, all)
	return nil
}

func (m Mappings) deleteOthers(ctx context.Context, set child.Set[*servingv1beta1.DomainMapping], owner Owner, wanted []v1alpha1.Domain) error {
	existing, err := m.Lister.DomainMappings(owner.GetNamespace()).List(labels.Everything())
	if err != nil {
		return fmt.Errorf("failed to list DomainMappings: %w", err)
	}
	for _, dm := range existing {
		is := func(d v1alpha1.Domain) bool { return d.Name == dm.Name }
		if slices.ContainsFunc(wanted, is) {
			continue
		}
		if err := set.Delete(ctx, owner, dm.Name); err != nil {
			return err
		}
	}
	return nil
}

// outcome of one domain; status Unknown while it is waited for.
type outcome struct {
	v1alpha1.DomainStatus
	status          corev1.ConditionStatus
	reason, message string
}

func ensure(ctx context.Context, set child.Set[*servingv1beta1.DomainMapping], owner Owner, target Target, d v1alpha1.Domain) (outcome, error) {
	dm, err := set.Ensure(ctx, owner, mapping(owner, target, d), mutate)
	failed := outcome{DomainStatus: v1alpha1.DomainStatus{Name: d.Name}, status: corev1.ConditionFalse}
	switch {
	case child.IsNotOwned(err):
		failed.reason, failed.message = v1alpha1.ReasonDomainNotOwned, err.Error()
	case child.IsRejected(err), apierrs.IsForbidden(err):
		failed.reason, failed.message = v1alpha1.ReasonDomainRejected, err.Error()
	case err != nil:
		return outcome{}, err
	default:
		return observed(dm), nil
	}
	return failed, nil
}

func mapping(owner Owner, target Target, d v1alpha1.Domain) *servingv1beta1.DomainMapping {
	dm := &servingv1beta1.DomainMapping{
		ObjectMeta: metav1.ObjectMeta{Name: d.Name, Namespace: owner.GetNamespace(), Labels: target.Labels,
			OwnerReferences: []metav1.OwnerReference{*kmeta.NewControllerRef(owner)}},
		Spec: servingv1beta1.DomainMappingSpec{Ref: duckv1.KReference{APIVersion: servingv1.SchemeGroupVersion.String(), Kind: "Service",
			Namespace: owner.GetNamespace(), Name: target.Service}},
	}
	if d.TLSSecretName != "" {
		dm.Spec.TLS = &servingv1beta1.SecretTLS{SecretName: d.TLSSecretName}
	}
	return dm
}

func mutate(existing, desired *servingv1beta1.DomainMapping) {
	existing.Labels = child.MergeMap(existing.Labels, desired.Labels)
	existing.Spec = desired.Spec
}

// observed is what a DomainMapping says of itself, with what an administrator can do
// about claims.
func observed(dm *servingv1beta1.DomainMapping) outcome {
	o := outcome{DomainStatus: v1alpha1.DomainStatus{Name: dm.Name}, status: corev1.ConditionUnknown,
		reason: v1alpha1.ReasonDomainNotReconciled, message: "Knative Serving has not yet seen the newest DomainMapping."}
	ready := dm.Status.GetCondition(servingv1beta1.DomainMappingConditionReady)
	if dm.Generation != dm.Status.ObservedGeneration || ready == nil {
		return o
	}
	o.status, o.reason, o.message, o.Ready = ready.Status, ready.Reason, ready.Message, ready.IsTrue()
	if u := dm.Status.URL; u != nil && o.Ready {
		o.URL = u.String()
	}
	switch claimed := dm.Status.GetCondition(servingv1beta1.DomainMappingConditionDomainClaimed); {
	case !claimed.IsFalse():
	case claimed.Reason == v1alpha1.ReasonDomainAlreadyClaimed:
		o.reason, o.message = claimed.Reason, "another namespace has claimed it. Choose another domain, or ask an administrator for its ClusterDomainClaim."
	default:
		o.reason, o.message = claimed.Reason, fmt.Sprintf("%s. An administrator allows it by a ClusterDomainClaim %s for namespace %s, or by autocreate-cluster-domain-claims in config-network of Knative Serving.",
			claimed.Message, dm.Name, dm.Namespace)
	}
	return o
}

// report says what became of all, and of the first that does not answer.
func report(status Status, all []outcome) {
	var each []v1alpha1.DomainStatus
	for _, o := range all {
		each = append(each, o.DomainStatus)
	}
	status.SetDomains(each)
	for _, wanted := range []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionUnknown} {
		i := slices.IndexFunc(all, func(o outcome) bool { return o.status == wanted })
		if i < 0 {
			continue
		}
		message := fmt.Sprintf("Domain %s: %s", all[i].Name, all[i].message)
		if wanted == corev1.ConditionFalse {
			status.MarkDomainsFailed(all[i].reason, message)
		} else {
			status.MarkDomainsPending(all[i].reason, message)
		}
		return
	}
	status.MarkDomainsReady()
}
