//go:build e2e

package tenant

import (
	"testing"
	"time"
	"unicode"

	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

// TestTerminals: what senders and functions write into dead letters does nothing to the
// terminal of the user who lists them.
func TestTerminals(t *testing.T) {
	t.Parallel()
	ctx := within(t, 3*time.Minute)
	needsRabbitMQ(t)
	a := admin.Tenant(ctx, t, "attacker")
	const code = `from lambda_runtime import PermanentError

def handler(event, context):
    raise PermanentError("no\x1b[2Ksuch\x1b]0;owned\x07 \x9b31marticle\r\u202e")
`
	f := ready(ctx, t, a, python(a, "escapes", code, func(s *v1alpha1.LambdaFunctionSpec) {
		s.Eventing = &v1alpha1.FunctionEventing{Enabled: true, DLQ: &v1alpha1.DeadLetterSpec{RetryMaxAttempts: ptr.Int32(0)}}
	}))
	publishTo(ctx, t, a, f, orderEvent("plain"))
	deadLetters(ctx, t, f, 1)
	for _, args := range [][]string{{"dlq", "list", f.Name}, {"dlq", "show", f.Name, "plain"}, {"dlq", "list", f.Name, "-o", "yaml"}, {"logs", f.Name}} {
		said, err := kubectlLambda(ctx, a.Namespace, args...)
		if err != nil {
			t.Errorf("%v: %v: %s", args, err, said)
		}
		for _, r := range said {
			if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Cf, r) {
				t.Errorf("%v prints the control character %U: %q", args, r, said)
				break
			}
		}
	}
}
