package lambdafunction

import (
	"testing"

	clientgotesting "k8s.io/client-go/testing"
	rtesting "knative.dev/pkg/reconciler/testing"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	ltesting "github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/testing"
)

// TestFailedEventingWrites: each write that the API server does not take is tried
// again.
func TestFailedEventingWrites(t *testing.T) {
	f := upAnd(enabled)
	fails := func(verb, resource string) []clientgotesting.ReactionFunc {
		return []clientgotesting.ReactionFunc{rtesting.InduceFailure(verb, resource)}
	}
	ltesting.Table{{
		Name: "create the broker", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:           ltesting.Objects(upAnd(enabled), upService(enabled)),
		WithReactors:      fails("create", "brokers"),
		WantCreates:       ltesting.Objects(unmade(sharedBy(f))),
		WantStatusUpdates: status(upAnd(enabled, callable)),
		WantEvents:        ltesting.Failing("create", "brokers", "Broker", "default", ""),
	}, {
		Name: "create the trigger", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(upAnd(enabled), upService(enabled), broker("default")),
		WithReactors: fails("create", "triggers"),
		WantCreates:  ltesting.Objects(newTrigger(f)),
		WantStatusUpdates: status(upAnd(enabled, func(f *v1alpha1.LambdaFunction) {
			flowing("default")(f)
			f.Status.MarkEventingNotRequested() // what was said stands
		})),
		WantEvents: ltesting.Failing("create", "triggers", "Trigger", newTrigger(f).Name, ""),
	}, {
		Name: "delete the trigger", Key: theKey, Ctx: in(absent), WantErr: true,
		Objects:      ltesting.Objects(upAnd(), upService(), triggerOf(f)),
		WithReactors: fails("delete", "triggers"),
		WantDeletes:  []clientgotesting.DeleteActionImpl{goneTrigger(newTrigger(f).Name)},
		WantEvents:   ltesting.Failing("delete", "triggers", "Trigger", newTrigger(f).Name, ""),
	}}.Test(t, newReconciler)
}
