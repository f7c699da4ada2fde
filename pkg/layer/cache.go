package layer

import (
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/utils/clock"
)

// cache keeps what took long to make, for a time and in a number. What is asked
// for at once is made once.
type cache[T any] struct {
	clock clock.PassiveClock
	most  int

	flight singleflight.Group
	mu     sync.Mutex
	kept   map[string]kept[T]
}

type kept[T any] struct {
	value   T
	expires time.Time
}

func newCache[T any](clock clock.PassiveClock, most int) *cache[T] {
	return &cache[T]{clock: clock, most: most, kept: map[string]kept[T]{}}
}

// get returns what is kept by the key, or makes it. A failure is not kept.
func (c *cache[T]) get(key string, goodFor time.Duration, produce func() (T, error)) (T, error) {
	if v, ok := c.look(key); ok {
		return v, nil
	}
	made, err, _ := c.flight.Do(key, func() (any, error) {
		if v, ok := c.look(key); ok {
			return v, nil // made a moment ago
		}
		v, err := produce()
		if err == nil {
			c.put(key, v, goodFor)
		}
		return v, err
	})
	v, _ := made.(T)
	return v, err
}

func (c *cache[T]) look(key string) (T, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.kept[key]
	return k.value, ok && c.clock.Now().Before(k.expires)
}

// put keeps a value. What expires first makes room where there is none.
func (c *cache[T]) put(key string, value T, goodFor time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, has := c.kept[key]; !has && len(c.kept) >= c.most {
		first := ""
		for other, k := range c.kept {
			if first == "" || k.expires.Before(c.kept[first].expires) {
				first = other
			}
		}
		delete(c.kept, first)
	}
	c.kept[key] = kept[T]{value, c.clock.Now().Add(goodFor)}
}

// drop forgets what is kept by the key.
func (c *cache[T]) drop(key string) {
	c.mu.Lock()
	delete(c.kept, key)
	c.mu.Unlock()
}
