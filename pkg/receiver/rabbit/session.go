package rabbit

import (
	"context"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	broker "github.com/brunovlucena/knative-lambda-operator/internal/broker/amqp"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
)

const (
	// lockTimeout is how long a session waits for another one to end.
	lockTimeout = 10 * time.Second
	lockRetry   = 100 * time.Millisecond
)

// session takes messages one at a time, so that it holds no more of them in memory
// than its user does, and leaves them unacknowledged until it ends. Should anything
// break in between, RabbitMQ puts them back by itself.
type session struct {
	queue   string
	channel *broker.Channel
	unlock  func()
	stop    func() bool
	once    sync.Once
}

// Open implements deadletter.Store.
func (b *Broker) Open(ctx context.Context, queue string) (deadletter.Session, error) {
	unlock, err := b.lock(ctx, queue)
	if err != nil {
		return nil, err
	}
	ch, err := b.engine.Channel(ctx)
	if err != nil {
		unlock()
		return nil, failed(queue, err)
	}
	s := &session{queue: queue, channel: ch, unlock: unlock}
	err = ch.Do(ctx, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		return err
	})
	if err != nil {
		s.end()
		return nil, s.failed(err)
	}
	s.stop = context.AfterFunc(ctx, s.end)
	return s, nil
}

// lock makes this session the only one on the queue, in all receivers: it owns an
// exclusive queue by a name that goes with the lock. RabbitMQ removes that with
// the connection, so no lock outlives its owner.
func (b *Broker) lock(ctx context.Context, queue string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	name := "lock." + queue
	if err := b.enter(ctx, name); err != nil {
		return nil, err
	}
	for {
		unlock, err := b.tryLock(ctx, name)
		if err == nil {
			return unlock, nil
		}
		if !broker.Answered(err, amqp.ResourceLocked) {
			b.leave(name)
			return nil, failed(name, err)
		}
		select {
		case <-ctx.Done():
			b.leave(name)
			return nil, fmt.Errorf("%w: %s", deadletter.ErrBusy, queue)
		case <-time.After(lockRetry):
		}
	}
}

func (b *Broker) tryLock(ctx context.Context, name string) (unlock func(), err error) {
	ch, err := b.engine.Channel(ctx)
	if err != nil {
		return nil, err
	}
	// Not with ctx: the lock would be held by nothing if it ended meanwhile.
	err = ch.Do(context.WithoutCancel(ctx), func(ch *amqp.Channel) error {
		const durable, autoDelete, exclusive, noWait = false, false, true, false
		_, err := ch.QueueDeclare(name, durable, autoDelete, exclusive, noWait, nil)
		return err
	})
	if err != nil {
		ch.Close()
		return nil, err
	}
	return func() {
		_ = ch.Do(context.Background(), func(ch *amqp.Channel) error {
			_, err := ch.QueueDelete(name, false, false, false) // else it ends with the connection
			return err
		})
		ch.Close()
		b.leave(name)
	}, nil
}

// enter is the lock among the sessions of this process: RabbitMQ's is one of the
// connection.
func (b *Broker) enter(ctx context.Context, name string) error {
	for {
		b.mu.Lock()
		taken, ok := b.held[name]
		if !ok {
			b.held[name] = make(chan struct{})
			b.mu.Unlock()
			return nil
		}
		b.mu.Unlock()
		select {
		case <-taken:
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", deadletter.ErrBusy, name)
		}
	}
}

func (b *Broker) leave(name string) {
	b.mu.Lock()
	close(b.held[name])
	delete(b.held, name)
	b.mu.Unlock()
}

// Next implements deadletter.Session.
func (s *session) Next() (*deadletter.Letter, error) {
	var d amqp.Delivery
	var ok bool
	err := s.channel.Do(context.Background(), func(ch *amqp.Channel) (err error) {
		d, ok, err = ch.Get(s.queue, false)
		return err
	})
	if err != nil {
		return nil, s.failed(err)
	}
	if !ok {
		return nil, nil
	}
	return letter(&d), nil
}

// Remove implements deadletter.Session.
func (s *session) Remove(l *deadletter.Letter) error {
	err := s.channel.Do(context.Background(), func(ch *amqp.Channel) error { return ch.Ack(l.Tag, false) })
	if err != nil {
		return s.failed(err)
	}
	return nil
}

// Close implements deadletter.Session.
func (s *session) Close() error {
	s.stop()
	s.end()
	return nil
}

func (s *session) end() {
	s.once.Do(func() {
		_ = s.channel.Do(context.Background(), func(ch *amqp.Channel) error {
			const all, requeue = true, true
			return ch.Nack(0, all, requeue) // closing puts them back as well
		})
		s.channel.Close()
		s.unlock()
	})
}

func (s *session) failed(err error) error {
	if broker.Answered(err, amqp.NotFound) {
		return fmt.Errorf("%w: %s", deadletter.ErrNoQueue, s.queue)
	}
	return failed(s.queue, err)
}
