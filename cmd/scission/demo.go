package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"scission/split"
	"scission/split/run"
	"scission/transport"
	"scission/transport/simnet"
)

// demoHost is a host of the demo. All of them are this process; what makes
// them differ is emulated.
type demoHost struct {
	name     string
	slowdown float64
}

var demoHosts = []demoHost{{"device", 16}, {"edge", 2}, {"cloud", 1}}

// demoLink is the emulated link between two hosts, in both directions.
type demoLink struct {
	a, b    string
	latency time.Duration // one way
	mbit    float64       // Mbit/s
}

var demoLinks = []demoLink{
	{"device", "edge", 2 * time.Millisecond, 80},
	{"edge", "cloud", 10 * time.Millisecond, 200},
	{"device", "cloud", 15 * time.Millisecond, 20},
}

func (l demoLink) shape(c net.Conn) net.Conn {
	return simnet.Shape(c, l.latency, l.mbit*1e6/8)
}

func (l demoLink) String() string {
	return fmt.Sprintf("%s–%s %g Mbit/s, %v each way", l.a, l.b, l.mbit, l.latency)
}

type demoReport struct {
	Model     string           `json:"model"`
	Emulated  []string         `json:"emulated"`
	Profiles  []*split.Profile `json:"-"`
	Links     []linkReport     `json:"links"`
	Plan      planFile         `json:"plan"`
	Runs      []execReport     `json:"runs"` // the best partition, and the best split if that is another
	Identical bool             `json:"identical"`
}

func (a *app) demoCommand() *cobra.Command {
	var name string
	var runs int
	c := &cobra.Command{
		Use:   "demo",
		Short: "The whole job in one go, with nothing installed",
		Long: `Start an edge and a cloud worker of its own on loopback sockets, profile a network
on them and on this machine, rank the partitions, run the best one and the best
real split, and compare predicted with measured times and the outputs with those
of the unsplit run.

The hosts are all this machine. That the device and the edge are slower, and the
network between them, is emulated and labelled so; everything else is real.`,
		Example: "  scission demo\n  scission demo --model zoo:resnet50 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runs < 1 {
				return usagef("--runs %d, want at least 1", runs)
			}
			r, err := a.demo(cmd.Context(), name, runs)
			if err != nil {
				return err
			}
			if err := a.print(r, func(w io.Writer) { fmt.Fprintf(w, "\nidentical: %s\n", yesNo(r.Identical)) }); err != nil {
				return err
			}
			if !r.Identical {
				return fmt.Errorf("%w: a split run's outputs differ from those of the unsplit run", errMismatch)
			}
			return nil
		},
	}
	c.Flags().StringVar(&name, "model", zooPrefix+"mobilenetv2", "the model")
	c.Flags().IntVar(&runs, "runs", 10, "measured runs of each partition")
	return c
}

// demoWorld is the running hosts of a demo.
type demoWorld struct {
	nodes map[string]*run.Node
	stop  context.CancelFunc
	wg    sync.WaitGroup
	dir   string
	errs  chan error
}

// newDemoWorld starts the workers. For each link a worker has a listener of its
// own, so that both ends of every connection know which link they emulate.
func newDemoWorld(ctx context.Context) (w *demoWorld, err error) {
	w = &demoWorld{nodes: map[string]*run.Node{}, errs: make(chan error, len(demoLinks))}
	ctx, w.stop = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.dir, err = os.MkdirTemp("", "scission-demo-"); err != nil {
		return nil, err
	}
	for _, h := range demoHosts {
		store, err := run.OpenStore(filepath.Join(w.dir, h.name), 0)
		if err != nil {
			return nil, err
		}
		w.nodes[h.name] = &run.Node{Name: h.name, Machine: machine(0), Store: store, Load: loadStored, Slowdown: h.slowdown, Peers: map[string]string{}}
	}
	listeners := map[string][]net.Listener{}
	for _, l := range demoLinks {
		listener, err := transport.Listen("127.0.0.1:0", transport.Options{})
		if err != nil {
			return nil, err
		}
		listeners[l.b] = append(listeners[l.b], shapedListener{listener, l})
		w.nodes[l.a].Peers[l.b] = listener.Addr().String()
	}
	for _, h := range demoHosts {
		n := w.nodes[h.name]
		n.DialConn = func(ctx context.Context, host, addr string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, "tcp", addr)
			if err != nil {
				return nil, err
			}
			for _, l := range demoLinks {
				if l.a == n.Name && l.b == host {
					return l.shape(c), nil
				}
			}
			return c, nil
		}
		for _, l := range listeners[h.name] {
			w.wg.Go(func() {
				if err := n.ServeAll(ctx, l); err != nil {
					w.errs <- err
				}
			})
		}
	}
	return w, nil
}

func (w *demoWorld) close() error {
	w.stop()
	w.wg.Wait()
	close(w.errs)
	return errors.Join(<-w.errs, os.RemoveAll(w.dir))
}

type shapedListener struct {
	net.Listener
	link demoLink
}

func (l shapedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.link.shape(c), nil
}

func (a *app) demo(ctx context.Context, name string, runs int) (r demoReport, err error) {
	text := a.out
	if a.json {
		text = io.Discard
	}
	m, in, err := openWithInputs(name, nil, true)
	if err != nil {
		return r, err
	}
	if err := m.portable(name); err != nil {
		return r, err
	}
	w, err := newDemoWorld(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	r.Model, r.Identical = m.Name, true
	fmt.Fprintf(text, "%s, %d layers, on three hosts that are all this machine: %s, %s kernels\n", m.Name, len(m.Graph.Nodes), cpuName(), isaName())

	p := newProgress(a.err)
	defer p.clear()
	device := w.nodes[deviceName]
	device.Progress = p.update
	pb := split.Problem{
		Model: split.Model{Name: m.Name, Digest: m.Digest}, Layers: len(m.Graph.Nodes), Source: deviceName,
		Positions: positions(m.Graph, 1), Profiles: map[string]*split.Profile{}, Codecs: codecNames(),
		Network: &split.Network{Date: time.Now().UTC().Truncate(time.Second), Emulated: "latency and bandwidth shaped on loopback sockets"},
	}
	for _, h := range demoHosts {
		o := run.ProfileOptions{Inputs: in, Warmup: 2, Runs: runs, Codecs: codecNames(), CodecRuns: 1,
			Progress: func(done, of int) { p.update("profile on "+h.name, int64(done), int64(of)) }}
		profile, err := device.Profile(ctx, m.Model, h.name, o)
		if err != nil {
			return r, err
		}
		pb.Hosts = append(pb.Hosts, h.name)
		pb.Profiles[h.name] = profile
		r.Profiles = append(r.Profiles, profile)
	}
	for _, l := range demoLinks {
		report, err := w.nodes[l.a].MeasureLink(ctx, l.b, 100*time.Millisecond)
		if err != nil {
			return r, err
		}
		if err := errors.Join(pb.Network.Set(l.a, l.b, report.There), pb.Network.Set(l.b, l.a, report.Back)); err != nil {
			return r, err
		}
		r.Links = append(r.Links, newLinkReport(l.a+"–"+l.b, "loopback", report))
		r.Emulated = append(r.Emulated, "link "+l.String())
	}
	p.clear()
	r.Emulated = append(emulations(pb), r.Emulated...)
	title(text, "emulated")
	for _, e := range r.Emulated {
		fmt.Fprintln(text, e)
	}
	title(text, "profiles")
	printProfiles(text, r.Profiles, "")
	title(text, "links, measured through the emulation")
	printLinks(text, r.Links)

	pl := planning{source: deviceName}
	best, err := pl.rank(pb, split.Query{Top: 5})
	if err != nil {
		return r, err
	}
	splitOnly, err := pl.rank(pb, split.Query{SplitOnly: true})
	if err != nil {
		return r, err
	}
	r.Plan = planFile{Version: planVersion, Model: pb.Model, Source: deviceName, Emulated: emulations(pb), Estimates: best, BestSplit: &splitOnly[0]}
	title(text, "plan: the best of all partitions")
	printPlan(text, r.Plan)

	todo := []*split.Estimate{&best[0]}
	if best[0].Native() {
		todo = append(todo, &splitOnly[0])
	}
	for _, e := range todo {
		d := run.Deployment{Model: m.Model, Stages: e.Partition, Codecs: codecsOf(*e)}
		x, _, err := measureStages(ctx, device, m, d, in, 2, runs, e, true, p)
		p.clear()
		if err != nil {
			return r, err
		}
		r.Runs = append(r.Runs, x)
		r.Identical = r.Identical && *x.Identical
		title(text, "run %v for real", e.Partition)
		printExec(text, x)
	}
	return r, nil
}
