package split

import (
	"fmt"
	"time"
)

const (
	// MaxLoad is the largest factor of [Planner.Under] on a host's compute times.
	MaxLoad = 1000
	// maxLoaded bounds the compute time of a host under a load, so that sums stay within 64 bits.
	maxLoaded = time.Duration(1) << 61
)

// Under is a planner for the same problem under other conditions: with the links of a network instead of the
// problem's, and with compute times of hosts multiplied by load, by host name; a host that is not in it
// computes as profiled. It takes none of the work of [Problem.Prepare] that depends on the profiles alone.
// The network must not change while the planner is in use.
func (p *Planner) Under(n *Network, load map[string]float64) (*Planner, error) {
	t := *p.t
	t.connect(n)
	for _, host := range sortedKeys(load) {
		factor := load[host]
		if !(factor > 0 && factor <= MaxLoad) {
			return nil, fmt.Errorf("split: load of host %.80q is %g, want more than 0 and at most %d", host, factor, MaxLoad)
		}
		i, known := t.number[host]
		if !known || t.hosts[i].profile == nil || factor == 1 {
			continue
		}
		if longest := t.hosts[i].longest(); float64(longest)*factor > float64(maxLoaded) {
			return nil, fmt.Errorf("split: load %g of host %.80q, which computes for up to %v, is out of range", factor, host, longest)
		}
		t.load(i, factor)
	}
	t.prepare()
	return &Planner{&t}, nil
}

// PredictWith is [Planner.Predict] for a partition that runs already: a hop that codecs names is priced with
// that codec, whichever is fastest there; all others as ever.
func (p *Planner) PredictWith(partition Partition, codecs map[Hop]string) (Estimate, error) {
	e, err := p.t.predict(partition)
	if err != nil {
		return Estimate{}, err
	}
	for i := range e.Hops {
		h := &e.Hops[i]
		name, named := codecs[h.Hop]
		if !named || name == h.Codec {
			continue
		}
		e.Total -= h.Time()
		if err := p.t.recode(h, name); err != nil {
			return Estimate{}, fmt.Errorf("split: predict %.200q: %w", partition.String(), err)
		}
		e.Total += h.Time()
	}
	return e, nil
}

// recode prices a hop with another codec.
func (t *tables) recode(h *HopCost, name string) error {
	from, to, at := t.number[h.From], t.number[h.To], t.index[h.Position]
	encoder, decoder := t.hosts[from].codec(at, name), t.hosts[to].codec(at, name)
	if name != RawCodec && (encoder == nil || decoder == nil) {
		return fmt.Errorf("hop %v: codec %.40q was not profiled at both ends", h.Hop, name)
	}
	h.Codec, h.Wire, h.Encode, h.Decode = name, h.Bytes, 0, 0
	if encoder != nil {
		h.Wire, h.Encode = encoder.wire, encoder.encode
	}
	if decoder != nil {
		h.Decode = decoder.decode
	}
	h.Travel = t.links[from*len(t.hosts)+to].Travel(h.Wire)
	return nil
}
