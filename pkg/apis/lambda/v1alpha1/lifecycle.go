package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/apis"
)

// summarize makes Ready say what the first of the conditions says that is False,
// else the first that is Unknown: those after it only wait. The condition manager
// itself takes whichever changed last.
func summarize(manager apis.ConditionManager, inOrder ...apis.ConditionType) {
	for _, status := range []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionUnknown} {
		for _, t := range inOrder {
			c := manager.GetCondition(t)
			switch {
			case c == nil || c.Status != status:
				continue
			case c.IsFalse():
				manager.MarkFalse(apis.ConditionReady, c.Reason, "%s", c.Message)
			default:
				manager.MarkUnknown(apis.ConditionReady, c.Reason, "%s", c.Message)
			}
			return
		}
	}
}
