// Package monitoring holds what config/monitoring is made of, and what of it tests
// look at: the panels of the dashboards, and the metrics of others that they and the
// alerts use.
package monitoring

// Foreign is a metric that this project uses and does not make.
type Foreign struct {
	// Name in Prometheus, Kind and Labels that are used.
	Name, Kind, Labels string
	// From whom it is.
	From string
	// Meaning in one sentence.
	Meaning string
}

const (
	fromKnative    = "knative.dev/pkg, in the controller and the webhook"
	fromClient     = "Prometheus' client, in the controller, the webhook and the receiver"
	fromPrometheus = "Prometheus"
	fromFlagger    = "Flagger, where it runs canaries"
	fromState      = "kube-state-metrics, where it is installed"
)

// Foreigners are all of them.
var Foreigners = []Foreign{
	{"kn_workqueue_depth", "gauge", "`name`", fromKnative, "Keys that wait in a controller's queue."},
	{"kn_workqueue_adds_total", "counter", "`name`", fromKnative, "Keys that were put into it."},
	{"kn_workqueue_retries_total", "counter", "`name`", fromKnative, "Keys that were put into it again after an error."},
	{"kn_workqueue_queue_duration_seconds", "histogram", "`name`", fromKnative, "Time that a key waited."},
	{"kn_webhook_handler_duration_seconds", "histogram", "`kn_webhook_type`", fromKnative, "Time of one admission."},
	{"process_resident_memory_bytes", "gauge", "", fromClient, "Memory of the process."},
	{"process_cpu_seconds_total", "counter", "", fromClient, "Processor time of the process."},
	{"up", "gauge", "", fromPrometheus, "Whether a target could be scraped."},
	{"flagger_canary_status", "gauge", "`name`, `exported_namespace`", fromFlagger, "0 while a canary runs, 1 after it succeeded, 2 after it failed."},
	{"kube_deployment_status_replicas_unavailable", "gauge", "`namespace`, `deployment`", fromState, "Replicas of a Deployment that are not ready."},
}
