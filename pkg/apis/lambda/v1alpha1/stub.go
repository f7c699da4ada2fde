package v1alpha1
import ("context";"knative.dev/pkg/apis")
func (f *LambdaFunction) SetDefaults(ctx context.Context) {}
func (f *LambdaFunction) Validate(ctx context.Context) *apis.FieldError {return nil}
func (f *LambdaAgent) SetDefaults(ctx context.Context) {}
func (f *LambdaAgent) Validate(ctx context.Context) *apis.FieldError {return nil}
