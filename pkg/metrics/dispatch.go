package metrics

// maxTriggers that are told apart.
const maxTriggers = 2000

// The labels of the dispatcher.
var (
	TriggerLabel          = &Label{Name: "kn.trigger.name", Meaning: "name of the Trigger", Most: maxTriggers}
	TriggerNamespaceLabel = &Label{Name: "kn.trigger.namespace", Meaning: "namespace of the Trigger", Most: maxNamespaces}
	DeliveryLabel         = &Label{Name: "outcome", Meaning: "`delivered`; `failed`: it is tried again; `dead_letter`: a sink or queue has it; `dropped`: there is neither; `filtered`: the filter did not match; " +
		"`deleted`: the Trigger was; `reply_expired`: the reply's TTL was used up; `filter_failed`: the filter failed at run time and so did not match",
		Values: []string{"delivered", "failed", "dead_letter", "dropped", "filtered", "deleted", "reply_expired", "filter_failed"}}
	MoveLabel = &Label{Name: "reason", Meaning: "`delayed`: until the next attempt; `sink`: a dead letter until its sink accepts it; `stopping`: the replica stops",
		Values: []string{"delayed", "sink", "stopping"}}
)

var aTrigger = []*Label{TriggerLabel, TriggerNamespaceLabel}

func ofTrigger(labels ...*Label) []*Label { return append(labels, aTrigger...) }

// The instruments of the dispatcher.
var (
	ProcessDuration = declare(&Instrument{Component: Broker, Kind: Histogram, Name: "kn.eventing.process.duration", Unit: "s", Bounds: moments,
		Description: "Time from an event's arrival at the dispatcher until it was sent.", Labels: ofTrigger(BrokerLabel, BrokerNamespaceLabel)})
	Deliveries = declare(&Instrument{Component: Broker, Kind: Counter, Name: "lambda.broker.deliveries", Unit: "{event}",
		Description: "Attempts to deliver events, and what became of the events.", Labels: ofTrigger(DeliveryLabel)})
	Moved = declare(&Instrument{Component: Broker, Kind: Counter, Name: "lambda.broker.moved", Unit: "{event}",
		Description: "Events that were moved to another queue or to the tail of their own.", Labels: ofTrigger(MoveLabel)})
	InHand = declare(&Instrument{Component: Broker, Kind: Gauge, Name: "lambda.broker.in.hand", Unit: "{event}",
		Description: "Events that this replica has in hand.", Labels: aTrigger})
	QueueEvents = declare(&Instrument{Component: Broker, Kind: Gauge, Name: "lambda.broker.queue.events", Unit: "{event}",
		Description: "Events that wait in the queues of a Trigger; each replica reports all of them.", Labels: aTrigger})
	OldestEvent = declare(&Instrument{Component: Broker, Kind: Gauge, Name: "lambda.broker.oldest.event", Unit: "s",
		Description: "Age of the event that this replica got last, while others wait behind it.", Labels: aTrigger})
)
