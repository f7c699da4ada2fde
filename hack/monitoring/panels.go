package monitoring

// Dashboard of Grafana.
type Dashboard struct {
	// Name in files and in the address, Title for people.
	Name, Title string
	// Namespaced dashboards let one choose namespaces: $namespace in queries.
	Namespaced bool
	Panels     []Panel
}

// Panel of a dashboard: lines over time.
type Panel struct {
	Title string
	// Unit as Grafana names it.
	Unit string
	// About says what to see in it.
	About   string
	Queries []Query
}

// Query of a panel. $__rate_interval is four scrapes.
type Query struct {
	Expr string
	// Legend of each line, with {{label}}.
	Legend string
}

// Units of Grafana.
const (
	perSecond = "ops"
	seconds   = "s"
	ratio     = "percentunit"
	number    = "short"
	bytes     = "bytes"
)

// one query of a panel.
func one(expr, legend string) []Query { return []Query{{expr, legend}} }

// quantiles of a histogram by labels.
func quantiles(metric, selector, by, legend string, of ...string) (queries []Query) {
	for _, q := range of {
		queries = append(queries, Query{"histogram_quantile(" + q + ", sum by (" + by + ", le) (rate(" + metric + "_bucket" + selector + "[$__rate_interval])))", legend + " p" + q[2:]})
	}
	return queries
}

// Dashboards are all of them.
var Dashboards = []Dashboard{{
	Name: "operator", Title: "Knative Lambda: operator",
	Panels: []Panel{
		{"Replicas", number, "How many replicas of each component answer.", one(`sum by (job) (up{job=~"knative-lambda-(controller|webhook|receiver|broker)"})`, "{{job}}")},
		{"Functions and agents by Ready", number, "What is False or Unknown for long has a condition that says why.", one(`sum by (kind, status) (lambda_objects{condition="Ready"})`, "{{kind}} {{status}}")},
		{"Time to Ready", seconds, "From a new object, or a changed spec, until it is Ready.", quantiles("lambda_ready_duration_seconds", "", "kind, change", "{{kind}} {{change}}", "0.50", "0.95")},
		{"Reconciles", perSecond, "By controller and outcome. Only `error` is tried again.", one(`sum by (controller, outcome) (rate(lambda_reconcile_duration_seconds_count[$__rate_interval]))`, "{{controller}} {{outcome}}")},
		{"Reconcile success rate", ratio, "Reconciles that need not be tried again.", one(`1 - sum by (controller) (rate(lambda_reconcile_duration_seconds_count{outcome="error"}[$__rate_interval]) or 0 * rate(lambda_reconcile_duration_seconds_count[$__rate_interval])) / (sum by (controller) (rate(lambda_reconcile_duration_seconds_count[$__rate_interval])) > 0)`, "{{controller}}")},
		{"Reconcile duration", seconds, "A reconcile waits for its own writes only.", quantiles("lambda_reconcile_duration_seconds", "", "controller", "{{controller}}", "0.50", "0.95")},
		{"Work queue depth", number, "Objects that wait for a reconcile.", one(`sum by (name) (kn_workqueue_depth{job="knative-lambda-controller"})`, "{{name}}")},
		{"Time in the work queue", seconds, "", quantiles("kn_workqueue_queue_duration_seconds", `{job="knative-lambda-controller"}`, "name", "{{name}}", "0.95")},
		{"Admission duration", seconds, "Time of the webhook's answers.", quantiles("kn_webhook_handler_duration_seconds", `{job="knative-lambda-webhook"}`, "kn_webhook_type", "{{kn_webhook_type}}", "0.50", "0.95")},
		{"Memory", bytes, "", one(`sum by (job, pod) (process_resident_memory_bytes{job=~"knative-lambda-(controller|webhook|receiver|broker)"})`, "{{pod}}")},
		{"Processor", number, "Cores.", one(`sum by (job, pod) (rate(process_cpu_seconds_total{job=~"knative-lambda-(controller|webhook|receiver|broker)"}[$__rate_interval]))`, "{{pod}}")},
	},
}, {
	Name: "builds", Title: "Knative Lambda: builds",
	Panels: []Panel{
		{"Builds by result", perSecond, "Whose fault a failure is: the user's, the cluster's configuration, or the infrastructure's.", one(`sum by (result) (rate(lambda_build_duration_seconds_count[$__rate_interval]))`, "{{result}}")},
		{"Build success rate", ratio, "Of builds that nobody cancelled.", one(`sum(rate(lambda_build_duration_seconds_count{result="success"}[$__rate_interval])) / (sum(rate(lambda_build_duration_seconds_count{result!="cancelled"}[$__rate_interval])) > 0)`, "all")},
		{"Build duration by strategy", seconds, "", quantiles("lambda_build_duration_seconds", "", "strategy", "{{strategy}}", "0.50", "0.95")},
		{"Build duration by language", seconds, "Mean.", one(`sum by (language) (rate(lambda_build_duration_seconds_sum[$__rate_interval])) / (sum by (language) (rate(lambda_build_duration_seconds_count[$__rate_interval])) > 0)`, "{{language}}")},
		{"Builds that wait", number, "For others to end: `max-parallel-builds` and `max-parallel-builds-per-namespace` of `config-build` bound how many run.", one(`sum by (strategy) (lambda_build_queue_depth)`, "{{strategy}}")},
		{"Time that builds wait", seconds, "", quantiles("lambda_build_queue_wait_seconds", "", "strategy", "{{strategy}}", "0.50", "0.95")},
		{"Functions by BuildSucceeded", number, "", one(`sum by (status) (lambda_objects{condition="BuildSucceeded"})`, "{{status}}")},
		{"Functions by SourceResolved", number, "", one(`sum by (status) (lambda_objects{condition="SourceResolved"})`, "{{status}}")},
	},
}, {
	Name: "functions", Title: "Knative Lambda: functions", Namespaced: true,
	Panels: []Panel{
		{"Invocations", perSecond, "", one(`sum by (namespace, function) (rate(lambda_invocations_total{namespace=~"$namespace"}[$__rate_interval]))`, "{{namespace}}/{{function}}")},
		{"Invocations by outcome", perSecond, "", one(`sum by (outcome) (rate(lambda_invocations_total{namespace=~"$namespace"}[$__rate_interval]))`, "{{outcome}}")},
		{"Error rate", ratio, "Of invocations that the function or the platform failed.", one(`sum by (namespace, function) (rate(lambda_invocations_total{namespace=~"$namespace",outcome=~"`+failedOutcomes+`"}[$__rate_interval])) / (sum by (namespace, function) (rate(lambda_invocations_total{namespace=~"$namespace"}[$__rate_interval])) > 0)`, "{{namespace}}/{{function}}")},
		{"Duration", seconds, "From request to reply; waiting for a worker counts.", quantiles("lambda_invocation_duration_seconds", `{namespace=~"$namespace"}`, "namespace, function", "{{namespace}}/{{function}}", "0.50", "0.95", "0.99")},
		{"Pods", number, "", one(`count by (namespace, function) (up{namespace=~"$namespace",function!=""} == 1)`, "{{namespace}}/{{function}}")},
		{"Cold starts", perSecond, "Starts that somebody waited for.", one(`sum by (namespace, function) (increase(lambda_cold_starts_total{namespace=~"$namespace"}[$__rate_interval]) or lambda_cold_starts_total{namespace=~"$namespace"} * 0)`, "{{namespace}}/{{function}}")},
		{"Time to load a handler", seconds, "", quantiles("lambda_worker_load_duration_seconds", `{namespace=~"$namespace"}`, "namespace, function", "{{namespace}}/{{function}}", "0.95")},
		{"Workers that were replaced", number, "They ended, or were ended after a timeout.", one(`sum by (namespace, function) (lambda_worker_restarts_total{namespace=~"$namespace"})`, "{{namespace}}/{{function}}")},
		{"Functions by condition", number, "What is not True.", one(`sum by (condition, status) (lambda_objects{kind="LambdaFunction",k8s_namespace_name=~"$namespace",status!="True"})`, "{{condition}} {{status}}")},
		{"Events of failures", number, "For the response sink: `lost` where it did not take them.", one(`sum by (result) (lambda_response_events_total{namespace=~"$namespace"})`, "{{result}}")},
	},
}, {
	Name: "agents", Title: "Knative Lambda: agents", Namespaced: true,
	Panels: []Panel{
		{"Model calls", perSecond, "", one(`sum by (namespace, agent) (rate(gen_ai_client_operation_duration_seconds_count{namespace=~"$namespace"}[$__rate_interval]))`, "{{namespace}}/{{agent}}")},
		{"Model calls that failed", perSecond, "By why.", one(`sum by (gen_ai_request_model, error_type) (rate(gen_ai_client_operation_duration_seconds_count{namespace=~"$namespace",error_type!=""}[$__rate_interval]))`, "{{gen_ai_request_model}} {{error_type}}")},
		{"Model latency", seconds, "With retries and fallbacks.", quantiles("gen_ai_client_operation_duration_seconds", `{namespace=~"$namespace"}`, "gen_ai_request_model", "{{gen_ai_request_model}}", "0.50", "0.95")},
		{"Time to the first chunk", seconds, "Of streams.", quantiles("gen_ai_client_operation_time_to_first_chunk_seconds", `{namespace=~"$namespace"}`, "gen_ai_request_model", "{{gen_ai_request_model}}", "0.50", "0.95")},
		{"Tokens", perSecond, "As providers report them.", one(`sum by (namespace, agent, gen_ai_token_type) (rate(gen_ai_client_token_usage_sum{namespace=~"$namespace"}[$__rate_interval]))`, "{{namespace}}/{{agent}} {{gen_ai_token_type}}")},
		{"Budget that is left", ratio, "Of this window.", one(`sum by (namespace, agent) (lambda_model_budget_remaining{namespace=~"$namespace"}) / sum by (namespace, agent) (lambda_model_budget_limit{namespace=~"$namespace"})`, "{{namespace}}/{{agent}}")},
		{"Fallbacks", number, "Calls that a model did not answer, so that the next was asked.", one(`sum by (gen_ai_request_model, error_type) (lambda_model_fallbacks_total{namespace=~"$namespace"})`, "{{gen_ai_request_model}} {{error_type}}")},
		{"Agents by ModelAvailable", number, "By probes of their endpoints.", one(`sum by (status) (lambda_objects{condition="ModelAvailable",k8s_namespace_name=~"$namespace"})`, "{{status}}")},
		{"Probes of models", seconds, "", quantiles("lambda_model_probe_duration_seconds", "", "outcome", "{{outcome}}", "0.95")},
		{"Agents by Ready", number, "", one(`sum by (k8s_namespace_name, status) (lambda_objects{kind="LambdaAgent",condition="Ready",k8s_namespace_name=~"$namespace"})`, "{{k8s_namespace_name}} {{status}}")},
		{"Controls and approval requests", number, "That agents sent, by what the receiver answered.", one(`sum by (kind, outcome) (lambda_receiver_agent_events_total)`, "{{kind}} {{outcome}}")},
	},
}, {
	Name: "eventing", Title: "Knative Lambda: event plane", Namespaced: true,
	Panels: []Panel{
		{"Events accepted", perSecond, "By the answer: 202 after RabbitMQ has confirmed the event.", one(`sum by (kn_broker_namespace, kn_broker_name, http_response_status_code) (rate(kn_eventing_dispatch_duration_seconds_count{kn_trigger_name="",kn_broker_namespace=~"$namespace"}[$__rate_interval]))`, "{{kn_broker_namespace}}/{{kn_broker_name}} {{http_response_status_code}}")},
		{"Time to accept an event", seconds, "RabbitMQ's confirm included.", quantiles("kn_eventing_dispatch_duration_seconds", `{kn_trigger_name="",kn_broker_namespace=~"$namespace"}`, "kn_broker_namespace", "{{kn_broker_namespace}}", "0.50", "0.99")},
		{"Deliveries by outcome", perSecond, "`failed` is retried; `dropped` has neither a dead letter queue nor a sink.", one(`sum by (outcome) (rate(lambda_broker_deliveries_total{kn_trigger_namespace=~"$namespace"}[$__rate_interval]))`, "{{outcome}}")},
		{"Delivery duration", seconds, "Of one attempt, by the subscriber.", quantiles("kn_eventing_dispatch_duration_seconds", `{kn_trigger_name!="",kn_trigger_namespace=~"$namespace"}`, "kn_trigger_namespace, kn_trigger_name", "{{kn_trigger_namespace}}/{{kn_trigger_name}}", "0.50", "0.99")},
		{"Events that wait", number, "In the queues of each Trigger.", one(`max by (kn_trigger_namespace, kn_trigger_name) (lambda_broker_queue_events{kn_trigger_namespace=~"$namespace"})`, "{{kn_trigger_namespace}}/{{kn_trigger_name}}")},
		{"Age of the oldest event", seconds, "Of the event that was sent last, while others wait.", one(`max by (kn_trigger_namespace, kn_trigger_name) (lambda_broker_oldest_event_seconds{kn_trigger_namespace=~"$namespace"})`, "{{kn_trigger_namespace}}/{{kn_trigger_name}}")},
		{"Events in hand", number, "Sent, or waiting for a retry, in a replica's memory.", one(`sum by (kn_trigger_namespace, kn_trigger_name) (lambda_broker_in_hand{kn_trigger_namespace=~"$namespace"})`, "{{kn_trigger_namespace}}/{{kn_trigger_name}}")},
		{"Requests refused", perSecond, "By the reason.", one(`sum by (reason) (rate(lambda_broker_refused_total[$__rate_interval]))`, "{{reason}}")},
		{"Events without a Trigger", perSecond, "Accepted, and no Trigger is bound for them.", one(`sum(rate(lambda_broker_unrouted_total[$__rate_interval]))`, "all")},
		{"Connections to RabbitMQ", number, "Two for each replica.", one(`sum by (pod) (lambda_broker_connections)`, "{{pod}}")},
		{"RabbitMQ accepts no events", number, "1 while RabbitMQ is short of memory or disk.", one(`max by (pod) (lambda_broker_blocked)`, "{{pod}}")},
	},
}, {
	Name: "dead-letters", Title: "Knative Lambda: dead letters", Namespaced: true,
	Panels: []Panel{
		{"Letters in queues", number, "`kubectl lambda dlq list` shows them.", one(`max by (k8s_namespace_name, kind) (lambda_dead_letter_depth{k8s_namespace_name=~"$namespace"})`, "{{k8s_namespace_name}} {{kind}}")},
		{"Growth in ten minutes", number, "", one(`max by (k8s_namespace_name, kind) (delta(lambda_dead_letter_depth{k8s_namespace_name=~"$namespace"}[10m]))`, "{{k8s_namespace_name}} {{kind}}")},
		{"Dead letters from Brokers of other classes", perSecond, "`stored` is in a queue; anything else the broker sends again.", one(`sum by (outcome) (rate(lambda_receiver_dead_letters_total[$__rate_interval]))`, "{{outcome}}")},
		{"Commands", number, "By what the receiver answered.", one(`sum by (command, outcome) (lambda_receiver_commands_total)`, "{{command}} {{outcome}}")},
	},
}}

// failedOutcomes of invocations: neither well, nor the caller's own doing.
const failedOutcomes = "error|permanent|timeout|worker_died|busy|reply_undelivered"
