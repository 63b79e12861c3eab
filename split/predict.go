package split

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
)

// ErrNoLink is wrapped by the error of a partition that needs a link which the network lacks.
var ErrNoLink = errors.New("no link")

// Position is a place where a model can be cut.
type Position struct {
	P     int   `json:"position"` // number of layers before the cut
	Bytes int64 `json:"bytes"`    // total size of the tensors that cross it
	Width int   `json:"width"`    // number of the tensors that cross it
}

// Problem is all that planning knows: a model, where it can be cut, hosts, and the network between them.
// Methods only read it, so it may be used by several goroutines at once.
type Problem struct {
	// Model is the model to plan for. Where its Digest is set all profiles must have it; where not, they must
	// agree with each other.
	Model Model
	// Layers is the number of layers.
	Layers int
	// Positions are the candidate cuts, in any order, position 0 (inputs) and Layers (outputs) among them.
	Positions []Position
	// Hosts are the hosts that may compute, in the order in which data passes them, each once.
	Hosts []string
	// Source has the inputs and wants the outputs; empty means the first of Hosts. It need not compute.
	Source string
	// Profiles are by host name, which need not be the name inside the profile: equal machines may share one.
	// Every host that computes needs one.
	Profiles map[string]*Profile
	// Network has the links; nil has none.
	Network *Network
	// Codecs are the names of the codecs allowed beside raw, which always is.
	Codecs []string
	// Tiling knows the rows of the model's images; nil where there are no tiled stages.
	Tiling Tiling
}

// StageCost is a stage and its predicted compute time.
type StageCost struct {
	Host    string        `json:"host"`
	Segment Segment       `json:"segment"`
	Compute time.Duration `json:"compute_ns"`
	// Tiles are the workers of a tiled stage, all at work at once; Compute is the longest time of one then, its
	// transfers included.
	Tiles []TileCost `json:"tiles,omitempty"`
}

// HopCost is a hop and what it costs with the codec that is fastest there.
type HopCost struct {
	Hop
	Bytes   int64         `json:"bytes"`      // size of the tensors
	Wire    int64         `json:"wire_bytes"` // size after encoding
	Codec   string        `json:"codec"`
	Encode  time.Duration `json:"encode_ns"`            // on the sender
	Travel  time.Duration `json:"travel_ns"`            // latency plus Wire over bandwidth
	Latency time.Duration `json:"latency_ns,omitempty"` // the part of Travel that does not depend on Wire
	Decode  time.Duration `json:"decode_ns"`            // on the receiver
}

// Time is the whole time of the hop.
func (h HopCost) Time() time.Duration { return h.Encode + h.Travel + h.Decode }

// Estimate is the prediction for one partition. Total is the sum of all stages and hops. The hops of tiled stages
// are among their Tiles only.
type Estimate struct {
	Partition Partition     `json:"partition"`
	Total     time.Duration `json:"total_ns"`
	Stages    []StageCost   `json:"stages"`
	Hops      []HopCost     `json:"hops,omitempty"`
	// ShipsInput warns that what first leaves the source is the input itself or a linear map of it, such as the
	// input with zeros around it: no layer with a nonlinearity has run on the source before.
	ShipsInput bool `json:"ships_input,omitempty"`
	// Accuracy is the share of right answers that the measured losses of all hops leave; 0 where the query had no
	// [AccuracyLimit].
	Accuracy float64 `json:"accuracy,omitempty"`
}

// Native says whether the estimate is for running the whole model on one host, the source or another: "do
// not split".
func (e Estimate) Native() bool { return e.Partition.Native() }

// WireBytes is the number of bytes that all hops send.
func (e Estimate) WireBytes() int64 {
	var sum int64
	for h := range e.allHops() {
		sum += h.Wire
	}
	return sum
}

// allHops goes through the hops, those of tiled stages first.
func (e Estimate) allHops() iter.Seq[*HopCost] {
	return func(yield func(*HopCost) bool) {
		for i := range e.Stages {
			for j := range e.Stages[i].Tiles {
				for _, h := range e.Stages[i].Tiles[j].hops() {
					if !yield(h) {
						return
					}
				}
			}
		}
		for i := range e.Hops {
			if !yield(&e.Hops[i]) {
				return
			}
		}
	}
}

// computing goes through the compute times of hosts.
func (e Estimate) computing() iter.Seq2[string, time.Duration] {
	return func(yield func(string, time.Duration) bool) {
		for i := range e.Stages {
			s := &e.Stages[i]
			if s.Tiles == nil && !yield(s.Host, s.Compute) {
				return
			}
			for j := range s.Tiles {
				if !yield(s.Tiles[j].Host, s.Tiles[j].Compute) {
					return
				}
			}
		}
	}
}

// compare orders estimates from best to worst: less time, then fewer hops, then fewer bytes on the wire,
// then the partition's text.
func (e Estimate) compare(f Estimate) int {
	return cmp.Or(
		cmp.Compare(e.Total, f.Total),
		cmp.Compare(len(e.Hops), len(f.Hops)),
		cmp.Compare(e.WireBytes(), f.WireBytes()),
		strings.Compare(e.Partition.String(), f.Partition.String()),
	)
}

// shown is the precision of times in text for people.
const shown = 10 * time.Microsecond

// String is one line for people: the total, the partition, where the time goes, and the codec of each hop
// where not all are raw.
func (e Estimate) String() string {
	var compute, tiled, travel, coding time.Duration
	for _, s := range e.Stages {
		if s.Tiles != nil {
			tiled += s.Compute
		} else {
			compute += s.Compute
		}
	}
	for _, h := range e.Hops {
		travel += h.Travel
		coding += h.Encode + h.Decode
	}
	s := fmt.Sprintf("%v %s (compute %v", e.Total.Round(shown), e.Partition, compute.Round(shown))
	if tiled > 0 {
		s += fmt.Sprintf(", tiled with its transfers %v", tiled.Round(shown))
	}
	if len(e.Hops) > 0 {
		s += fmt.Sprintf(", travel %v, coding %v, %d hops%s, %d bytes",
			travel.Round(shown), coding.Round(shown), len(e.Hops), e.codecs(), e.WireBytes())
	}
	if e.Accuracy > 0 {
		s += fmt.Sprintf(", top-1 %.4g %%", 100*e.Accuracy)
	}
	return s + ")"
}

// codecs is ": " and the codec of each hop, or nothing where all are raw.
func (e Estimate) codecs() string {
	names, raw := make([]string, len(e.Hops)), true
	for i, h := range e.Hops {
		names[i], raw = h.Codec, raw && h.Codec == RawCodec
	}
	if raw {
		return ""
	}
	return ": " + strings.Join(names, " ")
}

// Predict prices one partition: its stages, and the hops that [Hops] lists for it. Every cut must be one of
// the Positions, of any width; hosts need a profile but need not be among Hosts.
func (pb Problem) Predict(p Partition) (Estimate, error) {
	t, err := pb.tables()
	if err != nil {
		return Estimate{}, fmt.Errorf("split: predict: %w", err)
	}
	return t.predict(p)
}

func (t *tables) predict(p Partition) (Estimate, error) {
	e, err := t.estimate(p)
	if err != nil {
		return Estimate{}, fmt.Errorf("split: predict %.200q: %w", p.String(), err)
	}
	return e, nil
}

// estimate is Predict without the context in its errors.
func (t *tables) estimate(p Partition) (Estimate, error) {
	if err := p.validate(t.Layers); err != nil {
		return Estimate{}, err
	}
	e := Estimate{Partition: p}
	first := t.Layers + 1 // where data first leaves the source
	for _, s := range p {
		if t.index[s.Segment.From] < 0 {
			return Estimate{}, fmt.Errorf("cut at position %d is not one of the model's cuts", s.Segment.From)
		}
		c, err := t.stage(s)
		if err != nil {
			return Estimate{}, err
		}
		e.Stages = append(e.Stages, c)
		e.Total += c.Compute
		if c.Tiles != nil {
			first = min(first, s.Segment.From)
		}
	}
	for _, h := range Hops(p, t.Source, t.Network.Linked) {
		if h.Tile {
			continue
		}
		c, err := t.price(h)
		if err != nil {
			return Estimate{}, err
		}
		e.Hops = append(e.Hops, *c)
		e.Total += c.Time()
	}
	if len(e.Hops) > 0 {
		first = min(first, e.Hops[0].Position)
	}
	if first <= t.Layers {
		e.ShipsInput = t.nonlinear[first] == 0
	}
	if t.allowance != nil {
		e.Accuracy = t.share(&e)
	}
	return e, nil
}

// stage prices a stage.
func (t *tables) stage(s Stage) (StageCost, error) {
	if s.Tiled() {
		return t.tileStage(s)
	}
	host := t.host(s.Host)
	if host == nil {
		return StageCost{}, fmt.Errorf("host %s has no profile", s.Host)
	}
	return StageCost{Host: s.Host, Segment: s.Segment, Compute: host.compute(s.Segment)}, nil
}
