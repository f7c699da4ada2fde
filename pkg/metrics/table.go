package metrics

// maxNamespaces that are told apart.
const maxNamespaces = 500

// maxBrokers that have series of their own.
const maxBrokers = 1000

// maxTriggers that have series of their own.
const maxTriggers = 2000

// answers are the HTTP statuses of the receiver, as words.
var answers = []string{"ok", "accepted", "no_content", "bad_request", "unauthorized", "forbidden", "not_found", "method_not_allowed", "conflict", "gone",
	"request_entity_too_large", "unsupported_media_type", "unprocessable_entity", "too_many_requests", "internal_server_error", "bad_gateway",
	"service_unavailable", "gateway_timeout"}

// The labels. Each has one meaning wherever it is.
var (
	KindLabel       = &Label{Name: "kind", Meaning: "kind of the object", Values: []string{"LambdaFunction", "LambdaAgent"}}
	NamespaceLabel  = &Label{Name: "k8s.namespace.name", Meaning: "namespace of the object", Most: maxNamespaces}
	ControllerLabel = &Label{Name: "controller", Meaning: "which reconciler", Values: []string{"lambdafunction", "lambdaagent", "approvals", "lifecycle-functions", "lifecycle-agents", "brokers", "triggers"}}
	ReconcileLabel  = &Label{Name: "outcome", Meaning: "`success`; `requeue`: it comes again by itself; `permanent`: only a person can help, and a condition says how; `error`: it is tried again",
		Values: []string{"success", "requeue", "permanent", "error"}}
	ChangeLabel    = &Label{Name: "change", Meaning: "whether the object was new or its spec had changed", Values: []string{"created", "updated"}}
	ConditionLabel = &Label{Name: "condition", Meaning: "type of the condition",
		Values: []string{"Ready", "SourceResolved", "BuildSucceeded", "ServiceReady", "DomainsReady", "EventingReady", "BrokerReady", "RoutingReady", "ModelAvailable", "PermissionsVerified"}}
	StatusLabel   = &Label{Name: "status", Meaning: "status of the condition", Values: []string{"True", "False", "Unknown"}}
	StrategyLabel = &Label{Name: "strategy", Meaning: "how the image is made: in a pod, or in the controller as a layer", Values: []string{"kaniko", "layer"}}
	LanguageLabel = &Label{Name: "language", Meaning: "language of the function, as `config-runtimes` names it", Most: 32}
	BuildLabel    = &Label{Name: "result", Meaning: "`success`, or whose fault a failure is: the `user`'s, the cluster's `configuration`, the `infrastructure`'s; `timeout`; `cancelled`",
		Values: []string{"success", "user", "configuration", "infrastructure", "timeout", "cancelled"}}

	LetterLabel     = &Label{Name: "outcome", Meaning: "`stored`; or the HTTP status of the refusal in words", Values: append([]string{"stored"}, answers...)}
	CommandLabel    = &Label{Name: "command", Meaning: "type of the command after `io.knative.lambda.command.`", Most: 32}
	AnswerLabel     = &Label{Name: "outcome", Meaning: "HTTP status in words; `invalid`: no CloudEvent", Values: append([]string{"invalid"}, answers...)}
	AgentEventLabel = &Label{Name: "kind", Meaning: "what the event is for", Values: []string{"control", "approval"}}

	BrokerLabel          = &Label{Name: "kn.broker.name", Meaning: "name of the Broker", Most: maxBrokers}
	BrokerNamespaceLabel = &Label{Name: "kn.broker.namespace", Meaning: "namespace of the Broker", Most: maxNamespaces}
	HTTPStatusLabel      = &Label{Name: "http.response.status_code", Meaning: "HTTP status of the answer", Most: 32}
	RefusedLabel         = &Label{Name: "reason", Meaning: "`invalid`: no valid event; `too_large`; `attributes`: too long, or not storable; `ttl`: used up; `not_found`: no such Broker; `method`; " +
		"`unauthorized`: by token or EventPolicy; `share`: the namespace's is in hand; `aborted`: the sender went away; `blocked`, `full`, `unavailable`: RabbitMQ did not store the event",
		Values: []string{"invalid", "too_large", "attributes", "ttl", "not_found", "method", "unauthorized", "share", "aborted", "blocked", "full", "unavailable"}}

	InvocationLabel = &Label{Name: "outcome", Meaning: "`success`; `error`: the handler raised one, or returned what cannot be sent; `permanent`: it raised a permanent one; `timeout`; `worker_died`; " +
		"`rejected`: the request was wrong; `busy`: too many waited; `cancelled`: the client went away before its turn; `reply_undelivered`: the sink did not take the reply",
		Values: []string{"success", "error", "permanent", "timeout", "worker_died", "rejected", "busy", "cancelled", "reply_undelivered"}}
	AbortLabel = &Label{Name: "reason", Meaning: "`error`: the handler raised one; `timeout`; `worker_died`; `invalid`: the worker sent what cannot be passed on; `disconnected`: the client closed the connection, or read too slowly",
		Values: []string{"error", "timeout", "worker_died", "invalid", "disconnected"}}
	ResponseLabel = &Label{Name: "result", Meaning: "whether the sink took it", Values: []string{"delivered", "lost"}}

	OperationLabel = &Label{Name: "gen_ai.operation.name", Meaning: "what was asked for", Values: []string{"chat", "text_completion", "embeddings"}}
	ProviderLabel  = &Label{Name: "gen_ai.provider.name", Meaning: "who was asked, or answered", Values: []string{"openai", "anthropic", "azure.ai.openai", "gcp.gemini", "aws.bedrock", "ollama", "openai_compatible"}}
	RequestLabel   = &Label{Name: "gen_ai.request.model", Meaning: "model that was asked for", Most: 32}
	ResponseModel  = &Label{Name: "gen_ai.response.model", Meaning: "model that answered", Most: 32}
	TokenLabel     = &Label{Name: "gen_ai.token.type", Meaning: "`input` or `output`", Values: []string{"input", "output"}}
	ErrorLabel     = &Label{Name: "error.type", Meaning: "why there was no answer: the provider's status, or `timeout`, `connection`, `invalid_response`, `stream_cut`, `cancelled`, `budget_exhausted`, `unsupported`; not there where there was one", Most: 48}
	AddressLabel   = &Label{Name: "server.address", Meaning: "host of the provider", Most: 32}
	PortLabel      = &Label{Name: "server.port", Meaning: "port of the provider", Most: 32}
	ProbeLabel     = &Label{Name: "outcome", Meaning: "`answered`: the endpoint did, though it may lack a model; or `failed`", Values: []string{"answered", "failed"}}
)

// The labels of the dispatcher.
var (
	TriggerLabel          = &Label{Name: "kn.trigger.name", Meaning: "name of the Trigger", Most: maxTriggers}
	TriggerNamespaceLabel = &Label{Name: "kn.trigger.namespace", Meaning: "namespace of the Trigger", Most: maxNamespaces}
	DeliveryLabel         = &Label{Name: "outcome", Meaning: "`delivered`; `failed`: it is tried again; `dead_letter`: a sink or queue has it; `dropped`: there is neither; `filtered`: the filter did not match; " +
		"`deleted`: the Trigger was; `reply_expired`: the reply's TTL was used up; `filter_failed`: an expression of the filter failed for the event and so did not match; the event has another outcome, too",
		Values: []string{"delivered", "failed", "dead_letter", "dropped", "filtered", "deleted", "reply_expired", "filter_failed"}}
	MoveLabel = &Label{Name: "reason", Meaning: "`delayed`: until the next attempt; `sink`: a dead letter until its sink accepts it; " +
		"`reply`: what came of a call, until the Broker stores it; `stopping`: the replica stops",
		Values: []string{"delayed", "sink", "reply", "stopping"}}
	OutcomeLabel = &Label{Name: "result", Meaning: "`stored`: the Broker has it; `postponed`: the Broker refused it, and gets it again; `given_up`: it did so for an hour, and a dead letter is made of it; " +
		"`dropped`: no attempt could store it; `unrecorded`: it is not in the stream `lambda.outcomes`, and cannot be asked for; it has another result, too",
		Values: []string{"stored", "postponed", "given_up", "dropped", "unrecorded"}}
)

var aTrigger = []*Label{TriggerLabel, TriggerNamespaceLabel}

func ofTrigger(labels ...*Label) []*Label { return append(labels, aTrigger...) }

// Buckets, in seconds, of what takes moments and of what takes minutes.
var (
	moments = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	minutes = []float64{.25, .5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600}
	calls   = []float64{.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92} // as the conventions for GenAI have them
)

// modelCall are the labels of a call of a model.
var modelCall = []*Label{OperationLabel, RequestLabel, ResponseModel, ProviderLabel, AddressLabel, PortLabel, ErrorLabel}

// all instruments, in the order of their declaration.
var all []*Instrument

// All are the instruments of this project.
func All() []*Instrument { return all }

func declare(i *Instrument) *Instrument {
	all = append(all, i)
	return i
}

// The instruments of the controller.
var (
	ReconcileDuration = declare(&Instrument{Component: Controller, Kind: Histogram, Name: "lambda.reconcile.duration", Unit: "s", Bounds: moments,
		Description: "Time of one reconcile.", Labels: []*Label{ControllerLabel, ReconcileLabel}})
	ReadyDuration = declare(&Instrument{Component: Controller, Kind: Histogram, Name: "lambda.ready.duration", Unit: "s", Bounds: minutes,
		Description: "Time from a new object, or a change of its spec, until it was Ready.", Labels: []*Label{KindLabel, ChangeLabel}})
	Objects = declare(&Instrument{Component: Controller, Kind: Gauge, Name: "lambda.objects", Unit: "{object}",
		Description: "Functions and agents by the status of each condition; of those that this replica leads.", Labels: []*Label{KindLabel, NamespaceLabel, ConditionLabel, StatusLabel}})
	BuildDuration = declare(&Instrument{Component: Controller, Kind: Histogram, Name: "lambda.build.duration", Unit: "s", Bounds: minutes,
		Description: "Time of one attempt to build an image, from its start to its end.", Labels: []*Label{StrategyLabel, LanguageLabel, BuildLabel}})
	BuildQueueDepth = declare(&Instrument{Component: Controller, Kind: Gauge, Name: "lambda.build.queue.depth", Unit: "{build}",
		Description: "Builds that wait for others to end.", Labels: []*Label{StrategyLabel}})
	BuildQueueWait = declare(&Instrument{Component: Controller, Kind: Histogram, Name: "lambda.build.queue.wait", Unit: "s", Bounds: minutes,
		Description: "Time that a build waited for others to end.", Labels: []*Label{StrategyLabel}})
	ModelProbeDuration = declare(&Instrument{Component: Controller, Kind: Histogram, Name: "lambda.model.probe.duration", Unit: "s", Bounds: moments,
		Description: "Time of one probe of an endpoint of models.", Labels: []*Label{ProbeLabel}})
)

// The instruments of the receiver.
var (
	ReceivedLetters = declare(&Instrument{Component: Receiver, Kind: Counter, Name: "lambda.receiver.dead.letters", Unit: "{event}",
		Description: "Events that brokers could not deliver, by whether they were stored.", Labels: []*Label{LetterLabel}})
	LetterDepth = declare(&Instrument{Component: Receiver, Kind: Gauge, Name: "lambda.dead.letter.depth", Unit: "{event}",
		Description: "Dead letters in the queues of a namespace; every replica tells all of them.", Labels: []*Label{NamespaceLabel, KindLabel}})
	Commands = declare(&Instrument{Component: Receiver, Kind: Counter, Name: "lambda.receiver.commands", Unit: "{command}",
		Description: "Commands by outcome.", Labels: []*Label{CommandLabel, AnswerLabel}})
	AgentEvents = declare(&Instrument{Component: Receiver, Kind: Counter, Name: "lambda.receiver.agent.events", Unit: "{event}",
		Description: "Controls and approval requests of agents by outcome.", Labels: []*Label{AgentEventLabel, AnswerLabel}})
)

// The instruments of the event plane.
var (
	DispatchDuration = declare(&Instrument{Component: Broker, Kind: Histogram, Name: "kn.eventing.dispatch.duration", Unit: "s", Bounds: moments,
		Description: "Time until RabbitMQ confirmed an event that a Broker was sent, or did not. With the labels of a Trigger: time of one delivery to its subscriber or sink; the status is -1 without an answer.",
		Labels:      []*Label{BrokerLabel, BrokerNamespaceLabel, HTTPStatusLabel, TriggerLabel, TriggerNamespaceLabel}})
	Refused = declare(&Instrument{Component: Broker, Kind: Counter, Name: "lambda.broker.refused", Unit: "{request}",
		Description: "Requests of senders that were refused, by the reason.", Labels: []*Label{RefusedLabel}})
	Unrouted = declare(&Instrument{Component: Broker, Kind: Counter, Name: "lambda.broker.unrouted", Unit: "{event}",
		Description: "Events that were accepted and that no Trigger is bound for."})
	Connections = declare(&Instrument{Component: Broker, Kind: Gauge, Name: "lambda.broker.connections", Unit: "{connection}",
		Description: "Open connections to RabbitMQ of this replica."})
	Blocked = declare(&Instrument{Component: Broker, Kind: Gauge, Name: "lambda.broker.blocked", Unit: "{state}",
		Description: "1 while the installation's RabbitMQ accepts no events because it is short of memory or disk; 0 otherwise."})
)

// The instruments of the dispatcher.
var (
	ProcessDuration = declare(&Instrument{Component: Broker, Kind: Histogram, Name: "kn.eventing.process.duration", Unit: "s", Bounds: moments,
		Description: "Time from an event's arrival at the dispatcher until it was sent.", Labels: ofTrigger(BrokerLabel, BrokerNamespaceLabel)})
	Deliveries = declare(&Instrument{Component: Broker, Kind: Counter, Name: "lambda.broker.deliveries", Unit: "{event}",
		Description: "Attempts to deliver events, and what became of the events.", Labels: ofTrigger(DeliveryLabel)})
	Moved = declare(&Instrument{Component: Broker, Kind: Counter, Name: "lambda.broker.moved", Unit: "{event}",
		Description: "Events that were moved to another queue or to the tail of their own.", Labels: ofTrigger(MoveLabel)})
	CallOutcomes = declare(&Instrument{Component: Broker, Kind: Counter, Name: "lambda.broker.outcomes", Unit: "{event}",
		Description: "Outcomes and replies of asynchronous calls, and what became of them.", Labels: ofTrigger(OutcomeLabel)})
	InHand = declare(&Instrument{Component: Broker, Kind: Gauge, Name: "lambda.broker.in.hand", Unit: "{event}",
		Description: "Events that this replica has in hand.", Labels: aTrigger})
	QueueEvents = declare(&Instrument{Component: Broker, Kind: Gauge, Name: "lambda.broker.queue.events", Unit: "{event}",
		Description: "Events that wait in the queues of a Trigger; each replica reports all of them.", Labels: aTrigger})
	OldestEvent = declare(&Instrument{Component: Broker, Kind: Gauge, Name: "lambda.broker.oldest.event", Unit: "s",
		Description: "Age of the event that this replica got last, while others wait behind it.", Labels: aTrigger})
)

// The instruments of the runtime in each function's pod.
var (
	Invocations = declare(&Instrument{Component: Runtime, Kind: Counter, Name: "lambda.invocations", Unit: "{invocation}",
		Description: "Invocations by outcome.", Labels: []*Label{InvocationLabel}})
	InvocationDuration = declare(&Instrument{Component: Runtime, Kind: Histogram, Name: "lambda.invocation.duration", Unit: "s", Bounds: append(moments[:len(moments):len(moments)], 300),
		Description: "Time from request to reply by outcome; waiting for a worker counts.", Labels: []*Label{InvocationLabel}})
	ColdStarts = declare(&Instrument{Component: Runtime, Kind: Counter, Name: "lambda.cold.starts", Unit: "{start}",
		Description: "Starts that somebody waited for: the first invocation came before the handler was loaded, or within a second of that."})
	WorkerLoadDuration = declare(&Instrument{Component: Runtime, Kind: Histogram, Name: "lambda.worker.load.duration", Unit: "s", Bounds: []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
		Description: "Time from the start of a worker until it had loaded the handler."})
	WorkerRestarts = declare(&Instrument{Component: Runtime, Kind: Counter, Name: "lambda.worker.restarts", Unit: "{restart}",
		Description: "Workers that ended, or were ended after a timeout, and were replaced."})
	WorkersBlocked = declare(&Instrument{Component: Runtime, Kind: Counter, Name: "lambda.worker.blocked", Unit: "{event}",
		Description: "Times that a worker with open calls did not respond for 2 seconds."})
	StreamAborts = declare(&Instrument{Component: Runtime, Kind: Counter, Name: "lambda.stream.aborts", Unit: "{reply}",
		Description: "Streamed replies that ended before their end.", Labels: []*Label{AbortLabel}})
	ResponseEvents = declare(&Instrument{Component: Runtime, Kind: Counter, Name: "lambda.response.events", Unit: "{event}",
		Description: "Events of failed invocations for the response sink: delivered, or lost.", Labels: []*Label{ResponseLabel}})
)

// The instruments of the model proxy in each agent's pod.
var (
	Tokens = declare(&Instrument{Component: ModelProxy, Kind: Histogram, Name: "gen_ai.client.token.usage", Unit: "{token}",
		Bounds:      []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864},
		Description: "Number of input and output tokens used, as reported.", Labels: append(modelCall[:len(modelCall):len(modelCall)], TokenLabel)})
	ModelDuration = declare(&Instrument{Component: ModelProxy, Kind: Histogram, Name: "gen_ai.client.operation.duration", Unit: "s", Bounds: calls,
		Description: "GenAI operation duration, with retries and fallbacks.", Labels: modelCall})
	ModelFirstChunk = declare(&Instrument{Component: ModelProxy, Kind: Histogram, Name: "gen_ai.client.operation.time_to_first_chunk", Unit: "s", Bounds: calls,
		Description: "Time to the first chunk of a stream.", Labels: modelCall})
	ModelFallbacks = declare(&Instrument{Component: ModelProxy, Kind: Counter, Name: "lambda.model.fallbacks", Unit: "{call}",
		Description: "Calls that a model did not answer, so that the next was asked.", Labels: []*Label{ProviderLabel, RequestLabel, ErrorLabel}})
	BudgetLimit = declare(&Instrument{Component: ModelProxy, Kind: Gauge, Name: "lambda.model.budget.limit", Unit: "{token}",
		Description: "This replica's share of the agent's tokens of a window; not there without a budget."})
	BudgetRemaining = declare(&Instrument{Component: ModelProxy, Kind: Gauge, Name: "lambda.model.budget.remaining", Unit: "{token}",
		Description: "What is left of this replica's share in this window; not there without a budget."})
)
