package run

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// Status is what a worker says of its load.
type Status struct {
	Name       string        `json:"name"`
	Up         time.Duration `json:"up_ns"`          // since its process began
	CPU        time.Duration `json:"cpu_ns"`         // of all processors that the process took since; 0 where the system does not tell
	Processors int           `json:"processors"`     // that it may use at once
	Memory     int64         `json:"memory_bytes"`   // that Go holds for it, without models that are mapped
	Max        int           `json:"connections_of"` // connections that it serves at most

	Connections int            `json:"connections"`
	Of          map[string]int `json:"connections_by_name,omitempty"` // of certificates; told to the role admin only
	Deployments int            `json:"deployments"`                   // open ones
	Running     int            `json:"running"`                       // requests that it works on, this one not counted
	Requests    uint64         `json:"requests"`                      // that were answered, others than for the status
	Failed      uint64         `json:"failed"`                        // of them, with an error

	Models     int   `json:"models"` // in its store
	ModelBytes int64 `json:"model_bytes"`
}

// begun is about when the process began.
var begun = time.Now()

// load counts what a node does.
type load struct {
	deployments, running atomic.Int64
	requests, failed     atomic.Uint64
}

// answering counts a request until its end. Those for the status are not counted.
func (l *load) answering(kind uint8) (end func(failed bool)) {
	if kind == kindStatus {
		return func(bool) {}
	}
	l.running.Add(1)
	return func(failed bool) {
		l.running.Add(-1)
		l.requests.Add(1)
		if failed {
			l.failed.Add(1)
		}
	}
}

// status is that of this node.
func (n *Node) status() Status {
	s := Status{
		Name: n.Name, Up: time.Since(begun), CPU: cpuTime(), Processors: runtime.GOMAXPROCS(0), Memory: held(), Max: n.maxConns(),
		Deployments: int(n.load.deployments.Load()), Running: int(n.load.running.Load()),
		Requests: n.load.requests.Load(), Failed: n.load.failed.Load(),
	}
	s.Connections, s.Of = n.conns.count()
	if n.Store != nil {
		s.Models, s.ModelBytes = n.Store.holds()
	}
	return s
}

// held is the bytes of memory that the Go runtime has from the system.
func held() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64() - sample[1].Value.Uint64())
}

// Status asks one of n.Peers how it is doing, over a connection of its own, and
// returns the answer with the time that the question took. It takes the role
// run or admin. A worker that has no room for more connections answers, too.
func (n *Node) Status(ctx context.Context, host string) (*Status, time.Duration, error) {
	p, err := n.dial(ctx, host)
	if err != nil {
		return nil, 0, err
	}
	defer p.conn.Close()
	x, err := p.call(ctx, kindStatus, nil, nil, nil)
	if err != nil {
		return nil, 0, err
	}
	var s Status
	if err := decodeMeta(x.answer, &s); err != nil {
		return nil, 0, p.wrap(err)
	}
	s.Name = printable(s.Name)
	return &s, x.took, nil
}
