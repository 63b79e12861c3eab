package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"scission/split"
	"scission/split/run"
	"scission/transport"
	"scission/transport/simnet"
)

// emulatedHost is a host that is this process; that it is slower is emulated.
type emulatedHost struct {
	name     string
	slowdown float64 // 1 is as fast as this machine
}

// emulatedLink is the emulated link between two hosts, in both directions.
type emulatedLink struct {
	a, b    string
	latency time.Duration // one way
	mbit    float64       // Mbit/s
}

func (l emulatedLink) oneWay() simnet.Link {
	return simnet.Link{Latency: l.latency, Bandwidth: l.mbit * 1e6 / 8}
}

func (l emulatedLink) String() string {
	return fmt.Sprintf("link %s–%s %g Mbit/s, %v each way", l.a, l.b, l.mbit, l.latency)
}

// shapedNote labels what stands for the network in a world.
const shapedNote = "latency and bandwidth shaped on loopback sockets"

// world is several hosts that are all this process, with real sockets between
// them on which links are emulated.
type world struct {
	links   []emulatedLink
	shapers []*simnet.Shaper // of the links
	nodes   map[string]*run.Node
	// direct is the first host once more, with no links emulated.
	direct *run.Node

	stop context.CancelFunc
	wg   sync.WaitGroup
	dir  string
	mu   sync.Mutex
	err  error // of the first listener that failed
}

// newWorld starts the hosts. All connections between two of them share their
// link, which the end that dials emulates.
func newWorld(ctx context.Context, hosts []emulatedHost, links []emulatedLink, threads int) (w *world, err error) {
	w = &world{links: slices.Clone(links), nodes: map[string]*run.Node{}}
	ctx, w.stop = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.dir, err = os.MkdirTemp("", "scission-world-"); err != nil {
		return w, err
	}
	for _, h := range hosts {
		store, err := run.OpenStore(filepath.Join(w.dir, h.name), 0)
		if err != nil {
			return w, err
		}
		w.nodes[h.name] = &run.Node{Name: h.name, Machine: machine(threads), Threads: threads, Store: store, Load: loadStored, Slowdown: h.slowdown, Peers: map[string]string{}}
	}
	first := w.nodes[hosts[0].name]
	w.direct = &run.Node{Name: first.Name, Machine: first.Machine, Threads: threads, Slowdown: first.Slowdown, Peers: map[string]string{}}
	listeners := map[string]net.Listener{}
	for _, h := range hosts[1:] {
		l, err := transport.Listen("127.0.0.1:0", transport.Options{})
		if err != nil {
			return w, err
		}
		listeners[h.name], w.direct.Peers[h.name] = l, l.Addr().String()
	}
	for _, l := range links {
		w.shapers = append(w.shapers, simnet.NewShaper(l.oneWay(), l.oneWay()))
		w.nodes[l.a].Peers[l.b] = w.direct.Peers[l.b]
	}
	for _, h := range hosts {
		n := w.nodes[h.name]
		n.DialConn = func(ctx context.Context, host, addr string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, "tcp", addr)
			if err != nil {
				return nil, err
			}
			for i, l := range links {
				if l.a == n.Name && l.b == host {
					return w.shapers[i].Conn(c), nil
				}
			}
			return c, nil
		}
		if l := listeners[h.name]; l != nil {
			w.wg.Go(func() {
				if err := n.ServeAll(ctx, l); err != nil {
					w.mu.Lock()
					defer w.mu.Unlock()
					w.err = errors.Join(w.err, err)
				}
			})
		}
	}
	return w, nil
}

// set makes a link another between the same hosts.
func (w *world) set(i int, l emulatedLink) {
	w.links[i] = l
	w.shapers[i].Set(l.oneWay(), l.oneWay())
}

func (w *world) close() error {
	w.stop()
	w.wg.Wait()
	return errors.Join(w.err, os.RemoveAll(w.dir))
}

// measureLinks measures every link, through its emulation, with transfers that
// take at least the given time.
func (w *world) measureLinks(ctx context.Context, atLeast time.Duration) (*split.Network, []linkReport, error) {
	n := &split.Network{Date: time.Now().UTC().Truncate(time.Second), Emulated: shapedNote}
	var reports []linkReport
	for _, l := range w.links {
		r, err := w.nodes[l.a].MeasureLink(ctx, l.b, atLeast)
		if err != nil {
			return nil, nil, err
		}
		if err := errors.Join(n.Set(l.a, l.b, r.There), n.Set(l.b, l.a, r.Back)); err != nil {
			return nil, nil, err
		}
		reports = append(reports, newLinkReport(l.a+"–"+l.b, "loopback", r))
	}
	return n, reports, nil
}

// emulated says which links are emulated, and how.
func (w *world) emulated() []string {
	var list []string
	for _, l := range w.links {
		list = append(list, l.String())
	}
	return list
}
