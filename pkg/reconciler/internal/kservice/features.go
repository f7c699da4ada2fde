package kservice

import (
	"fmt"
	"strings"
	"time"

	servingconfig "knative.dev/serving/pkg/apis/config"

	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
)

// FeatureInterval is how often a Service is tried again that a flag of Knative Serving
// forbids: nothing says that an administrator has changed it.
const FeatureInterval = 2 * time.Minute

// features of Knative Serving that allow a field, by how its webhook refuses that.
var features = []struct{ refusal, field, flag string }{
	{"spec.template.spec.affinity", "spec.affinity", servingconfig.FeaturePodSpecAffinity},
	{"spec.template.spec.nodeSelector", "spec.nodeSelector", servingconfig.FeaturePodSpecNodeSelector},
	{"spec.template.spec.tolerations", "spec.tolerations", servingconfig.FeaturePodSpecTolerations},
	{"spec.template.spec.topologySpreadConstraints", "spec.topologySpreadConstraints", servingconfig.FeaturePodSpecTopologySpreadConstraints},
	{"spec.template.spec.priorityClassName", "spec.priorityClassName", servingconfig.FeaturePodSpecPriorityClassName},
	{"spec.template.spec.runtimeClassName", "spec.runtimeClassName", servingconfig.FeaturePodSpecRuntimeClassName},
	{"init-containers is off", "spec.initContainers", servingconfig.FeaturePodSpecInitContainers},
	{"EmptyDir volume support is disabled", "spec.volumes[].emptyDir", servingconfig.FeaturePodSpecEmptyDir},
	{"Persistent volume claim support is disabled", "spec.volumes[].persistentVolumeClaim", servingconfig.FeaturePodSpecPVClaim},
	{"Persistent volume write support is disabled", "spec.volumes[].persistentVolumeClaim without readOnly", "kubernetes.podspec-persistent-volume-write"},
	{"valueFrom.fieldRef", "valueFrom.fieldRef of spec.env", servingconfig.FeaturePodSpecFieldRef},
	{"valueFrom.resourceFieldRef", "valueFrom.resourceFieldRef of spec.env", servingconfig.FeaturePodSpecFieldRef},
}

// DisabledFeatures says which fields of a spec Knative Serving refuses because their flags
// are off, and the flags; empty where the error is another one.
func DisabledFeatures(err error) string {
	if !child.IsRejected(err) {
		return ""
	}
	var fields, flags []string
	for _, f := range features {
		if strings.Contains(err.Error(), f.refusal) {
			fields, flags = append(fields, f.field), append(flags, f.flag)
		}
	}
	if len(fields) == 0 {
		return ""
	}
	return fmt.Sprintf("Knative Serving does not allow %s. Remove it, or have an administrator enable %s in the ConfigMap config-features of Knative Serving.",
		strings.Join(fields, ", "), strings.Join(flags, ", "))
}
