package main

import (
	"context"
	"fmt"
	"io"
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

// measurePipeline runs the inputs in turns, o.runs times each, as many at once
// as o.depth says. It sets r.Throughput.
func (r *execReport) measurePipeline(ctx context.Context, e *run.Execution, in [][]*tensor.Tensor, o execOptions, progress func(done, of int)) ([]run.Sample, [][]*tensor.Tensor, error) {
	s, err := e.Stream(run.StreamOptions{Depth: o.depth})
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	warmup, runs := max(o.warmup, s.Depth()), o.runs*len(in)
	all := make([][]*tensor.Tensor, len(in))
	t, err := run.MeasureStream(ctx, s, in, warmup, runs, func(i int, a run.Answer) {
		if i < len(in) {
			all[i] = cloneAll(a.Outputs)
		}
		progress(i+1, warmup+runs)
	})
	if err != nil {
		return nil, nil, err
	}
	r.Throughput = &throughputReport{
		Depth: s.Depth(), PerSecond: 1 / t.Interval().Seconds(), Interval: t.Interval(), Parts: run.Parts(t.Samples),
	}
	r.Throughput.Share = r.Throughput.Parts[0].Busy.Seconds() / t.Interval().Seconds()
	return t.Samples, all, nil
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
