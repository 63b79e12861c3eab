package split

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// BreakEven is what would have to change, one thing at a time and everything else as it is, for a split to
// take no more time than native execution. A factor of 0 means never: no change within the stated bounds
// makes up for the difference. A factor of 1 means that the split is no slower as things are.
type BreakEven struct {
	// Native and Split are the predictions as things are.
	Native Estimate `json:"native"`
	Split  Estimate `json:"split"`
	// From and To are the ends of the link that the split's first hop takes.
	From string `json:"from"`
	To   string `json:"to"`
	// Bandwidth is the factor on that link's bandwidth, in both directions, nearest to 1 from 1/1024 to 1024.
	// Below 1 the link would have to be slower, which hurts native execution on a remote host more than the
	// split. It is searched in steps of 2 per cent and then by halving, to 0.1 per cent: a window of bandwidths
	// narrower than a step may be missed.
	Bandwidth float64 `json:"bandwidth,omitempty"`
	// Ratio is the largest factor on the bytes on the wire of the split's first hop, below 1, coding times as
	// they are: exact to the byte.
	Ratio float64 `json:"ratio,omitempty"`
	// Load is the factor on all compute times of the host that runs the model natively, exact to a nanosecond;
	// the split gains as far as it computes elsewhere.
	Load float64 `json:"load,omitempty"`
}

// BreakEven compares a native execution with a split, as [Planner.Predict] prices them; take the best of each
// from [Planner.Rank] and [Planner.BestSplit].
func (p *Planner) BreakEven(native, split Partition) (BreakEven, error) {
	b, err := p.t.breakEven(native, split)
	if err != nil {
		return BreakEven{}, fmt.Errorf("split: break-even: %w", err)
	}
	return b, nil
}

func (t *tables) breakEven(native, split Partition) (b BreakEven, err error) {
	if b.Native, err = t.estimate(native); err != nil {
		return b, err
	}
	if b.Split, err = t.estimate(split); err != nil {
		return b, err
	}
	if !native.Native() || split.Native() {
		return b, fmt.Errorf("got %q and %q, want a partition on one host and one on several", native, split)
	}
	first := b.Split.Hops[0]
	b.From, b.To = first.From, first.To
	if b.Split.Total <= b.Native.Total {
		b.Bandwidth, b.Ratio, b.Load = 1, 1, 1
		return b, nil
	}
	b.Ratio = b.ratio(first)
	b.Load = b.load()
	b.Bandwidth, err = t.bandwidthFactor(b)
	return b, err
}

// ratio is the largest factor on the first hop's bytes with which the split is no slower.
func (b BreakEven) ratio(first HopCost) float64 {
	// Travel is latency plus a time in proportion to the bytes, rounded.
	spare := first.wireTime() - (b.Split.Total - b.Native.Total)
	if spare <= 0 {
		return 0
	}
	return math.Floor(float64(first.Wire)*float64(spare)/float64(first.wireTime())) / float64(first.Wire)
}

// load is the smallest factor on the native host's compute times with which the split is no slower.
func (b BreakEven) load() float64 {
	native, shared := b.Native.Stages[0].Compute, time.Duration(0)
	for _, s := range b.Split.Stages {
		if s.Host == b.Native.Stages[0].Host {
			shared += s.Compute
		}
	}
	if native <= shared {
		return 0
	}
	return 1 + float64(b.Split.Total-b.Native.Total)/float64(native-shared)
}

const (
	// bandwidthRange is the largest factor on a bandwidth, and one over it the smallest.
	bandwidthRange = 1024
	bandwidthStep  = 1.02
	bandwidthExact = 1.001
)

// bandwidthFactor searches outwards from 1 for the factor with which the split is no slower.
func (t *tables) bandwidthFactor(b BreakEven) (float64, error) {
	pays := func(factor float64) (bool, error) {
		faster := *t
		faster.connect(t.Network.scaled(b.From, b.To, factor))
		native, err := faster.estimate(b.Native.Partition)
		if err != nil {
			return false, err
		}
		split, err := faster.estimate(b.Split.Partition)
		return split.Total <= native.Total, err
	}
	for step := bandwidthStep; step <= bandwidthRange; step *= bandwidthStep {
		for _, factor := range []float64{step, 1 / step} {
			ok, err := pays(factor)
			if err != nil {
				return 0, err
			}
			if !ok {
				continue
			}
			near, far := factor/bandwidthStep, factor // near does not pay, far does
			if factor < 1 {
				near = factor * bandwidthStep
			}
			for max(near, far)/min(near, far) > bandwidthExact {
				middle := math.Sqrt(near * far)
				if ok, err = pays(middle); err != nil {
					return 0, err
				}
				if ok {
					far = middle
				} else {
					near = middle
				}
			}
			return far, nil
		}
	}
	return 0, nil
}

// scaled is the network with another bandwidth between two hosts, both ways.
func (n *Network) scaled(a, b string, factor float64) *Network {
	other := &Network{links: map[[2]string]Link{}}
	for ends, l := range n.links {
		if ends == [2]string{a, b} || ends == [2]string{b, a} {
			l.Bandwidth *= factor
		}
		other.links[ends] = l
	}
	return other
}

// String says for people what would have to change: "the split would pay if the link device-edge had
// 2.5 times its bandwidth, or if its first transfer had 0.4 times its bytes, or if device took 1.6 times as long
// to compute".
func (b BreakEven) String() string {
	var ways []string
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }
	if b.Bandwidth > 0 {
		ways = append(ways, fmt.Sprintf("the link %s-%s had %s times its bandwidth", b.From, b.To, number(b.Bandwidth)))
	}
	if b.Ratio > 0 {
		ways = append(ways, fmt.Sprintf("its first transfer had %s times its bytes", number(b.Ratio)))
	}
	if b.Load > 0 {
		ways = append(ways, fmt.Sprintf("%s took %s times as long to compute", b.Native.Partition[0].Host, number(b.Load)))
	}
	if len(ways) == 0 {
		return "no bandwidth, codec ratio or load alone would make the split pay"
	}
	return "the split would pay if " + strings.Join(ways, ", or if ")
}
