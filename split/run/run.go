// Package run runs the stages of a partition, here and on other hosts, and
// times them.
//
// There is one way to run: Node.Open gives a Runner for the stages of a
// deployment, and the Runner's Run returns the results together with spans,
// the times of its parts. A whole-model run, a benchmark, a profile and a
// distributed execution differ in their stages only. Measure repeats a run;
// the package has no other timing.
//
// A Stream of an Execution has many runs in flight at once.
//
// Only durations cross hosts, never points in time, since clocks differ. Where a
// span of another host lies in a run is estimated from them; see Span.Skew.
//
// The package is given graphs and knows no file format. It imports engine,
// transport, split and split/cut.
package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split"
)

// Runner runs a deployment. It is not safe for concurrent use.
type Runner interface {
	// Run sends the inputs through all stages. The results, and only they,
	// are valid until the next Run or Close. The spans are in the order in
	// which their work was done. When ctx ends, all hosts stop. After that,
	// and after any other error that is ErrBroken, a Runner can only be closed.
	Run(ctx context.Context, in []*tensor.Tensor) (out []*tensor.Tensor, spans []Span, err error)
	// Close ends the deployment on all hosts.
	Close() error
}

// What says what a span is the time of.
type What string

// What a host or a link does during a run.
const (
	Compute What = "compute"
	Encode  What = "encode"
	Travel  What = "travel"
	Decode  What = "decode"
)

// Span is the time of a part of one run.
type Span struct {
	What What          `json:"what"`
	Host string        `json:"host,omitempty"` // that computes, encodes or decodes
	Took time.Duration `json:"took_ns"`

	// At is when it began, from the begin of the run by the clock of the host
	// that began it. Skew is by how much that may be wrong, in either
	// direction, since other hosts' clocks are compared with that one through
	// the messages of this run: half of the time that they spent on the network
	// beyond their transfer. It is 0 on the host itself.
	At   time.Duration `json:"at_ns"`
	Skew time.Duration `json:"skew_ns,omitempty"`

	// Of Compute: the layers, and if the deployment asks for it the time of
	// each. Layers that the optimiser has joined count for the first of them.
	Segment *split.Segment  `json:"segment,omitempty"`
	Layers  []time.Duration `json:"layers_ns,omitempty"`

	// Of the others: the transfer.
	Hop   *split.Hop `json:"hop,omitempty"`
	Codec string     `json:"codec,omitempty"`
	Bytes int        `json:"bytes,omitempty"` // on the wire

	// Of Travel: the part of the time from the first to the last byte, as the
	// receiver saw them; the rest is latency, and waiting behind other runs.
	Transfer time.Duration `json:"transfer_ns,omitempty"`
}

// Model is a network as the host holds it that opens a deployment.
type Model struct {
	Name   string // for people
	Digest string // of the content, in hexadecimal, for profiles
	Graph  *graph.Graph
	// Shapes are the shapes of the inputs for which Graph was built.
	Shapes map[string]tensor.Shape
	// Content is the model's file, for workers that lack it. It may be nil when
	// all stages are local.
	Content *Content
}

// Deployment is what to run and where.
type Deployment struct {
	Model  Model
	Stages split.Partition
	// Codecs says with which codec a hop sends; raw where it does not say.
	Codecs map[split.Hop]string
	// Alternatives are lossless codecs that a hop, if its own is lossless and
	// not raw, may send with when data has changed so that its own does not
	// shrink it any more; and if none does, raw. Results do not depend on it.
	Alternatives []string
	// Lossy allows codecs that change what they send. Without it such codecs
	// are refused with ErrLossy, and no host takes what one has sent.
	Lossy bool
	// Layers asks for the time of every layer in the spans of Compute.
	Layers bool
}

// Errors that callers decide about, for errors.Is.
var (
	// ErrRemote: another host failed; the error names it and says how.
	ErrRemote = errors.New("remote host failed")
	// ErrUnknownHost: no address is known for a stage's host.
	ErrUnknownHost = errors.New("unknown host")
	// ErrNoModel: the host does not hold the model, or not the part that it is to run.
	ErrNoModel = errors.New("model not in the store")
	// ErrLossy: a codec that changes what it sends, which is not allowed.
	ErrLossy = errors.New("lossy codec not allowed")
	// ErrBusy: the host serves as many connections as it may.
	ErrBusy = errors.New("busy")
	// ErrBroken: a connection of the deployment has ended, so that it can only
	// be closed.
	ErrBroken = errors.New("deployment is broken")
	// ErrDraining: the host is about to end and takes no more requests.
	ErrDraining = errors.New("draining")
	// ErrClosed: the Stream takes no more requests.
	ErrClosed = errors.New("stream is closed")
)

// Sample is what Measure saw of one run.
type Sample struct {
	Began time.Time     `json:"began"` // by this host's clock; the spans' At is from here
	Total time.Duration `json:"total_ns"`
	Spans []Span        `json:"spans"`
}

// maxRuns bounds the runs of Measure, all of which are kept.
const maxRuns = 1 << 20

// Measure runs r on the inputs warmup times and then runs times more, of which
// it returns a sample each. progress, if not nil, is called after each run.
func Measure(ctx context.Context, r Runner, in []*tensor.Tensor, warmup, runs int, progress func(done, of int)) ([]Sample, error) {
	if warmup < 0 || warmup > maxRuns || runs < 1 || runs > maxRuns {
		return nil, fmt.Errorf("run: measure %d runs after %d, want 1 to %d after 0 to %d", runs, warmup, maxRuns, maxRuns)
	}
	var samples []Sample
	for i := range warmup + runs {
		start := time.Now()
		_, spans, err := r.Run(ctx, in)
		if err != nil {
			return nil, err
		}
		if took := time.Since(start); i >= warmup {
			samples = append(samples, Sample{start, took, spans})
		}
		if progress != nil {
			progress(i+1, warmup+runs)
		}
	}
	return samples, nil
}

// pipeline runs its runners one after the other.
type pipeline []Runner

func (p pipeline) Run(ctx context.Context, in []*tensor.Tensor) ([]*tensor.Tensor, []Span, error) {
	var all []Span
	begin := time.Now()
	for _, r := range p {
		start := time.Now()
		out, spans, err := r.Run(ctx, in)
		if err != nil {
			return nil, nil, err
		}
		in, all = out, appendSpans(all, spans, start.Sub(begin), 0)
	}
	return in, all, nil
}

// lost returns why a part of the pipeline cannot go on, or nil.
func (p pipeline) lost() error {
	for _, r := range p {
		if r, ok := r.(interface{ lost() error }); ok {
			if err := r.lost(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p pipeline) Close() error {
	var errs []error
	for _, r := range p {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}
