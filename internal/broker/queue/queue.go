// Package queue is the boundary between the event plane and the message broker
// that stores its events. The event plane decides what happens to an event; an
// implementation of this package stores it, hands it out and moves it.
//
// internal/broker/amqp implements it on RabbitMQ, and internal/broker/memory in
// the memory of one process. Package queuetest holds both to the same behavior.
package queue

import (
	"context"
	"errors"
	"time"
)

// Exchange is the name of the exchange that all Brokers of an installation share.
// Queues are bound to it by keys.
const Exchange = "lambda.events"

var (
	// ErrUnavailable reports that there is no connection, the connection broke, or the broker did
	// not answer in time. A message may have been stored nevertheless.
	ErrUnavailable = errors.New("the message broker is unavailable")
	// ErrRefused reports that the broker refuses the user, or that the user may not use the
	// virtual host. It comes with ErrUnavailable.
	ErrRefused = errors.New("RabbitMQ refuses the credentials, or has no such virtual host for the user")
	// ErrBlocked reports that the broker accepts no messages because it is short of memory or disk.
	// The message was not sent.
	ErrBlocked = errors.New("the message broker accepts no messages: it is short of memory or disk")
	// ErrFull reports that a queue that the message is routed to is full. Other queues may have
	// stored the message.
	ErrFull = errors.New("a queue is full")
	// ErrUnrouted reports that no queue is bound to any of the keys. The message was not stored.
	ErrUnrouted = errors.New("no queue is bound to the keys of the message")
	// ErrNoQueue reports that the queue does not exist.
	ErrNoQueue = errors.New("the queue does not exist")
	// ErrConflict reports that a queue of this name exists with other arguments.
	ErrConflict = errors.New("the queue exists with other arguments")
)

// Message is an event in transit. Package event encodes and decodes it.
type Message struct {
	// Headers hold the event's attributes and what the event plane adds to them. Values
	// are strings, booleans, int32, int64 or float64, times or byte slices. All headers
	// together are at most 64 KiB.
	Headers map[string]any
	// Body is the event's data.
	Body []byte
}

// Publisher stores messages. Each method returns nil only after the broker has
// confirmed that every queue concerned has stored the message.
type Publisher interface {
	// Publish routes a message by up to four keys. A queue that several keys match
	// gets one copy. Errors: ErrUnrouted, ErrFull, ErrBlocked, ErrUnavailable.
	Publish(ctx context.Context, keys []string, m *Message) error
	// Put stores a message at the tail of a queue. Errors: ErrNoQueue, ErrFull,
	// ErrBlocked, ErrUnavailable.
	Put(ctx context.Context, queue string, m *Message) error
}

// Delivery is a message in hand: the broker keeps it until it is acknowledged.
type Delivery interface {
	// Message must not be changed; copy its headers first.
	Message() *Message
	// Redelivered is true if the message was handed out before, here or elsewhere.
	Redelivered() bool
	// Sent is when the message was published, by the publisher's clock in seconds; zero
	// where that is not known.
	Sent() time.Time
	// Ack removes the message from its queue.
	Ack() error
	// Return puts the message back at its place in the queue. It counts as no attempt.
	Return() error
}

// Handler gets each delivery. It is called one delivery at a time and has to return
// at once: a handler starts goroutines for what takes time. The context ends when
// the channel of the delivery is lost: the message may then be in another replica's
// hands, and Ack and Return fail with ErrUnavailable.
type Handler func(ctx context.Context, d Delivery)

// Consumer says what is consumed.
type Consumer struct {
	Queue string
	// Scope is the namespace that the queue belongs to. A fault that closes a channel
	// ends only consumers of the same scope.
	Scope string
	// Prefetch is the number of messages in hand at most.
	Prefetch int
	// Priority: of several consumers the one with the highest priority gets messages
	// first.
	Priority int
	// Replay is for streams: how old the first message is at most. A stream that is
	// subscribed again is replayed again. Consume streams on a connection of their own: it
	// is given up if it leads to a node without a replica.
	Replay  time.Duration
	Handler Handler
}

// Consumption is a consumer at work. It subscribes again, with backoff, after its
// channel, its connection or its queue was lost.
type Consumption interface {
	// Err is nil while the broker delivers, and otherwise says why it does not. It is
	// ErrNoQueue while the queue does not exist.
	Err() error
	// Cancel ends the delivery of further messages and returns when the handler will
	// not be called again. Messages that the handler has not got return to the queue;
	// those in hand may still be acknowledged. A second call does nothing.
	Cancel(ctx context.Context) error
	// Close ends the consumption. Messages in hand return to the queue. That of an ordered
	// queue, with a prefetch of 1 and a scope of its own, returns in the step that ends the
	// consumer: the next consumer gets it first.
	Close() error
}

// Subscriber consumes queues.
type Subscriber interface {
	// Consume starts to consume. The error is one of the arguments; a queue that is
	// missing or a broker that is away shows in Consumption.Err.
	Consume(ctx context.Context, c Consumer) (Consumption, error)
}

// Kind of a queue in the message broker.
type Kind string

const (
	// Quorum queues are replicated.
	Quorum Kind = "quorum"
	// Classic queues are on one node.
	Classic Kind = "classic"
	// Stream is a log: each consumer gets all messages, and acknowledging one does not
	// remove it. None is to be returned: RabbitMQ begins with the first again.
	Stream Kind = "stream"
)

// Declaration of a queue: what never changes in its life.
type Declaration struct {
	Name string
	Kind Kind // Quorum if empty
	// Ordered queues have one active consumer at a time.
	Ordered bool
	// OverflowByPolicy leaves it to a policy what a full queue does. Otherwise it refuses
	// messages.
	OverflowByPolicy bool
	// MaxAge and MaxBytes bound a stream, which drops the oldest messages. Other queues
	// have none.
	MaxAge   time.Duration
	MaxBytes int64
}

// State of a queue.
type State struct {
	// Messages that are ready to be delivered. Those in hand are not counted.
	Messages int
	// Consumers that subscribe to the queue.
	Consumers int
}

// Topology declares and deletes. Every method may be repeated.
type Topology interface {
	// DeclareExchange makes the exchange that all Brokers share.
	DeclareExchange(ctx context.Context) error
	// Declare makes a durable queue. Errors: ErrConflict, ErrUnavailable.
	Declare(ctx context.Context, d Declaration) error
	// Inspect a queue. Errors: ErrNoQueue, ErrUnavailable.
	Inspect(ctx context.Context, queue string) (State, error)
	// Bind a queue to a key of the exchange. Errors: ErrNoQueue, ErrUnavailable.
	Bind(ctx context.Context, queue, key string) error
	// Unbind a queue from a key. It is no error if it was not bound.
	Unbind(ctx context.Context, queue, key string) error
	// Delete a queue with its messages and bindings. It is no error if there is none.
	Delete(ctx context.Context, queue string) error
}
