package eventing

import (
	"fmt"

	apierrs "k8s.io/apimachinery/pkg/api/errors"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/controller"

	"github.com/brunovlucena/knative-lambda-operator/pkg/reconciler/internal/child"
)

// Trouble is why events do not flow (yet).
type Trouble struct {
	Reason, Message string
	// Failed says that it does not come right by itself.
	Failed bool
	// Err of a write, for the reconciler's caller.
	Err error
}

// Troubles are those of one condition. The first is told.
type Troubles struct{ First *Trouble }

// Tell keeps the first trouble.
func (t *Troubles) Tell(trouble *Trouble) {
	if t.First == nil {
		t.First = trouble
	}
}

// Refused tells of a write that the API server did not take, and returns the error
// of one that is to be tried again.
func (t *Troubles) Refused(err error, notOwned, rejected string) error {
	switch {
	case child.IsNotOwned(err):
		t.Tell(&Trouble{Reason: notOwned, Message: err.Error(), Failed: true, Err: controller.NewPermanentError(err)})
	case child.IsRejected(err):
		t.Tell(&Trouble{Reason: rejected, Message: err.Error(), Failed: true, Err: controller.NewPermanentError(err)})
	case apierrs.IsForbidden(err): // a quota, for example: it may be free later
		t.Tell(&Trouble{Reason: rejected, Message: err.Error(), Failed: true, Err: err})
	default:
		return err
	}
	return nil
}

// Unready tells what an object of Knative's says of itself, where it speaks of its
// newest generation and is not ready.
func (t *Troubles) Unready(reason, what string, generation int64, status *duckv1.Status) bool {
	ready := status.GetCondition(apis.ConditionReady)
	switch {
	case status.ObservedGeneration != generation || ready == nil:
		t.Tell(&Trouble{Reason: reason, Message: what + " is not reconciled yet."})
	case ready.IsTrue():
		return false
	default:
		t.Tell(&Trouble{Reason: reason, Message: fmt.Sprintf("%s is not ready: %s: %s", what, ready.Reason, ready.Message), Failed: ready.IsFalse()})
	}
	return true
}
