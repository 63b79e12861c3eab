package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sort"
	"time"

	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split"
	"scission/transport"
	"scission/transport/keys"
)

// Node is this host: what it may run and whom it may call. Its fields are not
// to be changed once it is in use; it is then safe for concurrent use.
type Node struct {
	Name    string
	Machine split.Machine // facts for profiles
	Threads int           // of a run; 0 means GOMAXPROCS
	Exact   bool          // see engine.Options; hosts of one deployment must agree if results are to have the same bits
	Memory  int           // bytes of activations of the stages of one deployment; 0 means engine.DefaultMemory

	// Peers are the hosts that this one may call, with their addresses. No
	// message of a peer can make it call another. With Transport.Keys a host
	// has to have a certificate of its name here; one that is called by its
	// address may have any.
	Peers     map[string]string
	Transport transport.Options
	// DialConn, if not nil, makes the connections instead of transport.Dial:
	// to emulate a network, for instance.
	DialConn func(ctx context.Context, host, addr string) (net.Conn, error)

	// Store holds the models that peers may run here, and Load builds the
	// graph of one of its files for the given shapes of inputs. A node that
	// serves nobody needs neither. The closer, if not nil, is closed when the
	// graph is no longer used. If it is a Sparer, the file may have zeros in place
	// of weights that were not sent; no layer runs that would read them.
	Store *Store
	Load  func(path string, shapes map[string]tensor.Shape) (*graph.Graph, io.Closer, error)
	// Allow, if not nil, narrows what clients may do, by the names of their
	// certificates: one that it does not name may do nothing.
	Allow map[string]keys.Roles
	// MaxConns bounds the connections that are served at once, MaxPeerConns
	// those of them whose certificates have one name, and MaxHandshakes those
	// that are not served yet. 0 means the default of each.
	MaxConns, MaxPeerConns, MaxHandshakes int
	// MaxTime bounds how long one request may take; 0 means DefaultMaxTime.
	MaxTime time.Duration
	// MaxRuns bounds the runs of all connections that are in hand at once, from
	// their arrival to their answer; further ones are refused with ErrBusy. 0
	// means DefaultMaxRuns.
	MaxRuns int
	// Computing bounds the stages that compute here at once; others wait for
	// their turn. 0 means GOMAXPROCS.
	Computing int
	// Batch bounds the runs of one connection, or one Stream, that are computed
	// together where they wait for the same stage and that is faster. Each gives
	// the same bits as alone. 1 is none, 0 means DefaultBatch.
	Batch int
	// InFlight and InFlightBytes bound the runs of one connection that are here
	// at once, and the bytes of their inputs if it is more than one run. 0 means
	// DefaultInFlight and DefaultInFlightBytes.
	InFlight, InFlightBytes int

	// Slowdown above 1 emulates a slower processor: after computing, a stage
	// waits until it has taken that many times as long, and meanwhile no other
	// stage computes. Coding is not slowed.
	Slowdown float64

	// Progress, if not nil, is told of long transfers.
	Progress func(what string, done, of int64)
	// Log, if not nil, is told what happens to connections and requests.
	Log *slog.Logger

	conns     connections
	load      load
	work      work
	processor processor
}

// Execution is an open deployment.
type Execution struct {
	Runner
	// Hops are the transfers of each run, in order, as they are really made.
	Hops []split.Hop
	// Relayed says that hosts in the row do not know each other, so that
	// their data goes through this host.
	Relayed bool
	// Nodes are the nodes of the plans of this host's stages, in order; their
	// Layers are counted in the whole model.
	Nodes []engine.NodeInfo

	stages int
}

func (n *Node) greeting() greeting {
	g := greeting{Name: n.Name, Machine: n.Machine, Slowdown: n.Slowdown}
	for host := range n.Peers {
		g.Peers = append(g.Peers, host)
	}
	sort.Strings(g.Peers)
	return g
}

// Open makes a deployment ready to run: this host, called n.Name in the
// stages, runs its own, and the others run on n.Peers. Hosts in a row hand on
// to each other if each knows the next; otherwise all data goes through this
// host. A worker is sent what it lacks of the model for its stages, once and in
// pieces that it keeps, so that an upload which broke off goes on where it was; the
// part of a worker that this host cannot reach goes through the one before it.
func (n *Node) Open(ctx context.Context, d Deployment) (*Execution, error) {
	if err := d.Stages.Validate(len(d.Model.Graph.Nodes)); err != nil {
		return nil, err
	}
	for h, name := range d.Codecs {
		if _, err := d.codec(h, name); err != nil {
			return nil, err
		}
	}
	e := &Execution{stages: len(d.Stages)}
	linked := func(from, to string) bool { return !e.Relayed }
	for rest := d.Stages; len(rest) > 0; {
		row := untiled(rest)
		first := slices.IndexFunc(row, func(s split.Stage) bool { return s.Host != n.Name })
		if first >= 0 && slices.ContainsFunc(row[first:], func(s split.Stage) bool { return s.Host == n.Name }) {
			e.Relayed = true
		}
		rest = rest[max(1, len(row)):]
	}
	open := func() (pipeline, error) {
		e.Hops, e.Nodes = split.Hops(d.Stages, n.Name, linked), nil
		var p pipeline
		memory := n.memory()
		for i := 0; i < len(d.Stages); {
			r, taken, err := n.openNext(ctx, d, n.Name, d.Stages[i:], e.Relayed, &memory)
			if err != nil {
				p.Close()
				return nil, err
			}
			for _, l := range localsOf(r) {
				for _, node := range l.nodes {
					e.Nodes = append(e.Nodes, node.NodeInfo)
				}
			}
			p, i = append(p, r), i+taken
		}
		n.widen(p, memory)
		return p, nil
	}
	p, err := open()
	if errors.Is(err, errUnlinked) {
		e.Relayed = true
		p, err = open()
	}
	if err != nil {
		return nil, err
	}
	e.Runner = p
	return e, nil
}

// untiled is the stages before the first that is tiled, between which data need
// not return to this host.
func untiled(stages split.Partition) split.Partition {
	if i := slices.IndexFunc(stages, split.Stage.Tiled); i >= 0 {
		return stages[:i]
	}
	return stages
}

// localsOf returns what of a runner computes on this host.
func localsOf(r Runner) (ls []*local) {
	switch r := r.(type) {
	case *local:
		return []*local{r}
	case *tiled:
		for _, w := range r.workers {
			ls = append(ls, localsOf(w.Runner)...)
		}
	}
	return ls
}

// errUnlinked says that a host in the row does not know the next.
var errUnlinked = errors.New("broken row")

// openNext opens the first of stages on this host, or as many as belong
// together on another one, and returns how many that are.
func (n *Node) openNext(ctx context.Context, d Deployment, self string, stages split.Partition, alone bool, memory *int) (Runner, int, error) {
	if stages[0].Tiled() {
		t, err := n.openTiled(ctx, d, self, stages[0], memory)
		return t, 1, err
	}
	stages = untiled(stages)
	if stages[0].Host == self {
		l, err := n.openLocal(d, stages[0], memory)
		return l, 1, err
	}
	if alone {
		// Stages that follow each other on one host are one visit.
		k := 1
		for k < len(stages) && stages[k].Host == stages[0].Host {
			k++
		}
		stages = stages[:k]
	}
	r, taken, err := n.openRemote(ctx, d, self, stages)
	if err != nil {
		return nil, 0, err
	}
	if taken < len(stages) {
		r.Close()
		return nil, 0, fmt.Errorf("run: %w: %s does not know %s", errUnlinked, stages[0].Host, stages[taken].Host)
	}
	return r, taken, nil
}
