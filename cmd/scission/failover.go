package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"scission/engine/tensor"
	"scission/split"
	"scission/split/live"
	"scission/split/run"
	"scission/transport"
	"scission/transport/keys"
)

// failover is how exec goes on when a host fails.
type failover struct {
	forbidden bool             // give the error instead
	others    []run.Deployment // that are tried before this machine alone
	deadline  time.Duration    // of each run; 0 is none
	tell      io.Writer        // of failures
}

// measureLive runs each of the inputs o.runs times, in a row or with o.pipeline
// many at once, by whichever deployment works. It returns the outputs for each, and
// the samples of runs that all went the same way: as d if any did. It sets r.Hops,
// r.Relayed, r.Failures, r.Elsewhere and r.Throughput.
func (r *execReport) measureLive(ctx context.Context, n *run.Node, d run.Deployment, in [][]*tensor.Tensor, o execOptions, progress func(done, of int)) ([]run.Sample, [][]*tensor.Tensor, error) {
	f := o.failover
	var mu sync.Mutex // of what event changes
	var refused error // what no later attempt changes: a host that works refuses this one, or keys are missing
	event := func(e live.Event) {
		mu.Lock()
		defer mu.Unlock()
		for _, lasting := range []error{run.ErrForbidden, keys.ErrUntrusted, transport.ErrEncryption, transport.ErrPlaintext} {
			if errors.Is(e.Err, lasting) {
				refused = e.Err
			}
		}
		switch {
		case e.What == live.Opened && slices.Equal(e.Stages, d.Stages):
			r.Hops, r.Relayed = e.Hops, e.Relayed
		case e.What == live.Failed && !f.forbidden, e.What == live.Retried:
			r.Failures = append(r.Failures, e.String())
			fmt.Fprintln(f.tell, "scission:", e)
		}
	}
	k, err := live.New(ctx, n, live.Options{NoFallback: f.forbidden, Depth: o.depth, Event: event}, append([]run.Deployment{d}, f.others...)...)
	if err != nil {
		return nil, nil, err
	}
	defer k.Close()
	mu.Lock()
	err = refused
	depth := cmp.Or(o.depth, len(d.Stages)+len(r.Hops)+1)
	mu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	punctually := &punctual{Runner: k, deadline: f.deadline}
	if o.pipeline {
		t, all, err := measurePipeline(ctx, punctually, in, depth, max(o.warmup, depth), o.runs*len(in), progress)
		if err != nil {
			return nil, nil, err
		}
		samples := r.sameWay(d, t.Samples)
		r.Throughput = newThroughputReport(depth, t, samples)
		return samples, all, nil
	}
	var samples []run.Sample
	var all [][]*tensor.Tensor
	warmup := o.warmup
	for _, x := range in {
		s, err := run.Measure(ctx, punctually, x, warmup, o.runs, progress)
		if err != nil {
			return nil, nil, err
		}
		samples = append(samples, s...)
		warmup = 0
		out, _, err := k.Run(ctx, x)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, out)
	}
	return r.sameWay(d, samples), all, nil
}

// sameWay returns samples that went the same way: as d if any did. It sets
// r.Elsewhere.
func (r *execReport) sameWay(d run.Deployment, samples []run.Sample) []run.Sample {
	here := slices.DeleteFunc(slices.Clone(samples), func(s run.Sample) bool { return !ranAs(d.Stages, s.Spans) })
	if r.Elsewhere = len(samples) - len(here); len(here) > 0 {
		return here
	}
	last := samples[len(samples)-1].Spans
	return slices.DeleteFunc(samples, func(s run.Sample) bool { return !slices.EqualFunc(s.Spans, last, alike) })
}

// alike says whether two spans are of the same part of a run.
func alike(a, b run.Span) bool {
	return a.What == b.What && a.Host == b.Host && (a.Hop == nil) == (b.Hop == nil) && (a.Hop == nil || *a.Hop == *b.Hop) &&
		(a.Segment == nil) == (b.Segment == nil) && (a.Segment == nil || *a.Segment == *b.Segment)
}

// ranAs says whether spans are of a run of all the stages.
func ranAs(stages split.Partition, spans []run.Span) bool {
	var want, ran []string
	for _, s := range stages {
		hosts := []split.Worker{{Host: s.Host}}
		if s.Tiled() {
			hosts = s.Workers()
		}
		for _, h := range hosts {
			want = append(want, split.Stage{Host: h.Host, Segment: s.Segment}.String())
		}
	}
	for _, s := range spans {
		if s.What == run.Compute {
			ran = append(ran, split.Stage{Host: s.Host, Segment: *s.Segment}.String())
		}
	}
	slices.Sort(want)
	slices.Sort(ran)
	return slices.Equal(ran, want)
}

// punctual gives each run a deadline.
type punctual struct {
	run.Runner
	deadline time.Duration // 0 is none
}

func (p *punctual) Run(ctx context.Context, in []*tensor.Tensor) ([]*tensor.Tensor, []run.Span, error) {
	if p.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.deadline)
		defer cancel()
	}
	return p.Runner.Run(ctx, in)
}

// defaultDrain is how long a worker that is told to end has for the requests that
// it has in hand.
const defaultDrain = 30 * time.Second

// serveAndDrain serves until ctx ends, which is when the process is told to end.
// It then takes no more requests and answers those in hand, for as long as
// patience lasts and until the process is told so once more.
func serveAndDrain(ctx context.Context, n *run.Node, l net.Listener, patience time.Duration) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		defer stop()
		select {
		case <-ctx.Done():
		case <-serving.Done():
			return
		}
		wait, cancel := signal.NotifyContext(serving, os.Interrupt, syscall.SIGTERM)
		defer cancel()
		wait, cancel = context.WithTimeout(wait, cmp.Or(patience, defaultDrain))
		defer cancel()
		n.Drain(wait) // its error says that there was more to answer
	})
	err := n.ServeAll(serving, l)
	stop()
	return err
}
