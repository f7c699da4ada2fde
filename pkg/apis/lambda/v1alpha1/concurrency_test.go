package v1alpha1

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"
	"knative.dev/pkg/apis"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
)

// TestConcurrency: calls at once, workers and the autoscaler's target are one number, and
// the status says where it is from. What runs is the same.
func TestConcurrency(t *testing.T) {
	target := NewNumber
	for name, tt := range map[string]struct {
		spec string
		want ConcurrencyStatus
	}{
		"default": {python, ConcurrencyStatus{PerPod: ptr.To[int32](100), AutoscalerTarget: target(70), Isolation: "shared", LimitedBy: "default"}},
		"one number": {python + "scaling: {concurrency: 10}",
			ConcurrencyStatus{PerPod: ptr.To[int32](10), AutoscalerTarget: target(7), Isolation: "shared", LimitedBy: "spec.scaling.concurrency"}},
		"its older name": {python + "scaling: {containerConcurrency: 1}",
			ConcurrencyStatus{PerPod: ptr.To[int32](1), AutoscalerTarget: target(0.7), Isolation: "shared", LimitedBy: "spec.scaling.containerConcurrency"}},
		"no bound by the older name": {python + "scaling: {containerConcurrency: 0}", ConcurrencyStatus{AutoscalerTarget: target(70), Isolation: "shared"}},
		"target": {python + "scaling: {concurrency: 10, targetConcurrency: 5}",
			ConcurrencyStatus{PerPod: ptr.To[int32](10), AutoscalerTarget: target(3.5), Isolation: "shared", LimitedBy: "spec.scaling.concurrency"}},
		"another metric": {python + "scaling: {metric: rps, target: 500}", ConcurrencyStatus{PerPod: ptr.To[int32](100), Isolation: "shared", LimitedBy: "default"}},
		"shared workers": {"source: {inline: {code: x}}\nruntime: {language: python, workers: 3}",
			ConcurrencyStatus{PerPod: ptr.To[int32](100), AutoscalerTarget: target(70), WorkersPerPod: ptr.To[int32](3), Isolation: "shared", LimitedBy: "default"}},
		"exclusive": {"source: {inline: {code: x}}\nruntime: {language: python, isolation: exclusive}",
			ConcurrencyStatus{PerPod: ptr.To[int32](2), AutoscalerTarget: target(1.4), WorkersPerPod: ptr.To[int32](2), Isolation: "exclusive", LimitedBy: "default"}},
		"exclusive, by the CPU limit": {"source: {inline: {code: x}}\nruntime: {language: python, isolation: exclusive}\nresources: {limits: {cpu: 2500m}}",
			ConcurrencyStatus{PerPod: ptr.To[int32](3), AutoscalerTarget: target(2.1), WorkersPerPod: ptr.To[int32](3), Isolation: "exclusive", LimitedBy: "spec.resources.limits.cpu"}},
		"exclusive, by concurrency": {"source: {inline: {code: x}}\nruntime: {language: python, isolation: exclusive}\nscaling: {concurrency: 10}\nresources: {limits: {cpu: 1}}",
			ConcurrencyStatus{PerPod: ptr.To[int32](10), AutoscalerTarget: target(7), WorkersPerPod: ptr.To[int32](10), Isolation: "exclusive", LimitedBy: "spec.scaling.concurrency"}},
		"exclusive, by the older name": {"source: {inline: {code: x}}\nruntime: {language: python, isolation: exclusive}\nscaling: {containerConcurrency: 100}",
			ConcurrencyStatus{PerPod: ptr.To[int32](64), AutoscalerTarget: target(44.8), WorkersPerPod: ptr.To[int32](64), Isolation: "exclusive", LimitedBy: "spec.scaling.containerConcurrency"}},
		"exclusive, no bound by the older name": {"source: {inline: {code: x}}\nruntime: {language: shell}\nscaling: {containerConcurrency: 0}",
			ConcurrencyStatus{PerPod: ptr.To[int32](2), AutoscalerTarget: target(1.4), WorkersPerPod: ptr.To[int32](2), Isolation: "exclusive", LimitedBy: "default"}},
		"protocol 1": {"source: {inline: {code: x}}\nruntime: {language: shell, workers: 4}",
			ConcurrencyStatus{PerPod: ptr.To[int32](4), AutoscalerTarget: target(2.8), WorkersPerPod: ptr.To[int32](4), Isolation: "exclusive", LimitedBy: "spec.runtime.workers"}},
		"programs for AWS": {"source: {inline: {code: x}}\nruntime: {language: snake}",
			ConcurrencyStatus{PerPod: ptr.To[int32](2), AutoscalerTarget: target(1.4), WorkersPerPod: ptr.To[int32](2), Isolation: "exclusive", LimitedBy: "default"}},
		"one process": {"source: {inline: {code: x}}\nruntime: {language: go}",
			ConcurrencyStatus{PerPod: ptr.To[int32](100), AutoscalerTarget: target(70), Isolation: "shared", LimitedBy: "default"}},
		"one process, exclusive": {"source: {inline: {code: x}}\nruntime: {language: go, isolation: exclusive}",
			ConcurrencyStatus{PerPod: ptr.To[int32](1), AutoscalerTarget: target(0.7), WorkersPerPod: ptr.To[int32](1), Isolation: "exclusive", LimitedBy: "spec.runtime.isolation"}},
		"an image": {"source: {image: {repository: r.test/own}}", ConcurrencyStatus{AutoscalerTarget: target(70)}},
		"an image with a bound": {"source: {image: {repository: r.test/own}}\nscaling: {concurrency: 7}",
			ConcurrencyStatus{PerPod: ptr.To[int32](7), AutoscalerTarget: target(4.9), LimitedBy: "spec.scaling.concurrency"}},
		"a language that is not offered": {"source: {inline: {code: x}}\nruntime: {language: cobol}", ConcurrencyStatus{AutoscalerTarget: target(70)}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config.FromContext(configured())
			f := functionOf(t, tt.spec)
			if diff := cmp.Diff(&tt.want, f.Spec.ConcurrencyStatus(cfg)); diff != "" {
				t.Error("status (-want, +got):", diff)
			}
			s := f.EffectiveSpec(cfg)
			runs := ConcurrencyStatus{PerPod: s.Scaling.Concurrency, WorkersPerPod: s.Runtime.Workers, Isolation: s.Runtime.Isolation}
			if diff := cmp.Diff(ConcurrencyStatus{PerPod: tt.want.PerPod, WorkersPerPod: tt.want.WorkersPerPod, Isolation: tt.want.Isolation}, runs); diff != "" {
				t.Error("what runs is not what the status says (-status, +effective):", diff)
			}
			if got := *s.Scaling.ContainerLimit(); got != int64(ptr.Deref(tt.want.PerPod, 0)) {
				t.Errorf("the limit of the container is %d", got)
			}
			f.Spec = s
			if err := f.Validate(configured()).Filter(apis.ErrorLevel); err != nil && tt.spec != "source: {inline: {code: x}}\nruntime: {language: cobol}" {
				t.Error("the effective spec is refused:", err)
			}
		})
	}
}

// TestEventOfRequests: programs for AWS Lambda get the event of a function URL.
func TestEventOfRequests(t *testing.T) {
	for runtime, want := range map[string]HTTPEvent{
		"{language: python}": HTTPEventDecoded, "{language: snake}": HTTPEventAWS, "{language: shell}": HTTPEventDecoded,
		"{language: python, httpEvent: aws-v2}": HTTPEventAWS, "{language: snake, httpEvent: decoded}": HTTPEventDecoded,
	} {
		f := functionOf(t, "source: {inline: {code: x}}\nruntime: "+runtime)
		if got := f.EffectiveSpec(config.FromContext(configured())).Runtime.HTTPEvent; got != want {
			t.Errorf("%s: %s, want %s", runtime, got, want)
		}
	}
}

// TestDeprecatedConcurrency: the older name is admitted, with a warning.
func TestDeprecatedConcurrency(t *testing.T) {
	f, a := functionOf(t, python+"scaling: {containerConcurrency: 0}"), agentOf(t, anImage+"\nscaling: {containerConcurrency: 5}")
	for _, o := range []object{f, a} {
		errs := o.Validate(configured())
		if err := errs.Filter(apis.ErrorLevel); err != nil {
			t.Errorf("%T is refused: %v", o, err)
		}
		refused(t, o, errs.Filter(apis.WarningLevel), "is deprecated: use concurrency: spec.scaling.containerConcurrency")
	}
}
