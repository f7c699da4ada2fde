package resources

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	rabbitv1alpha1 "knative.dev/eventing-rabbitmq/pkg/apis/eventing/v1alpha1"
	topologyv1beta1 "knative.dev/eventing-rabbitmq/third_party/pkg/apis/rabbitmq.com/v1beta1"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/ptr"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	shared "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/eventing/resources"
	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/lambdafunction/resources/names"
)

// theKeys sign what is made in these tests.
var theKeys = func() *keyring.Keyring {
	k, err := keyring.New(map[string][]byte{keyring.CurrentKey: bytes.Repeat([]byte{1}, keyring.KeySize)})
	if err != nil {
		panic(err)
	}
	return k
}()

func eventingConfig() *config.Eventing {
	return &config.Eventing{
		DefaultBroker: "default", BrokerClass: lambda.BrokerClass, RabbitMQCluster: types.NamespacedName{Namespace: "rabbitmq", Name: "main"}, QueueType: "quorum", Parallelism: 10,
		Delivery: config.Delivery{Retry: 5, BackoffPolicy: "exponential", BackoffDelay: time.Second, Timeout: 30 * time.Second},
		DeadLetters: config.DeadLetters{Enabled: true, MessageTTL: time.Hour, MaxLength: 100, OverflowPolicy: "drop-head",
			Receiver: types.NamespacedName{Namespace: "knative-lambda", Name: "receiver"}},
	}
}

type filter = eventingv1.SubscriptionsAPIFilter

func trigger(broker string, filter map[string]string, filters ...filter) v1alpha1.FunctionTrigger {
	t := v1alpha1.FunctionTrigger{Broker: broker}
	if filter != nil {
		t.Filter = &eventingv1.TriggerFilter{Attributes: filter}
	}
	for _, f := range filters {
		t.Filters = append(t.Filters, v1alpha1.EventFilter{SubscriptionsAPIFilter: f})
	}
	return t
}

func prefix(attribute, value string) filter {
	return filter{Prefix: map[string]string{attribute: value}}
}

var notOwn = filter{Not: &filter{Exact: map[string]string{"source": "io.knative.lambda/function/team/greeter"}}}

func TestSubscriptions(t *testing.T) {
	type attributes = map[string]string
	image := func(f *v1alpha1.LambdaFunction) {
		f.Spec.Source = v1alpha1.FunctionSource{Image: &v1alpha1.ImageSource{}}
	}
	enabled := func(f *v1alpha1.LambdaFunction) {
		f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, Broker: "shared"}
	}
	with := func(all ...v1alpha1.FunctionTrigger) func(*v1alpha1.LambdaFunction) {
		return func(f *v1alpha1.LambdaFunction) { f.Spec.Triggers = all }
	}
	type subscription struct {
		Broker string
		Exact  attributes
		Rest   []filter
	}
	for _, tt := range []struct {
		name string
		f    *v1alpha1.LambdaFunction
		want []subscription
	}{
		{"none", function(), nil},
		{"eventing that is off", function(func(f *v1alpha1.LambdaFunction) { f.Spec.Eventing = &v1alpha1.FunctionEventing{Broker: "x"} }), nil},
		{"by name", function(enabled), []subscription{{"shared", attributes{"subject": "team/greeter"}, []filter{prefix("type", "io.knative.lambda.invoke."), notOwn}}}},
		{"an image by name", function(enabled, image), []subscription{{"shared", attributes{"subject": "team/greeter"}, []filter{prefix("type", "io.knative.lambda.invoke."), notOwn}}}},
		{"triggers only", function(enabled, with(trigger("b", attributes{"type": "x", "subject": ""}))), []subscription{{"b", attributes{"type": "x"}, []filter{notOwn}}}},
		{"a source that is another's", function(with(trigger("b", attributes{"source": "/shop"}))), []subscription{{"b", attributes{"source": "/shop"}, nil}}},
		{"exact filters join the attributes", function(with(trigger("b", attributes{"type": "x"}, filter{All: []filter{{Exact: attributes{"source": "/s"}}, prefix("subject", "a")}}))),
			[]subscription{{"b", attributes{"type": "x", "source": "/s"}, []filter{prefix("subject", "a")}}}},
		{"what contradicts is left to be told", function(with(trigger("b", attributes{"type": "x"}, filter{Exact: attributes{"type": "y", "source": "/s"}}))),
			[]subscription{{"b", attributes{"type": "x"}, []filter{{Exact: attributes{"type": "y", "source": "/s"}}, notOwn}}}},
		{"the same attributes share one", function(with(trigger("b", attributes{"source": "/s"}, prefix("type", "a")), trigger("b", attributes{"source": "/s"}, prefix("type", "b")), trigger("c", attributes{"source": "/s"}))),
			[]subscription{
				{"b", attributes{"source": "/s"}, []filter{{Any: []filter{{All: []filter{prefix("type", "a")}}, {All: []filter{prefix("type", "b")}}}}}},
				{"c", attributes{"source": "/s"}, nil},
			}},
		{"one of them takes all", function(with(trigger("b", attributes{"source": "/s"}, prefix("type", "a")), trigger("b", attributes{"source": "/s"}))), []subscription{{"b", attributes{"source": "/s"}, nil}}},
	} {
		var got []subscription
		for _, s := range Subscriptions(tt.f, false) {
			got = append(got, subscription{s.Broker, s.Exact, s.Filters(tt.f, true)})
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want, +got): %s", tt.name, diff)
		}
	}
}

func TestMakeTrigger(t *testing.T) {
	f := function(func(f *v1alpha1.LambdaFunction) {
		f.Spec.Runtime.Timeout = v1alpha1.NewDuration(time.Minute)
		f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, Broker: "shared",
			RabbitMQ: &v1alpha1.RabbitMQSpec{Parallelism: ptr.Int32(3)},
			DLQ:      &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(2), BackoffPolicy: "linear", RetryBackoffDelay: v1alpha1.NewDuration(500 * time.Millisecond)}}
		f.Spec.Triggers = []v1alpha1.FunctionTrigger{trigger("shop", map[string]string{"type": "order"}, prefix("subject", "eu + us"))}
	})
	s := Subscriptions(f, false)[0]
	linear := eventingduckv1.BackoffPolicyLinear
	dead := &shared.Dead{Queue: names.RabbitMQDeadLetterQueue(f), Sink: DeadLetterSink(f, theKeys, eventingConfig())}
	want := &eventingv1.Trigger{ObjectMeta: meta(names.Trigger(f, "shop", map[string]string{"type": "order"})), Spec: eventingv1.TriggerSpec{
		Broker:     "shop",
		Filters:    []filter{{Exact: map[string]string{"type": "order"}}, prefix("subject", "eu + us"), notOwn},
		Subscriber: duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "serving.knative.dev/v1", Kind: "Service", Namespace: "team", Name: "greeter"}},
		Delivery:   &eventingduckv1.DeliverySpec{Retry: ptr.Int32(2), BackoffPolicy: &linear, BackoffDelay: ptr.String("PT0.5S"), Timeout: ptr.String("PT1M30S")},
	}}
	want.Annotations = map[string]string{lambda.ParallelismAnnotationKey: "3", lambda.DeadLetterQueueAnnotationKey: "lambda.dlq.team.greeter"}
	if diff := cmp.Diff(want, MakeTrigger(f, s, lambda.BrokerClass, dead, eventingConfig())); diff != "" {
		t.Error("Trigger of the event plane (-want, +got):", diff)
	}

	elsewhere := MakeTrigger(f, s, "MTChannelBasedBroker", dead, eventingConfig())
	wantSink := &duckv1.Destination{Ref: &duckv1.KReference{APIVersion: "v1", Kind: "Service", Namespace: "knative-lambda", Name: "receiver"}, URI: &apis.URL{Path: "/dead-letters/team/greeter/" + theKeys.Sign("dead-letters", "function", "team", "greeter")}}
	if diff := cmp.Diff(wantSink, elsewhere.Spec.Delivery.DeadLetterSink); diff != "" || elsewhere.Annotations != nil {
		t.Errorf("annotations %v and dead letter sink of a Trigger of another class (-want, +got): %s", elsewhere.Annotations, diff)
	}
	if diff := cmp.Diff(want.Spec.Filters, elsewhere.Spec.Filters); diff != "" {
		t.Error("filters of a Trigger of another class (-want, +got):", diff)
	}

	plain := MakeTrigger(f, s, config.RabbitMQBrokerClass, dead, eventingConfig())
	if diff := cmp.Diff(eventingv1.TriggerFilterAttributes{"type": "order"}, plain.Spec.Filter.Attributes); diff != "" || plain.Spec.Filters != nil || plain.Spec.Subscriber.URI != nil {
		t.Errorf("a Trigger of class RabbitMQBroker: %+v %s", plain.Spec, diff)
	}
}

func TestDelivery(t *testing.T) {
	f := function()
	exponential := eventingduckv1.BackoffPolicyExponential
	got := delivery(f, &eventingduckv1.DeliverySpec{Retry: ptr.Int32(0), Timeout: ptr.String("PT5S"), DeadLetterSink: &duckv1.Destination{URI: apis.HTTP("mine")}}, eventingConfig())
	want := &eventingduckv1.DeliverySpec{Retry: ptr.Int32(0), BackoffPolicy: &exponential, BackoffDelay: ptr.String("PT1S"), Timeout: ptr.String("PT5S"), DeadLetterSink: &duckv1.Destination{URI: apis.HTTP("mine")}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("delivery that a trigger overrides (-want, +got):", diff)
	}
}

func TestWantsDeadLetters(t *testing.T) {
	off := eventingConfig()
	off.DeadLetters.Enabled = false
	dlq := func(enabled *bool) *v1alpha1.LambdaFunction {
		return function(func(f *v1alpha1.LambdaFunction) {
			f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, DLQ: &v1alpha1.DeadLetterSpec{Enabled: enabled}}
		})
	}
	for name, tt := range map[string]struct {
		f                *v1alpha1.LambdaFunction
		cfg              *config.Eventing
		wanted, explicit bool
	}{
		"no events":          {function(), eventingConfig(), false, false},
		"by configuration":   {dlq(nil), eventingConfig(), true, false},
		"not by it":          {dlq(nil), off, false, false},
		"asked for":          {dlq(ptr.Bool(true)), off, true, true},
		"asked for none":     {dlq(ptr.Bool(false)), eventingConfig(), false, true},
		"with triggers only": {function(func(f *v1alpha1.LambdaFunction) { f.Spec.Triggers = []v1alpha1.FunctionTrigger{{Broker: "b"}} }), eventingConfig(), true, false},
	} {
		if wanted, explicit := WantsDeadLetters(tt.f, tt.cfg); wanted != tt.wanted || explicit != tt.explicit {
			t.Errorf("%s: WantsDeadLetters() = %v, %v, want %v, %v", name, wanted, explicit, tt.wanted, tt.explicit)
		}
	}
}

func TestMakeBroker(t *testing.T) {
	onRabbitMQ := eventingConfig()
	onRabbitMQ.BrokerClass = config.RabbitMQBrokerClass
	shared := metav1.ObjectMeta{Namespace: "team", Name: "shop", Labels: map[string]string{"app.kubernetes.io/managed-by": "knative-lambda-operator"}, Annotations: map[string]string{"eventing.knative.dev/broker.class": "RabbitMQBroker"}}
	exponential := eventingduckv1.BackoffPolicyExponential
	if diff := cmp.Diff(&eventingv1.Broker{ObjectMeta: shared, Spec: eventingv1.BrokerSpec{
		Config:   &duckv1.KReference{APIVersion: "eventing.knative.dev/v1alpha1", Kind: "RabbitmqBrokerConfig", Namespace: "team", Name: "shop-lambda"},
		Delivery: &eventingduckv1.DeliverySpec{Retry: ptr.Int32(5), BackoffPolicy: &exponential, BackoffDelay: ptr.String("PT1S"), Timeout: ptr.String("PT30S")},
	}}, MakeBroker("team", "shop", onRabbitMQ)); diff != "" {
		t.Error("Broker (-want, +got):", diff)
	}
	bySecret := eventingConfig()
	bySecret.RabbitMQCluster, bySecret.ConnectionSecret = types.NamespacedName{}, "rabbit"
	for name, tt := range map[string]struct {
		spec *v1alpha1.RabbitMQSpec
		cfg  *config.Eventing
		want topologyv1beta1.RabbitmqClusterReference
	}{
		"the platform's":        {nil, eventingConfig(), topologyv1beta1.RabbitmqClusterReference{Namespace: "rabbitmq", Name: "main"}},
		"the platform's secret": {nil, bySecret, topologyv1beta1.RabbitmqClusterReference{Namespace: "team", ConnectionSecret: &corev1.LocalObjectReference{Name: "rabbit"}}},
		"its own":               {&v1alpha1.RabbitMQSpec{ClusterName: "mine"}, eventingConfig(), topologyv1beta1.RabbitmqClusterReference{Namespace: "team", Name: "mine"}},
		"another namespace's":   {&v1alpha1.RabbitMQSpec{ClusterName: "mine", Namespace: "data"}, eventingConfig(), topologyv1beta1.RabbitmqClusterReference{Namespace: "data", Name: "mine"}},
		"a secret":              {&v1alpha1.RabbitMQSpec{ConnectionSecret: &corev1.LocalObjectReference{Name: "s"}}, eventingConfig(), topologyv1beta1.RabbitmqClusterReference{Namespace: "team", ConnectionSecret: &corev1.LocalObjectReference{Name: "s"}}},
	} {
		got := MakeBrokerConfig("team", "shop", tt.spec, tt.cfg)
		if diff := cmp.Diff(rabbitv1alpha1.RabbitmqBrokerConfigSpec{RabbitmqClusterReference: &tt.want, QueueType: "quorum"}, got.Spec); diff != "" || got.Name != "shop-lambda" {
			t.Errorf("%s: RabbitmqBrokerConfig %s (-want, +got): %s", name, got.Name, diff)
		}
	}
}

func TestBrokerConfigDiffers(t *testing.T) {
	existing := MakeBrokerConfig("team", "shop", nil, eventingConfig())
	for want, spec := range map[string]*v1alpha1.RabbitMQSpec{
		"":                 {Parallelism: ptr.Int32(1)},
		"clusterName":      {ClusterName: "mine"},
		"connectionSecret": {ConnectionSecret: &corev1.LocalObjectReference{Name: "s"}},
		"queueType":        {QueueType: "classic"},
	} {
		if got := shared.BrokerConfigDiffers(existing, MakeBrokerConfig("team", "shop", spec, eventingConfig()), spec); got != want {
			t.Errorf("BrokerConfigDiffers(%+v) = %q, want %q", spec, got, want)
		}
	}
	if got := shared.BrokerConfigDiffers(existing, existing, nil); got != "" {
		t.Errorf("BrokerConfigDiffers() = %q of a function that says nothing", got)
	}
}

func TestAddSinks(t *testing.T) {
	sink := &apis.URL{Scheme: "http", Host: "sink.test"}
	errs := eventingConfig()
	errs.ResponseSink = "http://errors.test"
	inline, image := function(), function(func(f *v1alpha1.LambdaFunction) {
		f.Spec.Source = v1alpha1.FunctionSource{Image: &v1alpha1.ImageSource{}}
	})
	eventful := function(func(f *v1alpha1.LambdaFunction) {
		f.Spec.Eventing = &v1alpha1.FunctionEventing{Enabled: true, Broker: "shared"}
	})
	for name, tt := range map[string]struct {
		f    *v1alpha1.LambdaFunction
		sink *apis.URL
		cfg  *config.Eventing
		want []corev1.EnvVar
	}{
		"none":               {inline, nil, eventingConfig(), nil},
		"replies":            {inline, sink, eventingConfig(), []corev1.EnvVar{{Name: "LAMBDA_REPLY_SINK", Value: "http://sink.test"}}},
		"replies, errors":    {inline, sink, errs, []corev1.EnvVar{{Name: "LAMBDA_REPLY_SINK", Value: "http://sink.test"}, {Name: "LAMBDA_RESPONSE_SINK", Value: "http://errors.test"}}},
		"dead letters":       {eventful, nil, eventingConfig(), nil}, // the event plane sees to them
		"a ready-made image": {image, sink, errs, []corev1.EnvVar{{Name: "K_SINK", Value: "http://sink.test"}}},
	} {
		service := &servingv1.Service{Spec: servingv1.ServiceSpec{ConfigurationSpec: servingv1.ConfigurationSpec{Template: servingv1.RevisionTemplateSpec{Spec: servingv1.RevisionSpec{PodSpec: corev1.PodSpec{Containers: []corev1.Container{{}}}}}}}}
		AddSinks(service, tt.f, Sinks{Replies: tt.sink}, tt.cfg)
		if diff := cmp.Diff(tt.want, service.Spec.Template.Spec.Containers[0].Env); diff != "" {
			t.Errorf("%s (-want, +got): %s", name, diff)
		}
	}
}
