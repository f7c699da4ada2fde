// Package monitoring holds the tests of config/monitoring.
package monitoring

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const root = "../.."

// rule of an alert.
type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// spec of the PrometheusRule, which is a file of rules.
type spec struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	} `json:"groups"`
}

func readSpec(t *testing.T) (text []byte, alerts []rule) {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join(root, "config/monitoring/rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var o struct {
		Spec map[string]any `json:"spec"`
	}
	if err := yaml.Unmarshal(manifest, &o); err != nil {
		t.Fatal(err)
	}
	if text, err = yaml.Marshal(o.Spec); err != nil {
		t.Fatal(err)
	}
	var s spec
	if err := yaml.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	for _, g := range s.Groups {
		alerts = append(alerts, g.Rules...)
	}
	return text, alerts
}

// promtool runs Prometheus' own tool.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(root, "bin/promtool"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		if out, err := exec.CommandContext(t.Context(), filepath.Join(root, "hack/prometheus.sh")).CombinedOutput(); err != nil {
			t.Fatalf("hack/prometheus.sh: %v\n%s", err, out)
		}
	}
	if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), path, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// scenario of an alert: series by the minute, with which it fires at a time, and others
// with which it does not.
type scenario struct {
	alert string
	// labels of the alert that fires.
	labels string
	at     string
	fires  []string
	quiet  []string
}

const (
	failing = `lambda_invocations_total{namespace="team",function="f",outcome="error"}`
	working = `lambda_invocations_total{namespace="team",function="f",outcome="success"}`
)

// buckets of a histogram with so many measurements a minute, all up to a bound; the
// bounds below it stay empty.
func buckets(name, labels, below, bound string, each int) []string {
	return []string{
		fmt.Sprintf(`%s_bucket{%sle="%s"} 0x120`, name, labels, below),
		fmt.Sprintf(`%s_bucket{%sle="%s"} 0+%dx120`, name, labels, bound, each),
		fmt.Sprintf(`%s_bucket{%sle="+Inf"} 0+%dx120`, name, labels, each),
	}
}

var scenarios = []scenario{
	{"KnativeLambdaOperatorDown", `severity="critical"`, "6m",
		[]string{`up{job="knative-lambda-controller",pod="a"} 0x20`, `up{job="knative-lambda-webhook",pod="b"} 1x20`},
		[]string{`up{job="knative-lambda-controller",pod="a"} 0x20`, `up{job="knative-lambda-controller",pod="b"} 1x20`}},
	{"KnativeLambdaOperatorNotReady", `namespace="knative-lambda",job="knative-lambda-webhook",severity="warning"`, "12m",
		[]string{`up{namespace="knative-lambda",job="knative-lambda-webhook",pod="a"} 0x20`, `up{namespace="knative-lambda",job="knative-lambda-webhook",pod="b"} 1x20`},
		[]string{`up{namespace="knative-lambda",job="knative-lambda-webhook",pod="a"} 1x5 0x4 1x20`, `kube_deployment_status_replicas_unavailable{namespace="knative-lambda",deployment="knative-lambda-webhook"} 0x20`}},
	{"KnativeLambdaOperatorNotReady", `namespace="knative-lambda",deployment="knative-lambda-receiver",job="knative-lambda-receiver",severity="warning"`, "12m",
		[]string{`kube_deployment_status_replicas_unavailable{namespace="knative-lambda",deployment="knative-lambda-receiver"} 1x20`},
		[]string{`kube_deployment_status_replicas_unavailable{namespace="team",deployment="other"} 1x20`}},
	{"KnativeLambdaReconcileSuccessRateLow", `controller="lambdafunction",severity="warning"`, "30m",
		[]string{`lambda_reconcile_duration_seconds_count{controller="lambdafunction",outcome="error"} 0+1x60`, `lambda_reconcile_duration_seconds_count{controller="lambdafunction",outcome="success"} 0+9x60`},
		[]string{`lambda_reconcile_duration_seconds_count{controller="lambdafunction",outcome="error"} 0+1x60`, `lambda_reconcile_duration_seconds_count{controller="lambdafunction",outcome="permanent"} 0+99x60`}},
	{"KnativeLambdaReconcileDurationHigh", `controller="lambdafunction",severity="warning"`, "30m",
		buckets("lambda_reconcile_duration_seconds", `controller="lambdafunction",`, "5", "10", 6),
		buckets("lambda_reconcile_duration_seconds", `controller="lambdafunction",`, "1", "2.5", 6)},
	{"KnativeLambdaWorkqueueDepthHigh", `name="q",severity="warning"`, "12m",
		[]string{`kn_workqueue_depth{job="knative-lambda-controller",name="q"} 200x20`},
		[]string{`kn_workqueue_depth{job="knative-lambda-controller",name="q"} 200x8 0x20`}},
	{"KnativeLambdaBuildFailed", `result="infrastructure",strategy="kaniko",severity="warning"`, "5m",
		[]string{`lambda_build_duration_seconds_count{result="infrastructure",strategy="kaniko"} 0 1x20`},
		[]string{`lambda_build_duration_seconds_count{result="user",strategy="kaniko"} 0 1x20`, `lambda_build_duration_seconds_count{result="infrastructure",strategy="kaniko"} 4x20`}},
	{"KnativeLambdaBuildSuccessRateLow", `severity="warning"`, "75m",
		[]string{`lambda_build_duration_seconds_count{result="success"} 0+1x80`, `lambda_build_duration_seconds_count{result="user"} 0+1x80`},
		[]string{`lambda_build_duration_seconds_count{result="success"} 0+9x80`, `lambda_build_duration_seconds_count{result="user"} 0+1x80`, `lambda_build_duration_seconds_count{result="cancelled"} 0+9x80`}},
	{"KnativeLambdaBuildDurationHigh", `strategy="kaniko",severity="warning"`, "60m",
		buckets("lambda_build_duration_seconds", `strategy="kaniko",`, "600", "1200", 1),
		buckets("lambda_build_duration_seconds", `strategy="kaniko",`, "120", "300", 1)},
	{"KnativeLambdaHighErrorRate", `severity="critical"`, "15m",
		[]string{failing + ` 0+2x20`, working + ` 0+98x20`},
		[]string{failing + ` 0+1x20`, working + ` 0+999x20`}},
	{"KnativeLambdaHighLatency", `severity="warning"`, "30m",
		buckets("lambda_invocation_duration_seconds", `outcome="success",`, "2.5", "5", 60),
		buckets("lambda_invocation_duration_seconds", `outcome="success",`, "0.1", "0.25", 60)},
	{"KnativeLambdaFunctionNotReady", `k8s_namespace_name="team",severity="warning"`, "31m",
		[]string{`lambda_objects{k8s_namespace_name="team",kind="LambdaFunction",condition="Ready",status="False"} 1x40`},
		[]string{`lambda_objects{k8s_namespace_name="team",kind="LambdaFunction",condition="Ready",status="Unknown"} 1x20 stale`, `lambda_objects{k8s_namespace_name="team",kind="LambdaFunction",condition="Ready",status="True"} 7x40`}},
	{"KnativeLambdaFunctionHighErrorRate", `namespace="team",function="f",severity="warning"`, "30m",
		[]string{failing + ` 0+10x40`, working + ` 0+90x40`},
		[]string{failing + ` 0+10x40`, working + ` 0+990x40`}},
	{"KnativeLambdaDeadLetterGrowing", `k8s_namespace_name="team",kind="LambdaFunction",severity="warning"`, "40m",
		[]string{`lambda_dead_letter_depth{k8s_namespace_name="team",kind="LambdaFunction",pod="a"} 0+1x50`},
		[]string{`lambda_dead_letter_depth{k8s_namespace_name="team",kind="LambdaFunction",pod="a"} 0 5x50`}},
	{"KnativeLambdaEventPlaneDown", `severity="critical"`, "6m",
		[]string{`up{job="knative-lambda-broker",pod="a"} 0x20`, `up{job="knative-lambda-controller",pod="b"} 1x20`},
		[]string{`up{job="knative-lambda-broker",pod="a"} 0x20`, `up{job="knative-lambda-broker",pod="b"} 1x20`}},
	{"KnativeLambdaRabbitMQUnavailable", `severity="critical"`, "3m",
		[]string{`lambda_broker_blocked{pod="a"} 1x20`, `lambda_broker_connections{pod="a"} 2x20`},
		[]string{`lambda_broker_blocked{pod="a"} 0x20`, `lambda_broker_connections{pod="a"} 2x20`}},
	{"KnativeLambdaRabbitMQUnavailable", `pod="a",severity="critical"`, "3m",
		[]string{`lambda_broker_blocked{pod="a"} 0x20`, `lambda_broker_connections{pod="a"} 0x20`, `lambda_broker_connections{pod="b"} 2x20`},
		[]string{`lambda_broker_connections{pod="a"} 2 0 2x20`, `lambda_broker_connections{pod="b"} 2x20`}},
	{"KnativeLambdaEventsWait", `kn_trigger_namespace="team",kn_trigger_name="t",severity="warning"`, "20m",
		[]string{`lambda_broker_oldest_event_seconds{kn_trigger_namespace="team",kn_trigger_name="t",pod="a"} 400x30`},
		[]string{`lambda_broker_oldest_event_seconds{kn_trigger_namespace="team",kn_trigger_name="t",pod="a"} 400x8 10x30`}},
	{"KnativeLambdaEventsDropped", `kn_trigger_namespace="team",kn_trigger_name="t",severity="warning"`, "5m",
		[]string{`lambda_broker_deliveries_total{kn_trigger_namespace="team",kn_trigger_name="t",outcome="dropped"} 0 1x20`},
		[]string{`lambda_broker_deliveries_total{kn_trigger_namespace="team",kn_trigger_name="t",outcome="dead_letter"} 0 1x20`}},
	{"KnativeLambdaModelUnavailable", `k8s_namespace_name="team",severity="warning"`, "12m",
		[]string{`lambda_objects{k8s_namespace_name="team",kind="LambdaAgent",condition="ModelAvailable",status="False"} 2x20`},
		[]string{`lambda_objects{k8s_namespace_name="team",kind="LambdaAgent",condition="ModelAvailable",status="Unknown"} 2x20`}},
	{"KnativeLambdaTokenBudgetExhausted", `namespace="team",agent="bruno",severity="warning"`, "12m",
		[]string{`gen_ai_client_operation_duration_seconds_count{namespace="team",agent="bruno",error_type="budget_exhausted"} 0+1x20`},
		[]string{`gen_ai_client_operation_duration_seconds_count{namespace="team",agent="bruno",error_type="429"} 0+1x20`, `lambda_model_budget_remaining{namespace="team",agent="bruno"} 5x20`}},
	{"KnativeLambdaTokenBudgetExhausted", `namespace="team",agent="bruno",severity="warning"`, "3m",
		[]string{`lambda_model_budget_remaining{namespace="team",agent="bruno",pod="a"} 0x20`, `lambda_model_budget_remaining{namespace="team",agent="bruno",pod="b"} 0x20`},
		[]string{`lambda_model_budget_remaining{namespace="team",agent="bruno",pod="a"} 0x20`, `lambda_model_budget_remaining{namespace="team",agent="bruno",pod="b"} 9x20`}},
	{"KnativeLambdaCanaryFailed", `name="receiver",exported_namespace="knative-lambda",severity="warning"`, "3m",
		[]string{`flagger_canary_status{name="receiver",exported_namespace="knative-lambda"} 2x20`},
		[]string{`flagger_canary_status{name="receiver",exported_namespace="knative-lambda"} 1x20`}},
	{"KnativeLambdaCanaryStuck", `name="receiver",exported_namespace="knative-lambda",severity="warning"`, "62m",
		[]string{`flagger_canary_status{name="receiver",exported_namespace="knative-lambda"} 0x80`},
		[]string{`flagger_canary_status{name="receiver",exported_namespace="knative-lambda"} 0x15 1x80`}},
}

// TestAlerts: each alert fires when it is to, and not otherwise.
func TestAlerts(t *testing.T) {
	text, alerts := readSpec(t)
	dir := t.TempDir()
	type object = map[string]any
	var tests []object
	tried := map[string]bool{}
	for _, s := range scenarios {
		tried[s.alert] = true
		for fires, series := range map[bool][]string{true: s.fires, false: s.quiet} {
			var input, want []object
			for _, line := range series {
				name, values, _ := strings.Cut(line, "} ")
				input = append(input, object{"series": name + "}", "values": values})
			}
			if fires {
				want = []object{{"labels": fmt.Sprintf(`ALERTS{alertname=%q,alertstate="firing",%s}`, s.alert, s.labels), "value": 1}}
			}
			tests = append(tests, object{"interval": "1m", "name": s.alert, "input_series": input, "promql_expr_test": []object{{
				"expr": fmt.Sprintf(`ALERTS{alertname=%q,alertstate="firing"}`, s.alert), "eval_time": s.at, "exp_samples": want,
			}}})
		}
	}
	for _, a := range alerts {
		if !tried[a.Alert] {
			t.Errorf("nobody tries when %s fires", a.Alert)
		}
	}
	file, err := yaml.Marshal(object{"rule_files": []string{"rules.yaml"}, "evaluation_interval": "1m", "tests": tests})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"rules.yaml": text, "tests.yaml": file} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	promtool(t, "check", "rules", filepath.Join(dir, "rules.yaml"))
	promtool(t, "test", "rules", filepath.Join(dir, "tests.yaml"))
}
