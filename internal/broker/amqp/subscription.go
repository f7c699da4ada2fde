package amqp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/queue"
)

// tags makes names of consumers unique in this process.
var tags atomic.Uint64

// subscription is a consumer on one channel.
type subscription struct {
	owner      *consumption
	channel    *channel
	tag        string
	deliveries <-chan amqp.Delivery
	ctx        context.Context // of deliveries
	once       sync.Once
	cancelled  chan struct{} // closed when RabbitMQ delivers no more

	mu     sync.Mutex
	inHand int
	moving bool // the consumer is cancelled when nothing is in hand
}

// subscribe to the queue.
func (c *consumption) subscribe(ctx context.Context) (*subscription, error) {
	conn, err := c.e.consuming.get(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.probe(ctx); err != nil {
		return nil, err
	}
	ch, err := c.e.scopes.join(ctx, conn, c.c.Scope)
	if err != nil {
		return nil, err
	}
	s := &subscription{owner: c, channel: ch, tag: strconv.FormatUint(tags.Add(1), 10), cancelled: make(chan struct{})}
	err = ch.call(context.WithoutCancel(ctx), func() (err error) {
		const size, global = 0, false // for each new consumer of the channel
		if err = ch.amqp.Qos(c.c.Prefetch, size, global); err != nil {
			return err
		}
		const autoAck, exclusive, noLocal, noWait = false, false, false, false
		args := amqp.Table{"x-priority": int64(c.c.Priority)}
		if c.c.Replay > 0 { // streams know no priority
			args = amqp.Table{"x-stream-offset": time.Now().Add(-c.c.Replay)}
		}
		s.deliveries, err = ch.amqp.Consume(c.c.Queue, s.tag, autoAck, exclusive, noLocal, noWait, args)
		return err
	})
	if err != nil {
		ch.leave()
		err = c.refused(err)
		if errors.Is(err, errNoReplica) {
			conn.kill(err) // another connection may lead to a node that has one
		}
		return nil, err
	}
	ctx, lost := context.WithCancelCause(c.ctx)
	forget := context.AfterFunc(ch.ctx, func() { lost(context.Cause(ch.ctx)) })
	context.AfterFunc(ctx, func() { forget() })
	s.ctx = ctx
	return s, nil
}

// probe says whether the queue can be consumed. To consume one that does not exist
// closes the channel with its other consumers. To consume a quorum queue while it is
// declared or deleted crashes the channel in RabbitMQ 3.10, and closes the connection
// of all scopes: its process has to be there. A message or a consumer proves that, and
// otherwise only time does.
func (c *consumption) probe(ctx context.Context) error {
	state, err := c.e.control.inspect(ctx, c.c.Queue)
	if err != nil || state.Messages > 0 || state.Consumers > 0 {
		return err
	}
	select {
	case <-time.After(proof):
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
	_, err = c.e.control.inspect(ctx, c.c.Queue)
	return err
}

// refused says why a queue could not be consumed.
func (c *consumption) refused(err error) error {
	switch {
	case answered(err, amqp.NotFound):
		return fmt.Errorf("%w: %s", queue.ErrNoQueue, c.c.Queue)
	case c.c.Replay > 0 && answered(err, amqp.PreconditionFailed) && strings.Contains(err.Error(), "replica"):
		return unavailable(fmt.Errorf("%w: %s: %w", errNoReplica, c.c.Queue, err))
	case answered(err, amqp.InternalError):
		return unavailable(fmt.Errorf("%w: %s: %w", errCrash, c.c.Queue, err))
	}
	return asUnavailable(err)
}

// receive deliveries until RabbitMQ or this program ends them. The error is nil if the
// consumer was moved to another connection or stopped.
func (s *subscription) receive() error {
	defer s.channel.leave()
	retired := s.channel.conn.retired
	for {
		select {
		case <-retired:
			retired = nil
			s.move()
		case d, ok := <-s.deliveries:
			if !ok {
				return s.ended()
			}
			s.handle(&d)
		}
	}
}

// handle hands out a delivery, or returns it if no more is wanted.
func (s *subscription) handle(d *amqp.Delivery) {
	if isClosed(s.owner.stop) || s.isMoving() {
		<-s.cancelled // returned before that, it would come again
		_ = s.channel.amqp.Nack(d.DeliveryTag, false, true)
		return
	}
	if s.count(1) > 2*s.owner.c.Prefetch { // acknowledgements that are under way count twice
		s.channel.conn.kill(errOverrun)
		s.count(-1)
		return
	}
	out := &delivery{sub: s, tag: d.DeliveryTag, redelivered: d.Redelivered, sent: d.Timestamp, message: message(d)}
	s.owner.hold(out)
	s.owner.c.Handler(s.ctx, out)
}

// ended says why there are no more deliveries.
func (s *subscription) ended() error {
	if err := s.channel.ctx.Err(); err != nil || s.channel.amqp.IsClosed() {
		select {
		case <-s.channel.ctx.Done():
		case <-time.After(closeTimeout):
		}
		return asUnavailable(s.channel.conn.failure(context.Cause(s.channel.ctx)))
	}
	if isClosed(s.cancelled) {
		return nil
	}
	return unavailable(errCancelled)
}

// cancel the consumer and wait until RabbitMQ has done so.
func (s *subscription) cancel() {
	s.once.Do(func() {
		defer close(s.cancelled)
		const noWait = false
		_ = s.channel.call(context.Background(), func() error { return s.channel.amqp.Cancel(s.tag, noWait) })
	})
	<-s.cancelled
}

// move the consumer to another connection. One with a single message in hand may be
// that of an ordered queue: it is cancelled after its delivery has ended, or the next
// message would overtake.
func (s *subscription) move() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moving = true
	if s.inHand == 0 || s.owner.c.Prefetch > 1 {
		go s.cancel()
	}
}

func (s *subscription) isMoving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moving
}

// count messages in hand, and return how many there are.
func (s *subscription) count(n int) (inHand int) {
	s.mu.Lock()
	s.inHand += n
	inHand = s.inHand
	if s.moving && s.inHand == 0 {
		go s.cancel()
	}
	s.mu.Unlock()
	s.channel.count(0, n)
	return inHand
}

// delivery is a message in hand.
type delivery struct {
	sub         *subscription
	tag         uint64
	redelivered bool
	sent        time.Time
	message     *queue.Message
}

// message without the headers that RabbitMQ adds.
func message(d *amqp.Delivery) *queue.Message {
	headers := make(map[string]any, len(d.Headers))
	for name, value := range d.Headers {
		if strings.HasPrefix(name, "x-") {
			continue
		}
		if t, ok := value.(time.Time); ok {
			value = t.UTC()
		}
		headers[name] = value
	}
	return &queue.Message{Headers: headers, Body: d.Body}
}

// Message implements queue.Delivery.
func (d *delivery) Message() *queue.Message { return d.message }

// Redelivered implements queue.Delivery.
func (d *delivery) Redelivered() bool { return d.redelivered }

// Sent implements queue.Delivery.
func (d *delivery) Sent() time.Time { return d.sent }

// Ack implements queue.Delivery.
func (d *delivery) Ack() error {
	return d.settle(func(ch *amqp.Channel) error {
		if d.sub.isMoving() && d.sub.owner.c.Prefetch == 1 {
			d.sub.cancel() // acknowledged before, the next message would come and go back
		}
		return ch.Ack(d.tag, false)
	})
}

// Return implements queue.Delivery. From RabbitMQ 4.3 on, a nack does not count towards
// the delivery limit, as a reject does.
func (d *delivery) Return() error {
	return d.settle(func(ch *amqp.Channel) error { return ch.Nack(d.tag, false, true) })
}

// settle once: RabbitMQ closes the channel of a second answer.
func (d *delivery) settle(answer func(*amqp.Channel) error) error {
	s := d.sub
	held := s.owner.drop(d)
	if s.ctx.Err() == nil && !held {
		return queue.ErrSettled
	}
	if held {
		defer s.owner.finish()
		defer s.count(-1)
	}
	if s.ctx.Err() != nil {
		return unavailable(context.Cause(s.ctx))
	}
	s.owner.e.settled.Store(time.Now().UnixNano())
	if err := answer(s.channel.amqp); err != nil {
		return asUnavailable(s.channel.conn.failure(err))
	}
	return nil
}
