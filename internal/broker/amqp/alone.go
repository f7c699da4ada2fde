package amqp

import (
	"context"
	"time"
)

// leaveAlone ends the consumer of an ordered queue and returns its message in hand in
// one step, by closing the channel. RabbitMQ starts the next consumer as soon as one is
// cancelled, so that a message which returned after that would be overtaken. It does
// nothing for other queues, or if the channel has other consumers.
func (c *consumption) leaveAlone() {
	if c.c.Prefetch != 1 {
		return
	}
	c.stopOnce.Do(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		close(c.stop)
		if c.sub != nil {
			go c.sub.leaveAlone()
		}
	})
}

func (s *subscription) leaveAlone() {
	if !s.channel.closeAlone() {
		s.cancel()
		return
	}
	s.once.Do(func() {
		defer close(s.cancelled)
		time.Sleep(settling) // acknowledgements that RabbitMQ holds back would be lost
		_ = s.channel.call(context.Background(), s.channel.amqp.Close)
	})
}

// closeAlone reserves a channel with one consumer for being closed.
func (ch *channel) closeAlone() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.consumers != 1 || ch.closing {
		return false
	}
	ch.closing = true
	return true
}
