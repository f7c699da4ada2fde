package resources

import (
	"knative.dev/pkg/ptr"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// traffic is what the spec asks for, else all of it to the latest revision that is
// ready: said as Knative defaults it, so that a split that is dropped goes away.
func traffic(f *v1alpha1.LambdaFunction) []servingv1.TrafficTarget {
	if len(f.Spec.Traffic) > 0 {
		return f.Spec.Traffic
	}
	return []servingv1.TrafficTarget{{LatestRevision: ptr.Bool(true), Percent: ptr.Int64(100)}}
}
