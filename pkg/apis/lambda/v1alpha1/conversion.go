package v1alpha1

import (
	"context"
	"fmt"

	"knative.dev/pkg/apis"
)

var (
	_ apis.Convertible = (*LambdaFunction)(nil)
	_ apis.Convertible = (*LambdaAgent)(nil)
	_ apis.Convertible = (*ApprovalRequest)(nil)
)

// ConvertTo implements apis.Convertible.
func (*LambdaFunction) ConvertTo(_ context.Context, to apis.Convertible) error {
	return highest("LambdaFunction", to)
}

// ConvertFrom implements apis.Convertible.
func (*LambdaFunction) ConvertFrom(_ context.Context, from apis.Convertible) error {
	return highest("LambdaFunction", from)
}

// ConvertTo implements apis.Convertible.
func (*LambdaAgent) ConvertTo(_ context.Context, to apis.Convertible) error {
	return highest("LambdaAgent", to)
}

// ConvertFrom implements apis.Convertible.
func (*LambdaAgent) ConvertFrom(_ context.Context, from apis.Convertible) error {
	return highest("LambdaAgent", from)
}

// ConvertTo implements apis.Convertible.
func (*ApprovalRequest) ConvertTo(_ context.Context, to apis.Convertible) error {
	return highest("ApprovalRequest", to)
}

// ConvertFrom implements apis.Convertible.
func (*ApprovalRequest) ConvertFrom(_ context.Context, from apis.Convertible) error {
	return highest("ApprovalRequest", from)
}

// highest: a later version converts to and from this one; this one knows of none.
func highest(kind string, other apis.Convertible) error {
	return fmt.Errorf("v1alpha1 is the highest known version of %s, got: %T", kind, other)
}
