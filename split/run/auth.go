package run

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"scission/transport"
	"scission/transport/keys"
)

// ErrForbidden: the host does not allow the owner of this one's certificate what
// it asks for.
var ErrForbidden = errors.New("forbidden")

// needed is which roles, one of which is enough, a request of a kind takes. What
// is not listed is for those who administer.
func needed(kind uint8) keys.Roles {
	switch kind {
	case kindOpen, kindRun, kindEcho, kindProfile:
		return keys.Run
	case kindPut, kindChunk:
		return keys.Upload
	case kindStatus:
		return keys.Run | keys.Admin
	}
	return keys.Admin
}

// admit finds out who the client is and what it may do. Without TLS nobody says
// who he is, so that whoever can connect may do everything: Transport sees to it
// that it is this machine, or that somebody wants it so.
func (s *session) admit() {
	peer, ok := s.conn.Peer()
	if !ok {
		s.roles = keys.All
		return
	}
	s.identity, s.roles = peer.Name, peer.Roles
	if allow := s.node.Allow; allow != nil {
		s.roles &= allow[peer.Name]
	}
}

// authorise refuses a request that the client may not make.
func (s *session) authorise(kind uint8) error {
	if want := needed(kind); !s.roles.Has(want) {
		return fmt.Errorf("run: %w: %q may do %q here, not %q", ErrForbidden, s.identity, s.roles, want)
	}
	return nil
}

// Defaults of a Node's limits on connections.
const (
	// DefaultMaxConns bounds the connections that a Node serves at once,
	DefaultMaxConns = 64
	// DefaultMaxPeerConns those of one certificate's name, and
	DefaultMaxPeerConns = 48
	// DefaultMaxHandshakes those that have not said yet who they are, or are
	// told that the node is busy.
	DefaultMaxHandshakes = 512
	// DefaultMaxTime bounds the time of one request.
	DefaultMaxTime = time.Hour
)

// connections counts them.
type connections struct {
	mu      sync.Mutex
	waiting int            // those that are not served
	n       int            // those that are
	of      map[string]int // by the name of the certificate
}

// greet counts a connection that has to say who it is.
func (c *connections) greet(limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting >= limit {
		return false
	}
	c.waiting++
	return true
}

// dismiss is the end of a connection that was never served.
func (c *connections) dismiss() {
	c.mu.Lock()
	c.waiting--
	c.mu.Unlock()
}

// enter counts a connection that was greeted as one that is served, if there is
// room for it.
func (c *connections) enter(identity string, limit, each int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.n >= limit:
		return fmt.Errorf("run: %w: serving %d connections, as many as allowed", ErrBusy, c.n)
	case identity != "" && c.of[identity] >= each:
		return fmt.Errorf("run: %w: serving %d connections of %q, as many as allowed", ErrBusy, c.of[identity], identity)
	}
	c.waiting--
	c.n++
	if identity != "" {
		if c.of == nil {
			c.of = map[string]int{}
		}
		c.of[identity]++
	}
	return nil
}

// leave is the end of a connection that was served.
func (c *connections) leave(identity string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n--
	if identity == "" {
		return
	}
	if c.of[identity]--; c.of[identity] == 0 {
		delete(c.of, identity)
	}
}

// count is how many connections are served, and of whom.
func (c *connections) count() (n int, of map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n, maps.Clone(c.of)
}

// maxConns is how many connections are served at once.
func (n *Node) maxConns() int { return cmp.Or(n.MaxConns, DefaultMaxConns) }

// allowed is how long a request may take whose client gives it the time d; 0 is
// no bound.
func (n *Node) allowed(d time.Duration) time.Duration {
	most := cmp.Or(n.MaxTime, DefaultMaxTime)
	if d <= 0 || d > most {
		return most
	}
	return d
}

// handshakeTime is how long a connection may take to say who it is and, if
// there is no room for it, what it wants.
func (n *Node) handshakeTime() time.Duration {
	return cmp.Or(n.Transport.Limits.Handshake, transport.DefaultLimits.Handshake)
}
