package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"scission/engine/tensor"
	"scission/split"
	"scission/split/run"
)

// demoHosts are the hosts of the demo.
var demoHosts = []emulatedHost{{"device", 16}, {"edge", 2}, {"cloud", 1}}

var demoLinks = []emulatedLink{
	{"device", "edge", 2 * time.Millisecond, 80},
	{"edge", "cloud", 10 * time.Millisecond, 200},
	{"device", "cloud", 15 * time.Millisecond, 20},
}

// demoTransfer is how long a transfer takes at least that measures a link.
const demoTransfer = 100 * time.Millisecond

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

func (a *app) demo(ctx context.Context, name string, runs int) (r demoReport, err error) {
	text := a.out
	if a.json {
		text = io.Discard
	}
	m, in, err := inputFlags{}.openOne(name, true)
	if err != nil {
		return r, err
	}
	if err := m.portable(); err != nil {
		return r, err
	}
	w, err := newWorld(ctx, demoHosts, demoLinks, 0)
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
	if pb.Network, r.Links, err = w.measureLinks(ctx, demoTransfer); err != nil {
		return r, err
	}
	p.clear()
	r.Emulated = append(emulations(pb), w.emulated()...)
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
		x, _, err := measureStages(ctx, device, m, d, [][]*tensor.Tensor{in}, execOptions{warmup: 2, runs: runs, check: checking{wanted: true}}, e, p)
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
