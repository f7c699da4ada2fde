// Package testing is the harness of the reconcilers' table tests: fake clients
// and listers made from a row's objects, and a second reconcile on the state
// that the first one left, which must write nothing.
package testing

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	fakekubeclientset "k8s.io/client-go/kubernetes/fake"
	batchv1listers "k8s.io/client-go/listers/batch/v1"
	corev1listers "k8s.io/client-go/listers/core/v1"
	rbacv1listers "k8s.io/client-go/listers/rbac/v1"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	fakerabbitclientset "knative.dev/eventing-rabbitmq/pkg/client/clientset/versioned/fake"
	rabbitlisters "knative.dev/eventing-rabbitmq/pkg/client/listers/eventing/v1alpha1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	eventingv1alpha1 "knative.dev/eventing/pkg/apis/eventing/v1alpha1"
	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"
	fakeeventingclientset "knative.dev/eventing/pkg/client/clientset/versioned/fake"
	eventinglisters "knative.dev/eventing/pkg/client/listers/eventing/v1"
	policylisters "knative.dev/eventing/pkg/client/listers/eventing/v1alpha1"
	sourceslisters "knative.dev/eventing/pkg/client/listers/sources/v1"
	rtesting "knative.dev/pkg/reconciler/testing"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	servingv1beta1 "knative.dev/serving/pkg/apis/serving/v1beta1"
	fakeservingclientset "knative.dev/serving/pkg/client/clientset/versioned/fake"
	servinglisters "knative.dev/serving/pkg/client/listers/serving/v1"
	domainlisters "knative.dev/serving/pkg/client/listers/serving/v1beta1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	fakelambdaclientset "github.com/brunovlucena/knative-lambda-operator/pkg/client/clientset/versioned/fake"
	lambdalisters "github.com/brunovlucena/knative-lambda-operator/pkg/client/listers/lambda/v1alpha1"
)

// Listers are the informers' caches of one row.
type Listers struct {
	sorter rtesting.ObjectSorter
}

// NewListers returns caches that hold the objects.
func NewListers(objects []runtime.Object) *Listers {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		fakekubeclientset.AddToScheme, fakeservingclientset.AddToScheme, fakelambdaclientset.AddToScheme,
		fakeeventingclientset.AddToScheme, fakerabbitclientset.AddToScheme,
	} {
		utilruntime.Must(add(scheme))
	}
	ls := &Listers{sorter: rtesting.NewObjectSorter(scheme)}
	ls.sorter.AddObjects(objects...)
	return ls
}

func (l *Listers) kubeObjects() []runtime.Object {
	return l.sorter.ObjectsForSchemeFunc(fakekubeclientset.AddToScheme)
}

func (l *Listers) servingObjects() []runtime.Object {
	return l.sorter.ObjectsForSchemeFunc(fakeservingclientset.AddToScheme)
}

func (l *Listers) lambdaObjects() []runtime.Object {
	return l.sorter.ObjectsForSchemeFunc(fakelambdaclientset.AddToScheme)
}

func (l *Listers) eventingObjects() []runtime.Object {
	return l.sorter.ObjectsForSchemeFunc(fakeeventingclientset.AddToScheme)
}

func (l *Listers) rabbitObjects() []runtime.Object {
	return l.sorter.ObjectsForSchemeFunc(fakerabbitclientset.AddToScheme)
}

// Brokers lists Brokers.
func (l *Listers) Brokers() eventinglisters.BrokerLister {
	return eventinglisters.NewBrokerLister(l.sorter.IndexerForObjectType(&eventingv1.Broker{}))
}

// Triggers lists Triggers.
func (l *Listers) Triggers() eventinglisters.TriggerLister {
	return eventinglisters.NewTriggerLister(l.sorter.IndexerForObjectType(&eventingv1.Trigger{}))
}

// PingSources lists PingSources.
func (l *Listers) PingSources() sourceslisters.PingSourceLister {
	return sourceslisters.NewPingSourceLister(l.sorter.IndexerForObjectType(&sourcesv1.PingSource{}))
}

// EventPolicies lists EventPolicies. They are found by an index in the process.
func (l *Listers) EventPolicies() policylisters.EventPolicyLister {
	return policylisters.NewEventPolicyLister(l.sorter.IndexerForObjectType(&eventingv1alpha1.EventPolicy{}))
}

// BrokerConfigs lists RabbitmqBrokerConfigs.
func (l *Listers) BrokerConfigs() rabbitlisters.RabbitmqBrokerConfigLister {
	return rabbitlisters.NewRabbitmqBrokerConfigLister(l.sorter.IndexerForObjectType(&rabbitv1alpha1.RabbitmqBrokerConfig{}))
}

// LambdaFunctions lists LambdaFunctions.
func (l *Listers) LambdaFunctions() lambdalisters.LambdaFunctionLister {
	return lambdalisters.NewLambdaFunctionLister(l.sorter.IndexerForObjectType(&v1alpha1.LambdaFunction{}))
}

// LambdaAgents lists LambdaAgents.
func (l *Listers) LambdaAgents() lambdalisters.LambdaAgentLister {
	return lambdalisters.NewLambdaAgentLister(l.sorter.IndexerForObjectType(&v1alpha1.LambdaAgent{}))
}

// Services lists Knative Services.
func (l *Listers) Services() servinglisters.ServiceLister {
	return servinglisters.NewServiceLister(l.sorter.IndexerForObjectType(&servingv1.Service{}))
}

// DomainMappings lists DomainMappings.
func (l *Listers) DomainMappings() domainlisters.DomainMappingLister {
	return domainlisters.NewDomainMappingLister(l.sorter.IndexerForObjectType(&servingv1beta1.DomainMapping{}))
}

// Jobs lists Jobs.
func (l *Listers) Jobs() batchv1listers.JobLister {
	return batchv1listers.NewJobLister(l.sorter.IndexerForObjectType(&batchv1.Job{}))
}

// Pods lists Pods.
func (l *Listers) Pods() corev1listers.PodLister {
	return corev1listers.NewPodLister(l.sorter.IndexerForObjectType(&corev1.Pod{}))
}

// Events lists Kubernetes' events.
func (l *Listers) Events() corev1listers.EventLister {
	return corev1listers.NewEventLister(l.sorter.IndexerForObjectType(&corev1.Event{}))
}

// ConfigMaps lists ConfigMaps.
func (l *Listers) ConfigMaps() corev1listers.ConfigMapLister {
	return corev1listers.NewConfigMapLister(l.sorter.IndexerForObjectType(&corev1.ConfigMap{}))
}

// Secrets lists Secrets.
func (l *Listers) Secrets() corev1listers.SecretLister {
	return corev1listers.NewSecretLister(l.sorter.IndexerForObjectType(&corev1.Secret{}))
}

// ServiceAccounts lists ServiceAccounts.
func (l *Listers) ServiceAccounts() corev1listers.ServiceAccountLister {
	return corev1listers.NewServiceAccountLister(l.sorter.IndexerForObjectType(&corev1.ServiceAccount{}))
}

// Roles lists Roles.
func (l *Listers) Roles() rbacv1listers.RoleLister {
	return rbacv1listers.NewRoleLister(l.sorter.IndexerForObjectType(&rbacv1.Role{}))
}

// RoleBindings lists RoleBindings.
func (l *Listers) RoleBindings() rbacv1listers.RoleBindingLister {
	return rbacv1listers.NewRoleBindingLister(l.sorter.IndexerForObjectType(&rbacv1.RoleBinding{}))
}
