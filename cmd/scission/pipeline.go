package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"scission/engine/tensor"
	"scission/split/run"
)

// throughputReport is what many runs at once came to.
type throughputReport struct {
	Depth     int           `json:"depth"` // runs on their way at once
	PerSecond float64       `json:"runs_per_second"`
	Interval  time.Duration `json:"interval_ns"` // from answer to answer
	// Parts are the hosts and hops, the busiest first.
	Parts []run.Part `json:"parts"`
	// Share is the part of the time for which the busiest part was busy.
	Share     float64       `json:"share"`
	Predicted time.Duration `json:"predicted_interval_ns,omitempty"`
}

// measurePipeline has r run the inputs in turns, depth at once, warmup times and
// then runs times more. It returns what the latter came to, and the outputs for
// each input. The first run that fails ends it.
func measurePipeline(ctx context.Context, r *punctual, in [][]*tensor.Tensor, depth, warmup, runs int, progress func(done, of int)) (run.Throughput, [][]*tensor.Tensor, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var asked atomic.Int64
	var mu sync.Mutex // of the rest
	var t run.Throughput
	var start time.Time // of the interval before the first answer that counts
	answered, all := 0, make([][]*tensor.Tensor, len(in))
	for range depth {
		wg.Go(func() {
			for {
				i := int(asked.Add(1)) - 1
				if i >= warmup+runs {
					return
				}
				began := time.Now()
				out, spans, err := r.Run(ctx, in[i%len(in)])
				if err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				if answered++; answered <= warmup {
					start = time.Now()
				} else {
					t.Samples, t.Took = append(t.Samples, run.Sample{Began: began, Total: time.Since(began), Spans: spans}), time.Since(start)
				}
				if i < len(in) {
					all[i] = out
				}
				progress(answered, warmup+runs)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return t, all, context.Cause(ctx)
}

// newThroughputReport describes runs of which depth were on their way at once.
// Those that went as planned are samples.
func newThroughputReport(depth int, t run.Throughput, samples []run.Sample) *throughputReport {
	r := &throughputReport{Depth: depth, PerSecond: 1 / t.Interval().Seconds(), Interval: t.Interval(), Parts: run.Parts(samples)}
	r.Share = r.Parts[0].Busy.Seconds() / t.Interval().Seconds()
	return r
}

func (t *throughputReport) print(w io.Writer) {
	busiest := t.Parts[0]
	name := busiest.Host
	if busiest.Hop != nil {
		name = busiest.Hop.String()
	}
	fmt.Fprintf(w, "throughput: %.4g runs/s, one every %s with %d on their way; %s is busy for %.1f%% of that", t.PerSecond, ms(t.Interval), t.Depth, name, 100*t.Share)
	if t.Predicted > 0 {
		fmt.Fprintf(w, "; predicted %s, measured %+.1f%%", ms(t.Predicted), 100*float64(t.Interval-t.Predicted)/float64(t.Predicted))
	}
	fmt.Fprintln(w)
}
