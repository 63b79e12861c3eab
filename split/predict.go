package split

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
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
}

// StageCost is a stage and its predicted compute time.
type StageCost struct {
	Host    string        `json:"host"`
	Segment Segment       `json:"segment"`
	Compute time.Duration `json:"compute_ns"`
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

// Estimate is the prediction for one partition. Total is the sum of all stages and hops.
type Estimate struct {
	Partition Partition     `json:"partition"`
	Total     time.Duration `json:"total_ns"`
	Stages    []StageCost   `json:"stages"`
	Hops      []HopCost     `json:"hops,omitempty"`
	// ShipsInput warns that what first leaves the source is the input itself or a linear map of it, such as the
	// input with zeros around it: no layer with a nonlinearity has run on the source before.
	ShipsInput bool `json:"ships_input,omitempty"`
}

// Native says whether the estimate is for running the whole model on one host, the source or another: "do
// not split".
func (e Estimate) Native() bool { return e.Partition.Native() }

// WireBytes is the number of bytes that all hops send.
func (e Estimate) WireBytes() int64 {
	var sum int64
	for _, h := range e.Hops {
		sum += h.Wire
	}
	return sum
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

// String is one line for people: the total, the partition, and where the time goes.
func (e Estimate) String() string {
	var compute, travel, coding time.Duration
	for _, s := range e.Stages {
		compute += s.Compute
	}
	for _, h := range e.Hops {
		travel += h.Travel
		coding += h.Encode + h.Decode
	}
	s := fmt.Sprintf("%v %s (compute %v", e.Total.Round(shown), e.Partition, compute.Round(shown))
	if len(e.Hops) > 0 {
		s += fmt.Sprintf(", travel %v, coding %v, %d hops, %d bytes",
			travel.Round(shown), coding.Round(shown), len(e.Hops), e.WireBytes())
	}
	return s + ")"
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

// tables is a checked Problem with its costs computed once.
type tables struct {
	Problem
	at      map[int]Position
	order   []int                      // the positions, ascending
	elapsed map[string][]time.Duration // by host: elapsed[i] is the time of layers [0, i) in the whole model
	enter   map[string][]time.Duration // by host and position: what a stage that begins there takes longer
	leave   map[string][]time.Duration // likewise for one that ends there
	// nonlinear[i] is how many of layers [0, i) have a nonlinearity.
	nonlinear []int
	noRaw     bool // tensors may not be sent as they are
	hops      map[Hop]pricedHop
	ready     bool // hops is not written any more
}

type pricedHop struct {
	cost *HopCost
	err  error
}

// tables checks the problem.
func (pb Problem) tables() (*tables, error) {
	if pb.Layers < 1 || pb.Layers > MaxLayers {
		return nil, fmt.Errorf("model has %d layers, want 1 to %d", pb.Layers, MaxLayers)
	}
	if len(pb.Hosts) == 0 || len(pb.Hosts) > MaxStages {
		return nil, fmt.Errorf("got %d hosts, want 1 to %d", len(pb.Hosts), MaxStages)
	}
	t := &tables{Problem: pb, at: map[int]Position{}, elapsed: map[string][]time.Duration{},
		enter: map[string][]time.Duration{}, leave: map[string][]time.Duration{}, hops: map[Hop]pricedHop{}}
	if t.Source == "" {
		t.Source = pb.Hosts[0]
	}
	if err := t.checkPositions(); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, host := range pb.Hosts {
		if err := checkHost(host); err != nil {
			return nil, err
		}
		if seen[host] {
			return nil, fmt.Errorf("host %s is given twice", host)
		}
		seen[host] = true
		if pb.Profiles[host] == nil {
			return nil, fmt.Errorf("host %s has no profile", host)
		}
	}
	if err := t.checkProfiles(); err != nil {
		return nil, err
	}
	t.nonlinear = make([]int, t.Layers+1)
	for i, l := range t.described() {
		t.nonlinear[i+1] = t.nonlinear[i]
		if l.Nonlinear() {
			t.nonlinear[i+1]++
		}
	}
	return t, nil
}

// without is the tables with fewer codecs.
func (t *tables) without(codecs []string) *tables {
	if len(codecs) == 0 {
		return t
	}
	fewer := *t
	fewer.Codecs = slices.DeleteFunc(slices.Clone(t.Codecs), func(c string) bool { return slices.Contains(codecs, c) })
	fewer.noRaw = slices.Contains(codecs, RawCodec)
	fewer.hops, fewer.ready = map[Hop]pricedHop{}, false
	return &fewer
}

func (t *tables) checkPositions() error {
	for _, p := range t.Positions {
		if p.P < 0 || p.P > t.Layers {
			return fmt.Errorf("position %d, want 0 to %d", p.P, t.Layers)
		}
		if p.Bytes < 0 || p.Bytes > MaxBytes {
			return fmt.Errorf("position %d: %d bytes, want 0 to %d", p.P, p.Bytes, int64(MaxBytes))
		}
		if _, ok := t.at[p.P]; ok {
			return fmt.Errorf("position %d is given twice", p.P)
		}
		t.at[p.P] = p
	}
	t.order = sortedKeys(t.at)
	for _, p := range []int{0, t.Layers} {
		if _, ok := t.at[p]; !ok {
			return fmt.Errorf("position %d is missing: the sizes of inputs (position 0) and outputs (%d) are needed", p, t.Layers)
		}
	}
	return nil
}

// checkProfiles checks that all profiles are valid and of this model, and sums up the layers' times.
func (t *tables) checkProfiles() error {
	first, want := "the problem", t.Model
	for _, host := range sortedKeys(t.Profiles) {
		p := t.Profiles[host]
		if p == nil {
			continue
		}
		if err := p.validate(); err != nil {
			return fmt.Errorf("profile of host %s: %w", host, err)
		}
		if want.Digest == "" {
			first, want = "host "+host, p.Model
		}
		if p.Model.Digest != want.Digest {
			return fmt.Errorf("host %s was profiled with model %q (digest %s), %s has model %q (digest %s)",
				host, p.Model.Name, p.Model.Digest, first, want.Name, want.Digest)
		}
		if len(p.Layers) != t.Layers {
			return fmt.Errorf("host %s was profiled with %d layers, want %d", host, len(p.Layers), t.Layers)
		}
		for _, c := range p.Cuts {
			if at, ok := t.at[c.Position]; ok && at.Bytes != c.Bytes {
				return fmt.Errorf("host %s was profiled with %d bytes at position %d, want %d", host, c.Bytes, c.Position, at.Bytes)
			}
		}
		t.elapsed[host] = p.elapsed()
		enter, leave := make([]time.Duration, t.Layers+1), make([]time.Duration, t.Layers+1)
		for _, c := range p.Cuts {
			enter[c.Position], leave[c.Position] = c.Enter.Median(), c.Leave.Median()
		}
		t.enter[host], t.leave[host] = enter, leave
	}
	return nil
}

// compute is the time of a stage on a host that has a profile.
func (t *tables) compute(host string, s Segment) time.Duration {
	return t.elapsed[host][s.To] - t.elapsed[host][s.From] + t.enter[host][s.From] + t.leave[host][s.To]
}

// longest bounds the time of a stage on a host that has a profile.
func (t *tables) longest(host string) time.Duration {
	return t.elapsed[host][t.Layers] + slices.Max(t.enter[host]) + slices.Max(t.leave[host])
}

func (t *tables) estimate(p Partition) (Estimate, error) {
	if err := p.validate(t.Layers); err != nil {
		return Estimate{}, err
	}
	e := Estimate{Partition: p}
	for _, s := range p {
		if t.elapsed[s.Host] == nil {
			return Estimate{}, fmt.Errorf("host %s has no profile", s.Host)
		}
		c := StageCost{s.Host, s.Segment, t.compute(s.Host, s.Segment)}
		e.Stages = append(e.Stages, c)
		e.Total += c.Compute
		if _, ok := t.at[s.Segment.From]; !ok {
			return Estimate{}, fmt.Errorf("cut at position %d is not one of the model's cuts", s.Segment.From)
		}
	}
	for _, h := range Hops(p, t.Source, t.Network.Linked) {
		c, err := t.price(h)
		if err != nil {
			return Estimate{}, err
		}
		e.Hops = append(e.Hops, *c)
		e.Total += c.Time()
	}
	if len(e.Hops) > 0 {
		e.ShipsInput = t.nonlinear[e.Hops[0].Position] == 0
	}
	return e, nil
}

// price finds the fastest codec for a hop; on equal time the one with fewer bytes, then raw, then the first
// in Codecs.
func (t *tables) price(h Hop) (*HopCost, error) {
	known, ok := t.hops[h]
	if !ok {
		known.cost, known.err = t.priceNew(h)
		if !t.ready {
			t.hops[h] = known
		}
	}
	return known.cost, known.err
}

func (t *tables) priceNew(h Hop) (*HopCost, error) {
	link, ok := t.Network.Link(h.From, h.To)
	if !ok {
		return nil, fmt.Errorf("%w from %s to %s", ErrNoLink, h.From, h.To)
	}
	sender, receiver := t.Profiles[h.From].Cut(h.Position), t.Profiles[h.To].Cut(h.Position)
	raw := HopCost{Hop: h, Codec: RawCodec, Bytes: t.at[h.Position].Bytes, Latency: link.Latency}
	raw.Wire = raw.Bytes
	if c := sender.codec(RawCodec); c != nil {
		raw.Wire, raw.Encode = c.WireBytes, c.Encode.Median()
	}
	if c := receiver.codec(RawCodec); c != nil {
		raw.Decode = c.Decode.Median()
	}
	raw.Travel = link.Travel(raw.Wire)
	best, found := raw, !t.noRaw
	for _, name := range t.Codecs {
		encoder, decoder := sender.codec(name), receiver.codec(name)
		if name == RawCodec || encoder == nil || decoder == nil {
			continue
		}
		c := raw
		c.Codec, c.Wire = name, encoder.WireBytes
		c.Encode, c.Travel, c.Decode = encoder.Encode.Median(), link.Travel(c.Wire), decoder.Decode.Median()
		if !found || cmp.Or(cmp.Compare(c.Time(), best.Time()), cmp.Compare(c.Wire, best.Wire)) < 0 {
			best, found = c, true
		}
	}
	if !found {
		return nil, fmt.Errorf("%w from %s to %s at position %d with the codecs that are left", ErrNoLink, h.From, h.To, h.Position)
	}
	return &best, nil
}
