package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"scission/engine/tensor"
	"scission/split"
)

// Throughput is what MeasureStream saw of runs that follow each other closely.
type Throughput struct {
	Samples []Sample
	// Took is from the answer before the first of them, or from the begin, to
	// the last answer.
	Took time.Duration
}

// Interval is the time from answer to answer, as split.Estimate.Interval
// predicts it.
func (t Throughput) Interval() time.Duration {
	return t.Took / time.Duration(max(len(t.Samples), 1))
}

// MeasureStream submits the inputs in turns, as often as s lets it, warmup times
// and then runs times more. answered, if not nil, is called with each answer and
// its number. The first request that fails ends the measurement with its error;
// s can then only be closed. s is not to be used by others meanwhile.
func MeasureStream(ctx context.Context, s *Stream, in [][]*tensor.Tensor, warmup, runs int, answered func(i int, a Answer)) (Throughput, error) {
	if warmup < 0 || warmup > maxRuns || runs < 1 || runs > maxRuns || len(in) == 0 {
		return Throughput{}, fmt.Errorf("run: measure %d runs after %d of %d inputs, want 1 to %d after 0 to %d of at least 1", runs, warmup, len(in), maxRuns, maxRuns)
	}
	ctx, cancel := context.WithCancel(ctx)
	submitted := make(chan error, 1)
	go func() {
		for i := range warmup + runs {
			if err := s.Submit(ctx, Request{ID: uint64(i), Inputs: in[i%len(in)]}); err != nil {
				s.End()
				submitted <- err
				return
			}
		}
		submitted <- nil
	}()
	t, err := receiveAll(ctx, s, warmup, runs, answered)
	if errors.Is(err, io.EOF) {
		err = <-submitted
		cancel()
		return t, err
	}
	cancel()
	<-submitted
	return t, err
}

// receiveAll is MeasureStream's way back.
func receiveAll(ctx context.Context, s *Stream, warmup, runs int, answered func(i int, a Answer)) (t Throughput, err error) {
	start := time.Now()
	for i := range warmup + runs {
		a, err := s.Receive(ctx)
		if err == nil {
			err = a.Err
		}
		if err != nil {
			return t, err
		}
		if i < warmup {
			start = time.Now()
		} else {
			t.Samples, t.Took = append(t.Samples, Sample{a.Began, a.Total, a.Spans}), time.Since(start)
		}
		if answered != nil {
			answered(i, a)
		}
	}
	return t, nil
}

// Part is what works on one request at a time: a host, which computes, encodes
// and decodes, or the wire of a hop.
type Part struct {
	Host string        `json:"host,omitempty"`
	Hop  *split.Hop    `json:"hop,omitempty"`
	Busy time.Duration `json:"busy_ns"` // with one run, on average
}

// Parts adds up for how long each part was busy with a run, the busiest first:
// no Stream has less time from answer to answer, as long as a host works on one
// run at a time.
func Parts(samples []Sample) []Part {
	type key struct {
		host string
		hop  split.Hop
	}
	var parts []Part
	index := map[key]int{}
	for _, sample := range samples {
		for _, s := range sample.Spans {
			p, k, busy := Part{Host: s.Host}, key{host: s.Host}, s.Took
			if s.What == Travel {
				p, k, busy = Part{Hop: s.Hop}, key{hop: *s.Hop}, s.Transfer
			}
			i, ok := index[k]
			if !ok {
				i = len(parts)
				index[k], parts = i, append(parts, p)
			}
			parts[i].Busy += busy
		}
	}
	for i := range parts {
		parts[i].Busy /= time.Duration(len(samples))
	}
	slices.SortStableFunc(parts, func(a, b Part) int { return cmp.Compare(b.Busy, a.Busy) })
	return parts
}
