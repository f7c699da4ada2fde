package testing

import (
	"context"

	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

// Serving takes every address for the owner's.
type Serving struct{}

var _ deadletter.Serving = Serving{}

// Owned implements deadletter.Serving.
func (Serving) Owned(context.Context, deadletter.Owner, types.UID) error { return nil }
