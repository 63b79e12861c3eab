package run

import (
	"context"
	"sync"
)

// credits bound the requests that are in flight, and the bytes of their
// inputs. One request may have any size if it is alone.
type credits struct {
	depth, bytes int
	freed        chan struct{} // holds a value when it is worth another look

	mu           sync.Mutex
	taken, inUse int // requests and bytes
}

func newCredits(depth, bytes int) *credits {
	return &credits{depth: depth, bytes: bytes, freed: make(chan struct{}, 1)}
}

// try takes credit for a request if there is some.
func (c *credits) try(size int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken > 0 && (c.taken >= c.depth || size > c.bytes-c.inUse) {
		return false
	}
	c.taken++
	c.inUse += size
	return true
}

// take waits for credit until one of the contexts ends, whose error it returns.
func (c *credits) take(size int, a, b context.Context) error {
	for !c.try(size) {
		select {
		case <-c.freed:
		case <-a.Done():
			return a.Err()
		case <-b.Done():
			return b.Err()
		}
	}
	c.signal() // there may be some left for another one that waits
	return nil
}

func (c *credits) give(size int) {
	c.mu.Lock()
	c.taken--
	c.inUse -= size
	c.mu.Unlock()
	c.signal()
}

func (c *credits) signal() {
	select {
	case c.freed <- struct{}{}:
	default:
	}
}

// used returns what is in flight.
func (c *credits) used() (requests, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken, c.inUse
}
