// Command metricdocs writes docs/metrics.md from the table of pkg/metrics.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/hack/monitoring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/metrics"
)

const head = `<!-- Generated from pkg/metrics by hack/update-codegen.sh. -->
# Metrics

Every instrument of this project, by its name in OpenTelemetry and in Prometheus. A histogram has ` + "`_bucket`, `_sum` and `_count`" + ` there: the count is
how often it was measured. A label's values are bounded: one that is not known, or is one too many, is told as ` + "`" + metrics.Other + "`" + `. How they get to
Prometheus, the dashboards and the alerts: [monitoring.md](monitoring.md).
`

var components = []struct {
	component metrics.Component
	title     string
	about     string
}{
	{metrics.Controller, "Controller", "On port 9090 of the controller's pods. What is of an object is told by the replica that leads it: sums over replicas are right."},
	{metrics.Receiver, "Receiver", "On port 9090 of the receiver's pods."},
	{metrics.Broker, "Event plane", "On port 9090 of the broker's pods. `kn.eventing.*` are named as Knative Eventing's own brokers name them."},
	{metrics.Runtime, "Runtime", "On port 9464 of functions' pods, unless `observability.metrics.enabled: false`. `target_info` names the function; by the PodMonitor they also have `namespace` and `function`."},
	{metrics.ModelProxy, "Model proxy", "On port 9465 of agents' pods, unless `observability.metrics.enabled: false`; `gen_ai.*` by the semantic conventions for GenAI. By the PodMonitor they also have `namespace` and `agent`."},
}

func main() {
	w := bufio.NewWriter(os.Stdout)
	write(w)
	if err := w.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(w io.Writer) {
	fmt.Fprint(w, head)
	for _, c := range components {
		fmt.Fprintf(w, "\n## %s\n\n%s\n\n| name | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n", c.title, c.about)
		for _, i := range metrics.All() {
			if i.Component == c.component {
				fmt.Fprintf(w, "| `%s`<br>`%s` | %s | `%s` | %s | %s |\n", i.Name, i.Prometheus(), i.Kind, i.Unit, names(i.Labels), i.Description)
			}
		}
		labels(w, c.component)
	}
	fmt.Fprint(w, "\n## Metrics of others\n\nWhat the dashboards and alerts use besides.\n\n| name | type | labels | from | meaning |\n| --- | --- | --- | --- | --- |\n")
	for _, f := range monitoring.Foreigners {
		fmt.Fprintf(w, "| `%s` | %s | %s | %s | %s |\n", f.Name, f.Kind, f.Labels, f.From, f.Meaning)
	}
}

func names(labels []*metrics.Label) string {
	names := make([]string, len(labels))
	for i, l := range labels {
		names[i] = "`" + l.Prometheus() + "`"
	}
	return strings.Join(names, ", ")
}

// labels of a component's instruments, each once.
func labels(w io.Writer, of metrics.Component) {
	fmt.Fprint(w, "\n| label | of | values | meaning |\n| --- | --- | --- | --- |\n")
	seen := map[*metrics.Label]bool{}
	for _, i := range metrics.All() {
		for _, l := range i.Labels {
			if i.Component != of || seen[l] {
				continue
			}
			seen[l] = true
			fmt.Fprintf(w, "| `%s` | %s | %s | %s |\n", l.Prometheus(), users(of, l), values(l), l.Meaning)
		}
	}
}

// users of a label among a component's instruments.
func users(of metrics.Component, l *metrics.Label) string {
	var all []string
	for _, i := range metrics.All() {
		for _, its := range i.Labels {
			if i.Component == of && its == l {
				all = append(all, "`"+i.Prometheus()+"`")
			}
		}
	}
	return strings.Join(all, ", ")
}

func values(l *metrics.Label) string {
	if l.Values == nil {
		return fmt.Sprintf("%d at most", l.Most)
	}
	return "`" + strings.Join(l.Values, "`, `") + "`"
}
