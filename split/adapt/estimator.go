package adapt

import (
	"maps"
	"math"
	"slices"
	"time"

	"scission/split"
)

const (
	// MinFrame is the smallest number of bytes on the wire that count for bandwidth: of smaller frames the
	// way takes little but latency.
	MinFrame = 32 << 10
	// fastWeight and slowWeight are what a sample weighs in the two averages of a link, of which the lower
	// one counts.
	fastWeight, slowWeight = 0.4, 0.1
	// jumpSamples in a row that are all more than jumpFactor times what counts, or all less than that part of it,
	// are another link: both averages become the one of them that is nearest to what counted.
	jumpSamples, jumpFactor = 3, 2
	// rttWindow is how long a round trip stays the shortest.
	rttWindow = 10 * time.Second
	// limitedRoundTrips: a frame that takes less than this many round trips never filled the link.
	limitedRoundTrips = 1
	// loadWeight is what a sample weighs in the average of a host's load.
	loadWeight = 0.2
	// loadFade is the time in which half of what is known about a host's load that nothing confirms is
	// forgotten.
	loadFade = 30 * time.Second
	// minLoad and maxLoad bound a host's load.
	minLoad, maxLoad = 1. / 16, 64
	// minWire is the shortest time that a frame is on the wire.
	minWire = time.Microsecond
)

// Transfer is one frame on its way from host to host, as the two hosts' times say.
type Transfer struct {
	From, To string
	Bytes    int64         // on the wire
	Took     time.Duration // all of it
	Latency  time.Duration // the part of Took before the receiver saw the first byte; at least 0
}

// Exchange is a frame and the frame that answers it, between the same two hosts. The sum of their times is
// what was measured on one clock; how it divides into the two is less certain.
type Exchange struct {
	There, Back Transfer
}

// Computed is a stage that a host has run.
type Computed struct {
	Host    string
	Segment split.Segment
	Took    time.Duration
}

// average is two exponentially weighted means of a link's bandwidth, in bytes a second.
type average struct {
	fast, slow float64
	samples    int
	at         time.Duration // of the last sample that counted
	// away is how many of the last samples are beyond the same factor of what counts, above if positive and
	// below if negative, and near is the nearest of them.
	away int
	near float64
}

// value is what to plan with.
func (a *average) value() float64 { return min(a.fast, a.slow) }

func (a *average) add(now time.Duration, rate float64) {
	a.samples++
	a.at = now
	switch value := a.value(); {
	case rate > jumpFactor*value:
		if a.away <= 0 {
			a.away, a.near = 0, rate
		}
		a.away++
		a.near = min(a.near, rate)
	case rate < value/jumpFactor:
		if a.away >= 0 {
			a.away, a.near = 0, rate
		}
		a.away--
		a.near = max(a.near, rate)
	default:
		a.away = 0
	}
	if a.away == jumpSamples || a.away == -jumpSamples {
		a.fast, a.slow, a.away = a.near, a.near, 0
		return
	}
	a.fast += fastWeight * (rate - a.fast)
	a.slow += slowWeight * (rate - a.slow)
}

// bound lowers both means to a rate that the link is known not to exceed.
func (a *average) bound(rate float64) {
	a.fast, a.slow = min(a.fast, rate), min(a.slow, rate)
}

// raise lifts both means to a rate that the link is known to reach.
func (a *average) raise(rate float64) {
	a.fast, a.slow = max(a.fast, rate), max(a.slow, rate)
}

// window is the least of a quantity over some time: candidates in ascending order of time and value.
type window []struct {
	at    time.Duration
	value time.Duration
}

// add takes in a value, and gives the least of those since the given time before now.
func (w *window) add(now, value, since time.Duration) time.Duration {
	kept := *w
	for len(kept) > 0 && kept[len(kept)-1].value >= value {
		kept = kept[:len(kept)-1]
	}
	kept = append(kept, struct{ at, value time.Duration }{now, value})
	for kept[0].at < now-since {
		kept = kept[1:]
	}
	*w = kept
	return kept[0].value
}

// load is an exponentially weighted mean of measured over profiled compute time.
type load struct {
	value float64
	at    time.Duration // of the last sample
}

// faded is the load at a time, forgotten by and by where nothing confirms it.
func (l load) faded(now time.Duration) float64 {
	return 1 + (l.value-1)*math.Exp2(-(now-l.at).Seconds()/loadFade.Seconds())
}

// Estimator keeps estimates of links' bandwidths and base latencies and of hosts' loads. It is not safe for
// concurrent use. Times must not go backwards.
type Estimator struct {
	base  *split.Network
	links map[[2]string]*average // by sender and receiver
	trips map[[2]string]*window  // by the two hosts in order of their names
	loads map[string]load
}

// NewEstimator begins with the links of a network, which it does not change and which are what is known of a
// link until a frame passes it.
func NewEstimator(network *split.Network) *Estimator {
	e := &Estimator{base: network, links: map[[2]string]*average{}, trips: map[[2]string]*window{}, loads: map[string]load{}}
	for _, l := range network.Links() {
		e.links[[2]string{l.From, l.To}] = &average{fast: l.Bandwidth, slow: l.Bandwidth}
	}
	return e
}

// pair is the key of a round trip.
func pair(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// RoundTrip is the shortest round trip between two hosts in the last ten seconds in which there was one, or
// what the network says; 0 where nothing is known.
func (e *Estimator) RoundTrip(a, b string) time.Duration {
	if w := e.trips[pair(a, b)]; w != nil {
		return (*w)[0].value
	}
	there, _ := e.base.Link(a, b)
	back, _ := e.base.Link(b, a)
	return there.Latency + back.Latency
}

// Bandwidth is what to plan with between two hosts, in bytes a second; 0 where nothing is known.
func (e *Estimator) Bandwidth(from, to string) float64 {
	if a := e.links[[2]string{from, to}]; a != nil {
		return a.value()
	}
	return 0
}

// Exchange takes in what a frame and its answer show: a round trip, and the bandwidth of each direction whose
// frame has MinFrame bytes or more. A frame that took less than a round trip beyond its latency never filled
// the link: it can raise the estimate and not lower it. Links that the network does not have are learned, too.
func (e *Estimator) Exchange(now time.Duration, x Exchange) {
	if x.There.Took < 0 || x.Back.Took < 0 {
		return
	}
	trip := max(x.There.Latency, 0) + max(x.Back.Latency, 0)
	w := e.trips[pair(x.There.From, x.There.To)]
	if w == nil {
		w = new(window)
		e.trips[pair(x.There.From, x.There.To)] = w
	}
	base := w.add(now, trip, rttWindow)
	there, back := x.There.Took-base/2, x.Back.Took-base/2
	counts, answerCounts := x.There.Bytes >= MinFrame, x.Back.Bytes >= MinFrame
	if counts && !answerCounts {
		there += e.beyond(x.Back, back)
	}
	if answerCounts && !counts {
		back += e.beyond(x.There, there)
	}
	if counts {
		e.sample(now, x.There, there, base)
	}
	if answerCounts {
		e.sample(now, x.Back, back, base)
	}
}

// beyond is how much longer a frame was on the wire than it should have been.
func (e *Estimator) beyond(t Transfer, wire time.Duration) time.Duration {
	bandwidth := e.Bandwidth(t.From, t.To)
	if bandwidth <= 0 {
		return max(wire, 0)
	}
	return max(wire-split.Link{Bandwidth: bandwidth}.Travel(t.Bytes), 0)
}

// sample takes in the bandwidth that a frame shows.
func (e *Estimator) sample(now time.Duration, t Transfer, wire, trip time.Duration) {
	wire = max(wire, minWire)
	rate := float64(t.Bytes) / wire.Seconds()
	key := [2]string{t.From, t.To}
	a := e.links[key]
	if a == nil {
		a = &average{fast: rate, slow: rate}
		e.links[key] = a
	}
	if wire < limitedRoundTrips*trip && rate < a.value() {
		return
	}
	a.add(now, rate)
}

// Bound lowers the estimate of a link to a bandwidth that it is known not to exceed, since a frame is not there
// yet that would be.
func (e *Estimator) Bound(from, to string, bandwidth float64) {
	if a := e.links[[2]string{from, to}]; a != nil && bandwidth > 0 {
		a.bound(bandwidth)
	}
}

// Compute takes in that a host took a time for what its profile says should take another.
func (e *Estimator) Compute(now time.Duration, host string, measured, profiled time.Duration) {
	if measured <= 0 || profiled <= 0 {
		return
	}
	ratio := min(max(float64(measured)/float64(profiled), minLoad), maxLoad)
	l, known := e.loads[host]
	if known {
		ratio = l.faded(now) + loadWeight*(ratio-l.faded(now))
	} else {
		ratio = 1 + loadWeight*(ratio-1)
	}
	e.loads[host] = load{ratio, now}
}

// Load is the factors on hosts' profiled compute times, for [split.Planner.Under]. One that nothing confirms
// becomes 1 again by and by, by half in 30 s.
func (e *Estimator) Load(now time.Duration) map[string]float64 {
	factors := map[string]float64{}
	for host, l := range e.loads {
		factors[host] = min(max(l.faded(now), minLoad), maxLoad)
	}
	return factors
}

// Network is the links as they are estimated.
func (e *Estimator) Network() *split.Network {
	n := &split.Network{}
	if e.base != nil {
		n.Note, n.Emulated = e.base.Note, e.base.Emulated
	}
	for _, key := range slices.SortedFunc(maps.Keys(e.links), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		l := split.Link{Latency: min(e.RoundTrip(key[0], key[1])/2, split.MaxLatency), Bandwidth: e.links[key].value()}
		if err := n.Set(key[0], key[1], l); err != nil {
			continue // a host of a name that no plan can have
		}
	}
	return n
}
