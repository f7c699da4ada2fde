//go:build e2e

package tenant

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"knative.dev/pkg/ptr"

	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/test"
)

// cesql of a Trigger's filter.
func cesql(text string) map[string]any { return map[string]any{"cesql": text} }

// filtered is a function with a filter.
func filtered(filters ...any) map[string]any {
	return map[string]any{
		"source": map[string]any{"inline": map[string]any{"code": greeting("hello")}}, "runtime": map[string]any{"language": "python"},
		"triggers": []any{map[string]any{"filters": filters}},
	}
}

// hostileFilters take a parser without bounds seconds of time or megabytes of memory.
func hostileFilters() map[string][]any {
	many := make([]any, 600)
	for i := range many {
		many[i] = cesql("TRUE")
	}
	deep := cesql("TRUE")
	for range 200 {
		deep = map[string]any{"not": deep}
	}
	return map[string][]any{
		"open parentheses":     {cesql(strings.Repeat("(", 5<<10))},
		"balanced parentheses": {cesql(strings.Repeat("(", 20<<10) + "TRUE" + strings.Repeat(")", 20<<10))},
		"a long text":          {cesql("type = '" + strings.Repeat("x", 32<<10) + "'")},
		"many filters":         {map[string]any{"all": many}},
		"deep filters":         {deep},
	}
}

// TestHostileFilters: a filter that is costly to parse is refused before it is parsed,
// with its field, and admission of others does not wait for it.
func TestHostileFilters(t *testing.T) {
	ctx := within(t, 2*time.Minute) // not in parallel: it measures what others would slow down
	victim, attacker := admin.Tenant(ctx, t, "victim"), admin.Tenant(ctx, t, "attacker")
	for name, filters := range hostileFilters() {
		began := time.Now()
		_, err := attacker.Admit(ctx, manifest(attacker, "LambdaFunction", "f", filtered(filters...)))
		took := time.Since(began)
		refused(t, "a Trigger with "+name, err, "triggers", "filters")
		if took > patience {
			t.Errorf("a Trigger with %s took %v, want an answer within %v", name, took.Round(time.Millisecond), patience)
		}
		_, err = attacker.Admit(ctx, manifest(attacker, "LambdaAgent", "a", map[string]any{
			"image":    map[string]any{"repository": nowhere.Repository},
			"eventing": map[string]any{"enabled": true, "subscriptions": []any{map[string]any{"eventType": "x.y", "filters": filters}}},
		}))
		refused(t, "a subscription with "+name, err, "subscriptions", "filters")
	}
	admits := func() time.Duration {
		began := time.Now()
		if _, err := victim.Admit(ctx, manifest(victim, "LambdaFunction", "f", filtered(cesql("type = 'x'")))); err != nil {
			t.Error("another tenant's function:", err)
		}
		return time.Since(began)
	}
	before := admits()
	attacked, done := context.WithCancel(ctx)
	defer done()
	for range 4 {
		go func() {
			for range 3 {
				_, _ = attacker.Admit(attacked, manifest(attacker, "LambdaFunction", "f", filtered(hostileFilters()["open parentheses"]...)))
			}
		}()
	}
	during := admits()
	t.Logf("admission took %v before, %v while another tenant sent hostile filters", before.Round(time.Millisecond), during.Round(time.Millisecond))
	if during > patience {
		t.Errorf("another tenant's function was admitted after %v, want within %v", during, patience)
	}
}

// TestFiltersOfCallers: the caller of a function cannot make it filter events.
func TestFiltersOfCallers(t *testing.T) {
	t.Parallel()
	ctx := within(t, 2*time.Minute)
	a := admin.Tenant(ctx, t, "called")
	f := ready(ctx, t, a, python(a, "greeter", greeting("hello"), func(s *v1alpha1.LambdaFunctionSpec) { s.Scaling.MinReplicas = ptr.Int32(1) }))
	to := f.Status.URL.DeepCopy()
	if err := a.Settle(ctx, to, 1, test.Takeover, func(got test.Answer) bool { return got.Status == http.StatusOK }); err != nil {
		t.Fatal(err)
	}
	for name, filters := range map[string]string{
		"open parentheses":     fmt.Sprintf(`[[{"cesql":%q}]]`, strings.Repeat("(", 3<<10)),
		"balanced parentheses": fmt.Sprintf(`[[{"cesql":%q}]]`, strings.Repeat("(", 2<<10)+"TRUE"+strings.Repeat(")", 2<<10)),
	} {
		to.RawQuery = url.Values{"lambdafilters": {filters}}.Encode()
		began := time.Now()
		answer, err := a.Call(ctx, to, "{}")
		if took := time.Since(began); err != nil || took > patience {
			t.Errorf("a call with %s in its URL: %v, %v after %v; want an answer within %v", name, answer, err, took.Round(time.Millisecond), patience)
		}
	}
	// A filter that matches nothing hides no event from the function.
	to.RawQuery = url.Values{"lambdafilters": {`[[{"exact":{"type":"no.such.type"}}]]`}}.Encode()
	status, _, err := a.Send(ctx, to, newEvent("1", "x.y", "/test", map[string]string{}), true)
	if err != nil || status == http.StatusNoContent || status == http.StatusAccepted {
		t.Errorf("an event with a caller's filter is answered %d, %v; want it handled, or refused", status, err)
	}
}
