package split

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// tables is a checked Problem with its costs computed once. In it hosts have numbers: first those of Hosts in
// order, then all others that have a profile or are the source.
type tables struct {
	Problem
	hosts  []hostTable
	number map[string]int // by name
	source int
	order  []Position // ascending
	index  []int      // by number of layers: which in order the position is, or -1
	links  []*Link    // by number from*len(hosts)+to; nil where there is none
	// nonlinear[i] is how many of layers [0, i) have a nonlinearity.
	nonlinear []int
	noRaw     bool // tensors may not be sent as they are
	allowance *allowance
	smaller   float64 // where it is not 0, the factor on what goes from stage to stage
	// rates are what hops cost, by number from*len(hosts)+to and by index of the position; computed when
	// needed, until ready says that all that are needed are.
	rates [][]HopCost
	ready bool
}

// hostTable is what is known of one host.
type hostTable struct {
	name    string
	profile *Profile // nil for a source that has none
	// elapsed[i] is the time of layers [0, i) in the whole model; enter and leave are what a stage that begins,
	// or ends, before layer i takes longer.
	elapsed, enter, leave []time.Duration
	coding                [][]coding // by index of the position
	weights               []int64    // weights[i] is the bytes of the constants of layers [0, i)
}

// coding is what a codec does to what crosses a cut, on one host.
type coding struct {
	name           string
	wire           int64
	encode, decode time.Duration
}

// tables checks the problem.
func (pb Problem) tables() (*tables, error) {
	if pb.Layers < 1 || pb.Layers > MaxLayers {
		return nil, fmt.Errorf("model has %d layers, want 1 to %d", pb.Layers, MaxLayers)
	}
	if len(pb.Hosts) == 0 || len(pb.Hosts) > MaxStages {
		return nil, fmt.Errorf("got %d hosts, want 1 to %d", len(pb.Hosts), MaxStages)
	}
	t := &tables{Problem: pb, number: map[string]int{}}
	if t.Source == "" {
		t.Source = pb.Hosts[0]
	}
	if err := t.checkPositions(); err != nil {
		return nil, err
	}
	if err := t.checkHosts(); err != nil {
		return nil, err
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
	t.connect(t.Network)
	return t, nil
}

func (t *tables) checkPositions() error {
	t.index = make([]int, t.Layers+1)
	for i := range t.index {
		t.index[i] = -1
	}
	t.order = slices.SortedFunc(slices.Values(t.Positions), func(a, b Position) int { return cmp.Compare(a.P, b.P) })
	for i, p := range t.order {
		if p.P < 0 || p.P > t.Layers {
			return fmt.Errorf("position %d, want 0 to %d", p.P, t.Layers)
		}
		if p.Bytes < 0 || p.Bytes > MaxBytes {
			return fmt.Errorf("position %d: %d bytes, want 0 to %d", p.P, p.Bytes, int64(MaxBytes))
		}
		if t.index[p.P] >= 0 {
			return fmt.Errorf("position %d is given twice", p.P)
		}
		t.index[p.P] = i
	}
	for _, p := range []int{0, t.Layers} {
		if t.index[p] < 0 {
			return fmt.Errorf("position %d is missing: the sizes of inputs (position 0) and outputs (%d) are needed", p, t.Layers)
		}
	}
	return nil
}

// checkHosts gives the hosts their numbers.
func (t *tables) checkHosts() error {
	for i, host := range t.Hosts {
		if err := checkHost(host); err != nil {
			return err
		}
		if _, twice := t.number[host]; twice {
			return fmt.Errorf("host %s is given twice", host)
		}
		t.number[host] = i
		if t.Profiles[host] == nil {
			return fmt.Errorf("host %s has no profile", host)
		}
	}
	names := slices.Clone(t.Hosts)
	for _, host := range append(sortedKeys(t.Profiles), t.Source) {
		if _, known := t.number[host]; !known && (host == t.Source || t.Profiles[host] != nil) {
			t.number[host] = len(names)
			names = append(names, host)
		}
	}
	t.source = t.number[t.Source]
	for _, host := range names {
		t.hosts = append(t.hosts, hostTable{name: host, profile: t.Profiles[host]})
	}
	return nil
}

// checkProfiles checks that all profiles are valid and of this model, and sums up what they say.
func (t *tables) checkProfiles() error {
	first, want := "the problem", t.Model
	for _, name := range sortedKeys(t.Profiles) {
		p := t.Profiles[name]
		if p == nil {
			continue
		}
		if err := p.validate(); err != nil {
			return fmt.Errorf("profile of host %s: %w", name, err)
		}
		if want.Digest == "" {
			first, want = "host "+name, p.Model
		}
		if p.Model.Digest != want.Digest {
			return fmt.Errorf("host %s was profiled with model %q (digest %s), %s has model %q (digest %s)",
				name, p.Model.Name, p.Model.Digest, first, want.Name, want.Digest)
		}
		if len(p.Layers) != t.Layers {
			return fmt.Errorf("host %s was profiled with %d layers, want %d", name, len(p.Layers), t.Layers)
		}
		h := &t.hosts[t.number[name]]
		h.elapsed = p.elapsed()
		h.enter, h.leave = make([]time.Duration, t.Layers+1), make([]time.Duration, t.Layers+1)
		h.coding = make([][]coding, len(t.order))
		for _, c := range p.Cuts {
			h.enter[c.Position], h.leave[c.Position] = c.Enter.Median(), c.Leave.Median()
			at := t.index[c.Position]
			if at < 0 {
				continue
			}
			if t.order[at].Bytes != c.Bytes {
				return fmt.Errorf("host %s was profiled with %d bytes at position %d, want %d", name, c.Bytes, c.Position, t.order[at].Bytes)
			}
			for _, k := range c.Codecs {
				h.coding[at] = append(h.coding[at], coding{k.Name, k.WireBytes, k.Encode.Median(), k.Decode.Median()})
			}
		}
		h.weights = make([]int64, t.Layers+1)
		for i, l := range p.Layers {
			h.weights[i+1] = h.weights[i] + l.Weights
		}
	}
	return nil
}

// connect puts the links of a network between the hosts.
func (t *tables) connect(n *Network) {
	t.Network = n
	t.links = make([]*Link, len(t.hosts)*len(t.hosts))
	t.rates, t.ready = make([][]HopCost, len(t.links)), false
	for _, l := range n.Links() {
		from, known := t.number[l.From]
		to, knownToo := t.number[l.To]
		if known && knownToo {
			t.links[from*len(t.hosts)+to] = &l.Link
		}
	}
}

// prepare computes the rates of all hops on which data goes from host to host in a row, after which the tables
// are only read.
func (t *tables) prepare() {
	for i := range t.links {
		from, to := i/len(t.hosts), i%len(t.hosts)
		if from == t.source || to == t.source || from < to && to < len(t.Hosts) {
			t.rate(from, to)
		}
	}
	t.ready = true
}

// without is the tables with fewer codecs.
func (t *tables) without(codecs []string) *tables {
	if len(codecs) == 0 {
		return t
	}
	fewer := *t
	fewer.Codecs = slices.DeleteFunc(slices.Clone(t.Codecs), func(c string) bool { return slices.Contains(codecs, c) })
	fewer.noRaw = slices.Contains(codecs, RawCodec)
	fewer.rates, fewer.ready = make([][]HopCost, len(t.rates)), false
	return &fewer
}

// widen puts a factor on the bandwidth between two hosts, both ways. Like shrink and load it leaves alone what
// a copy of the tables shares with others.
func (t *tables) widen(a, b int, factor float64) {
	t.links, t.rates, t.ready = slices.Clone(t.links), slices.Clone(t.rates), false
	for _, i := range []int{a*len(t.hosts) + b, b*len(t.hosts) + a} {
		l := *t.links[i]
		l.Bandwidth *= factor
		t.links[i], t.rates[i] = &l, nil
	}
}

// shrink puts a factor on the bytes on the wire of what goes from stage to stage.
func (t *tables) shrink(factor float64) {
	t.smaller = factor
	t.rates, t.ready = make([][]HopCost, len(t.rates)), false
}

// load puts a factor on the compute times of a host.
func (t *tables) load(host int, factor float64) {
	t.hosts = slices.Clone(t.hosts)
	h := &t.hosts[host]
	for _, times := range []*[]time.Duration{&h.elapsed, &h.enter, &h.leave} {
		longer := make([]time.Duration, len(*times))
		for i, d := range *times {
			longer[i] = time.Duration(math.Round(float64(d) * factor))
		}
		*times = longer
	}
}

// linked says whether there are links between two hosts in both directions.
func (t *tables) linked(a, b int) bool {
	return t.links[a*len(t.hosts)+b] != nil && t.links[b*len(t.hosts)+a] != nil
}

// host finds a host that has a profile, or nil.
func (t *tables) host(name string) *hostTable {
	if i, ok := t.number[name]; ok && t.hosts[i].profile != nil {
		return &t.hosts[i]
	}
	return nil
}

// compute is the time of a stage.
func (h *hostTable) compute(s Segment) time.Duration {
	return h.elapsed[s.To] - h.elapsed[s.From] + h.enter[s.From] + h.leave[s.To]
}

// longest bounds the time of a stage.
func (h *hostTable) longest() time.Duration {
	return h.elapsed[len(h.elapsed)-1] + slices.Max(h.enter) + slices.Max(h.leave)
}

// codec finds what a codec does at an index of a position, or nil.
func (h *hostTable) codec(at int, name string) *coding {
	if h.profile == nil {
		return nil
	}
	for i := range h.coding[at] {
		if h.coding[at][i].name == name {
			return &h.coding[at][i]
		}
	}
	return nil
}

// price is what a hop costs. The position must be one of the model's cuts.
func (t *tables) price(h Hop) (*HopCost, error) {
	from, to := t.number[h.From], t.number[h.To]
	if t.links[from*len(t.hosts)+to] == nil {
		return nil, fmt.Errorf("%w from %s to %s", ErrNoLink, h.From, h.To)
	}
	c := t.cheapest(from, to, t.index[h.Position])
	if !c.possible() {
		return nil, fmt.Errorf("%w from %s to %s at position %d with the codecs that are left", ErrNoLink, h.From, h.To, h.Position)
	}
	return &c, nil
}

// pricePart is price for so many bytes of what crosses the cut.
func (t *tables) pricePart(h Hop, bytes int64) (*HopCost, error) {
	all := t.index[h.Position]
	if all < 0 {
		return nil, fmt.Errorf("cut at position %d is not one of the model's cuts", h.Position)
	}
	from, to := t.number[h.From], t.number[h.To]
	link := t.links[from*len(t.hosts)+to]
	if link == nil {
		return nil, fmt.Errorf("%w from %s to %s", ErrNoLink, h.From, h.To)
	}
	whole := t.cheapest(from, to, all)
	if !whole.possible() {
		return nil, fmt.Errorf("%w from %s to %s at position %d with the codecs that are left", ErrNoLink, h.From, h.To, h.Position)
	}
	part := 0.0
	if whole.Bytes > 0 {
		part = float64(bytes) / float64(whole.Bytes)
	}
	c := whole
	c.Hop, c.Bytes, c.Wire = h, bytes, int64(math.Round(part*float64(whole.Wire)))
	c.Encode, c.Decode = time.Duration(math.Round(part*float64(whole.Encode))), time.Duration(math.Round(part*float64(whole.Decode)))
	c.Travel = link.Travel(c.Wire)
	return &c, nil
}

// possible says whether there is a codec for the hop.
func (h *HopCost) possible() bool { return h.Codec != "" }

// rate is what hops over a link cost, by index of the position; nil where there is no link.
func (t *tables) rate(from, to int) []HopCost {
	i := from*len(t.hosts) + to
	if t.links[i] == nil || t.rates[i] != nil {
		return t.rates[i]
	}
	costs := make([]HopCost, len(t.order))
	for at := range costs {
		costs[at] = t.cheapest(from, to, at)
	}
	if !t.ready {
		t.rates[i] = costs
	}
	return costs
}

// cheapest finds the fastest codec that a hop may use; on equal time the one with fewer bytes, then raw, then the first
// in Codecs. The outputs are what travels back, and nothing else does.
func (t *tables) cheapest(from, to, at int) HopCost {
	link, sender, receiver := t.links[from*len(t.hosts)+to], &t.hosts[from], &t.hosts[to]
	position := t.order[at]
	raw := HopCost{Hop: Hop{From: sender.name, To: receiver.name, Position: position.P, Back: position.P == t.Layers}, Codec: RawCodec,
		Bytes: position.Bytes, Wire: position.Bytes, Latency: link.Latency}
	if c := sender.codec(at, RawCodec); c != nil {
		raw.Wire, raw.Encode = c.wire, c.encode
	}
	if c := receiver.codec(at, RawCodec); c != nil {
		raw.Decode = c.decode
	}
	shrink := func(bytes int64) int64 {
		if t.smaller == 0 || position.P == 0 || position.P == t.Layers {
			return bytes
		}
		return int64(float64(bytes) * t.smaller)
	}
	raw.Wire = shrink(raw.Wire)
	raw.Travel = link.Travel(raw.Wire)
	best, found := raw, !t.noRaw
	for _, name := range t.Codecs {
		encoder, decoder := sender.codec(at, name), receiver.codec(at, name)
		if name == RawCodec || encoder == nil || decoder == nil {
			continue
		}
		if !t.allowance.allows(from, at, name) {
			continue
		}
		c := raw
		c.Codec, c.Wire, c.Encode, c.Decode = name, shrink(encoder.wire), encoder.encode, decoder.decode
		c.Travel = link.Travel(c.Wire)
		if !found || cmp.Or(cmp.Compare(c.Time(), best.Time()), cmp.Compare(c.Wire, best.Wire)) < 0 {
			best, found = c, true
		}
	}
	if !found {
		return HopCost{}
	}
	return best
}
