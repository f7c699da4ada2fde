package amqp

import (
	"context"
	"slices"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// maxConsumers of one channel.
	maxConsumers = 64
	// linger is how long a channel without consumers stays open. RabbitMQ holds back
	// acknowledgements of a quorum queue after more than 32 in short order, and a channel
	// that closes meanwhile loses them: the messages come again.
	linger = 5 * time.Second
	// settling is how long after the last acknowledgement a connection stays open.
	settling = 250 * time.Millisecond
)

// scopes are the channels for consuming: those of one scope carry its consumers only,
// so that a fault which closes a channel stays in its scope.
type scopes struct {
	link *link

	mu     sync.Mutex
	byName map[string]*scope
}

type scope struct {
	opening  chan struct{} // held while a channel is opened
	channels []*channel    // guarded by the lock of scopes
}

// channel for consuming.
type channel struct {
	conn *conn
	amqp *amqp.Channel
	// ctx ends when the channel is lost; its cause says why.
	ctx  context.Context
	lost context.CancelCauseFunc
	busy chan struct{} // held while a call is on the channel: answers carry no name

	mu        sync.Mutex
	consumers int
	inHand    int
	closing   bool
}

// join finds a channel with place for another consumer, or opens one.
func (s *scopes) join(ctx context.Context, c *conn, name string) (*channel, error) {
	group := s.scope(name)
	if ch := s.find(group, c); ch != nil {
		return ch, nil
	}
	select {
	case group.opening <- struct{}{}:
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	}
	if ch := s.find(group, c); ch != nil { // opened meanwhile
		<-group.opening
		return ch, nil
	}
	ch, err := s.open(ctx, c, group)
	if err != nil {
		return nil, err
	}
	return ch, nil
}

func (s *scopes) scope(name string) *scope {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[name] == nil {
		s.byName[name] = &scope{opening: make(chan struct{}, 1)}
	}
	return s.byName[name]
}

func (s *scopes) find(group *scope, c *conn) *channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	group.channels = slices.DeleteFunc(group.channels, func(ch *channel) bool { return ch.ctx.Err() != nil || ch.isClosing() })
	for _, ch := range group.channels {
		if ch.conn == c && ch.enter() {
			return ch
		}
	}
	return nil
}

// open a channel with one consumer entered, and give back group.opening.
func (s *scopes) open(ctx context.Context, c *conn, group *scope) (*channel, error) {
	if !c.use() {
		<-group.opening
		return nil, unavailable(errLost)
	}
	ch := &channel{conn: c, busy: make(chan struct{}, 1), consumers: 1}
	ch.ctx, ch.lost = context.WithCancelCause(context.Background())
	err := c.call(context.WithoutCancel(ctx), func() (err error) {
		defer func() { <-group.opening }()
		if ch.amqp, err = c.amqp.Channel(); err != nil {
			c.release()
			return err
		}
		go ch.watch(ch.amqp.NotifyClose(make(chan *amqp.Error, 1)))
		s.mu.Lock()
		defer s.mu.Unlock()
		group.channels = append(group.channels, ch)
		return nil
	})
	if err != nil {
		return nil, asUnavailable(err)
	}
	return ch, nil
}

// watch until the channel is lost.
func (ch *channel) watch(closes chan *amqp.Error) {
	defer ch.conn.release()
	if err := <-closes; err != nil {
		ch.lost(err)
		return
	}
	ch.lost(errClosed)
}

// call does something that waits for RabbitMQ's answer, one at a time.
func (ch *channel) call(ctx context.Context, f func() error) error {
	select {
	case ch.busy <- struct{}{}:
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
	return ch.conn.call(ctx, func() error {
		defer func() { <-ch.busy }()
		return f()
	})
}

func (ch *channel) isClosing() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.closing
}

// enter a consumer; false if there is no place.
func (ch *channel) enter() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.closing || ch.consumers >= maxConsumers || isClosed(ch.conn.retired) {
		return false
	}
	ch.consumers++
	return true
}

// leave removes a consumer.
func (ch *channel) leave() { ch.count(-1, 0) }

// count consumers and messages in hand. A channel that has neither for a while is
// closed.
func (ch *channel) count(consumers, inHand int) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.consumers += consumers
	ch.inHand += inHand
	if ch.idle() {
		time.AfterFunc(linger, ch.closeIdle)
	}
}

func (ch *channel) idle() bool { return ch.consumers == 0 && ch.inHand == 0 && !ch.closing }

func (ch *channel) closeIdle() {
	ch.mu.Lock()
	end := ch.idle()
	ch.closing = ch.closing || end
	ch.mu.Unlock()
	if end {
		_ = ch.call(context.Background(), ch.amqp.Close)
	}
}
