package monitoring

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/brunovlucena/knative-lambda-operator/hack/monitoring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/metrics"
)

// wanted are the alerts that there are to be.
var wanted = []string{"CanaryFailed", "CanaryStuck", "OperatorDown", "OperatorNotReady", "HighErrorRate", "HighLatency", "ReconcileSuccessRateLow",
	"ReconcileDurationHigh", "BuildFailed", "BuildSuccessRateLow", "BuildDurationHigh", "FunctionNotReady", "FunctionHighErrorRate",
	"WorkqueueDepthHigh", "DeadLetterGrowing", "EventPlaneDown", "EventsDropped", "EventsWait", "RabbitMQUnavailable", "ModelUnavailable", "TokenBudgetExhausted"}

// TestRunbooks: each alert leads to a section that says where it comes from, how to
// look and how to mend it, and there is no other.
func TestRunbooks(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/runbooks.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed, err := os.ReadFile(filepath.Join(root, "docs/monitoring.md"))
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, s := range strings.Split(string(text), "\n## ")[1:] {
		title, body, _ := strings.Cut(s, "\n")
		sections[title] = body
	}
	_, alerts := readSpec(t)
	var names []string
	for _, a := range alerts {
		names = append(names, strings.TrimPrefix(a.Alert, "KnativeLambda"))
		for _, part := range []string{"**Cause.**", "**Look.**", "**Fix.**"} {
			if !strings.Contains(sections[a.Alert], part) {
				t.Errorf("docs/runbooks.md says nothing of %s under %s", part, a.Alert)
			}
		}
		delete(sections, a.Alert)
		if row := "| `" + a.Alert + "` | " + a.Labels["severity"] + " | "; !strings.Contains(string(listed), row) {
			t.Errorf("docs/monitoring.md lacks %s", row)
		}
		if want := "docs/runbooks.md#" + strings.ToLower(a.Alert); !strings.HasSuffix(a.Annotations["runbook_url"], want) {
			t.Errorf("%s leads to %q, want …%s", a.Alert, a.Annotations["runbook_url"], want)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" || a.Labels["severity"] != "warning" && a.Labels["severity"] != "critical" {
			t.Errorf("%s lacks a summary, a description or a severity", a.Alert)
		}
	}
	for title := range sections {
		t.Errorf("docs/runbooks.md has a section %s, of which there is no alert", title)
	}
	slices.Sort(names)
	slices.Sort(wanted)
	if !slices.Equal(names, wanted) {
		t.Errorf("there are the alerts %v, want %v", names, wanted)
	}
}

// targetLabels are on every series of a target.
var targetLabels = []string{"job", "namespace", "pod", "instance", "function", "agent", "le"}

var (
	quoted     = regexp.MustCompile(`"[^"]*"`)
	matchers   = regexp.MustCompile(`\{([^}]*)\}`)
	grouping   = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right) \(([^)]*)\)`)
	ranges     = regexp.MustCompile(`\[[^\]]*\]`)
	identifier = regexp.MustCompile(`[a-z_][a-z0-9_]*(?:\s*\()?`)
	label      = regexp.MustCompile(`[a-z_][a-z0-9_]*`)
)

// uses of a query: its metrics, and all labels that it looks at.
func uses(expr string) (names, labels []string) {
	expr = quoted.ReplaceAllString(expr, "")
	for _, part := range append(matchers.FindAllStringSubmatch(expr, -1), grouping.FindAllStringSubmatch(expr, -1)...) {
		labels = append(labels, label.FindAllString(part[1], -1)...)
	}
	for _, strip := range []*regexp.Regexp{matchers, grouping, ranges} {
		expr = strip.ReplaceAllString(expr, "")
	}
	for _, name := range identifier.FindAllString(expr, -1) {
		if !strings.HasSuffix(name, "(") && !slices.Contains([]string{"and", "or", "unless", "bool", "e"}, name) {
			names = append(names, name)
		}
	}
	return names, labels
}

// known metrics with their labels in Prometheus.
func known() map[string][]string {
	all := map[string][]string{}
	add := func(name string, histogram bool, labels []string) {
		labels = append(labels, targetLabels...)
		if !histogram {
			all[name] = labels
			return
		}
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			all[name+suffix] = labels
		}
	}
	for _, i := range metrics.All() {
		var labels []string
		for _, l := range i.Labels {
			labels = append(labels, l.Prometheus())
		}
		add(i.Prometheus(), i.Kind == metrics.Histogram, labels)
	}
	for _, f := range monitoring.Foreigners {
		add(f.Name, f.Kind == "histogram", label.FindAllString(f.Labels, -1))
	}
	return all
}

// TestQueriesUseWhatThereIs: no panel and no alert looks at a metric or label that
// nothing sets.
func TestQueriesUseWhatThereIs(t *testing.T) {
	there := known()
	check := func(what, expr string) {
		t.Helper()
		names, labels := uses(expr)
		if len(names) == 0 {
			t.Errorf("%s looks at nothing: %s", what, expr)
		}
		var may []string
		for _, name := range names {
			if there[name] == nil {
				t.Errorf("%s looks at %s, which nothing sets", what, name)
			}
			may = append(may, there[name]...)
		}
		for _, l := range labels {
			if !slices.Contains(may, l) {
				t.Errorf("%s looks at label %s, which none of %v has", what, l, names)
			}
		}
	}
	_, alerts := readSpec(t)
	for _, a := range alerts {
		check(a.Alert, a.Expr)
	}
	for _, d := range monitoring.Dashboards {
		titles := map[string]bool{}
		for _, p := range d.Panels {
			if titles[p.Title] || len(p.Queries) == 0 {
				t.Errorf("%s: panel %q is there twice, or asks nothing", d.Name, p.Title)
			}
			titles[p.Title] = true
			for _, q := range p.Queries {
				check(d.Name+": "+p.Title, q.Expr)
				for _, named := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(q.Legend, -1) {
					if _, labels := uses(q.Expr); !slices.Contains(labels, named[1]) {
						t.Errorf("%s: the legend of %q tells %s, which the query drops", d.Name, p.Title, named[1])
					}
				}
				if d.Namespaced && strings.Contains(q.Expr, "namespace") && !strings.Contains(q.Expr, "$namespace") {
					t.Errorf("%s: %q does not keep to the namespaces that were chosen", d.Name, p.Title)
				}
			}
		}
	}
}

func TestUses(t *testing.T) {
	names, labels := uses(`histogram_quantile(0.95, sum by (le, kind) (rate(a_bucket{x="y{}",z!=""}[$__rate_interval]))) > 0 and b == 2`)
	if !slices.Equal(names, []string{"a_bucket", "b"}) || !slices.Equal(labels, []string{"x", "z", "le", "kind"}) {
		t.Errorf("uses() = %v, %v", names, labels)
	}
}
