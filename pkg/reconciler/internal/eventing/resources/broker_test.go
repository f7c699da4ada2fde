package resources

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

func TestMakeBroker(t *testing.T) {
	t.Parallel()
	meta := metav1.ObjectMeta{Namespace: "team", Name: "shop"}
	for class, configured := range map[string]bool{lambda.BrokerClass: false, config.RabbitMQBrokerClass: true} {
		b := MakeBroker(meta, "shop-lambda", &config.Eventing{BrokerClass: class})
		if ClassOf(b) != class || (b.Spec.Config != nil) != configured {
			t.Errorf("class %s: %s, configured by %v", class, ClassOf(b), b.Spec.Config)
		}
	}
}

// TestLongestBackoff is what the event plane waits before the last retry, at most an hour.
func TestLongestBackoff(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		policy string
		retry  int32
		delay  time.Duration
		want   time.Duration
	}{
		{"linear", 0, time.Second, 0},
		{"linear", 3, 2 * time.Second, 6 * time.Second},
		{"exponential", 0, time.Second, time.Second},
		{"exponential", 5, time.Second, 32 * time.Second},
		{"exponential", 100, time.Second, time.Hour},
		{"linear", 100, time.Hour, time.Hour},
	} {
		spec := &v1alpha1.DeadLetterSpec{BackoffPolicy: tt.policy, RetryMaxAttempts: &tt.retry, RetryBackoffDelay: v1alpha1.NewDuration(tt.delay)}
		if got := LongestBackoff(spec, &config.Eventing{}); got != tt.want {
			t.Errorf("%d retries, %s from %v: %v, want %v", tt.retry, tt.policy, tt.delay, got, tt.want)
		}
	}
}

func TestDeadLetterBounds(t *testing.T) {
	t.Parallel()
	cfg := &config.Eventing{DeadLetters: config.DeadLetters{MessageTTL: time.Hour, MaxLength: 100, OverflowPolicy: "drop-head"}}
	if got := DeadLetterBounds(nil, cfg); got.TTL != time.Hour || got.MaxLength != 100 || got.Overflow != "drop-head" {
		t.Errorf("by configuration: %+v", got)
	}
	spec := &v1alpha1.DeadLetterSpec{MessageTTL: v1alpha1.NewDuration(time.Minute), MaxLength: ptr.Int64(7), OverflowPolicy: "reject-publish"}
	if got := DeadLetterBounds(spec, cfg); got.TTL != time.Minute || got.MaxLength != 7 || got.Overflow != "reject-publish" {
		t.Errorf("by the spec: %+v", got)
	}
}

// TestNotOnPlane names the setting that the event plane cannot have.
func TestNotOnPlane(t *testing.T) {
	t.Parallel()
	cfg := &config.Eventing{RabbitMQCluster: types.NamespacedName{Namespace: "rabbitmq", Name: "main"}, QueueType: "quorum"}
	got := map[string]string{}
	for name, r := range map[string]*v1alpha1.RabbitMQSpec{
		"nothing":              nil,
		"parallelism":          {Parallelism: ptr.Int32(1)},
		"the installation's":   {ClusterName: "main", Namespace: "rabbitmq", QueueType: "quorum"},
		"of the own namespace": {ClusterName: "main"},
		"another type":         {QueueType: "classic"},
	} {
		got[name] = NotOnPlane("team", r, cfg)
	}
	want := map[string]string{"nothing": "", "parallelism": "", "the installation's": "", "of the own namespace": "clusterName", "another type": "queueType"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want, +got):", diff)
	}
}
