package adapt

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"scission/split"
)

// Synthetic is a kind of trace that is made up.
type Synthetic struct {
	Name string
	// Text is one sentence for people.
	Text string
	// factors gives the factor on the bandwidth and what is added to the latency, from each step to the next.
	factors func(r *rand.Rand, steps int) (bandwidth []float64, latency []time.Duration)
}

const (
	// syntheticStep is the time from point to point.
	syntheticStep = 500 * time.Millisecond
	// lowStep is the part of the bandwidth that is left in the middle of a step.
	lowStep = 0.02
)

var synthetics = []Synthetic{
	{"step", "the middle third of the time has a fiftieth of the bandwidth, such as 100, 2 and again 100 Mbit/s", step},
	{"sine", "the bandwidth goes up and down between a twentieth and all of it, in a minute", sine},
	{"walk", "the bandwidth wanders at random between a fiftieth and twice its value", walk},
	{"4g", "the bandwidth of a moving phone: correlated fading, cells of different quality, and gaps of a second or two between them", mobile},
	{"noise", "the bandwidth jumps at random by up to a fifth", noise},
}

// Synthetics lists the kinds of traces that are made up.
func Synthetics() []Synthetic { return slices.Clone(synthetics) }

// NewTrace makes up a trace in which every link of a host changes in the same way, from the network's. The
// same arguments make the same trace.
func NewTrace(kind string, network *split.Network, host string, duration time.Duration, seed uint64) (*split.Trace, error) {
	i := slices.IndexFunc(synthetics, func(s Synthetic) bool { return s.Name == kind })
	if i < 0 {
		var names []string
		for _, s := range synthetics {
			names = append(names, s.Name)
		}
		return nil, fmt.Errorf("adapt: trace %.40q, want one of %s", kind, strings.Join(names, ", "))
	}
	if duration < 3*syntheticStep || duration > split.MaxTraceTime {
		return nil, fmt.Errorf("adapt: trace of %v, want %v to %v", duration, 3*syntheticStep, split.MaxTraceTime)
	}
	s := synthetics[i]
	t := &split.Trace{
		Duration: duration,
		Note:     s.Text,
		Emulated: fmt.Sprintf("made up: %s of the links of %s, seed %d", kind, host, seed),
	}
	bandwidth, latency := s.factors(rand.New(rand.NewPCG(seed, uint64(i))), int((duration+syntheticStep-1)/syntheticStep))
	for _, l := range network.Links() {
		if l.From != host && l.To != host {
			continue
		}
		lt := split.LinkTrace{From: l.From, To: l.To}
		for k := range bandwidth {
			p := split.LinkPoint{At: time.Duration(k) * syntheticStep, Link: split.Link{
				Latency:   min(l.Latency+latency[k], split.MaxLatency),
				Bandwidth: round(l.Bandwidth * bandwidth[k]),
			}}
			if k == 0 || p.Link != lt.Points[len(lt.Points)-1].Link {
				lt.Points = append(lt.Points, p)
			}
		}
		t.Links = append(t.Links, lt)
	}
	if len(t.Links) == 0 {
		return nil, fmt.Errorf("adapt: trace: the network has no links of %s", host)
	}
	return t, t.Validate()
}

func step(_ *rand.Rand, steps int) ([]float64, []time.Duration) {
	b := make([]float64, steps)
	for i := range b {
		b[i] = 1
		if i >= steps/3 && i < 2*steps/3 {
			b[i] = lowStep
		}
	}
	return b, make([]time.Duration, steps)
}

func sine(_ *rand.Rand, steps int) ([]float64, []time.Duration) {
	const period, low = time.Minute, 0.05
	b := make([]float64, steps)
	for i := range b {
		phase := 2 * math.Pi * float64(time.Duration(i)*syntheticStep) / float64(period)
		b[i] = math.Pow(low, (1-math.Cos(phase))/2)
	}
	return b, make([]time.Duration, steps)
}

func walk(r *rand.Rand, steps int) ([]float64, []time.Duration) {
	const stride, low, high = 0.25, 0.02, 2
	b := make([]float64, steps)
	at := 0.
	for i := range b {
		b[i] = math.Exp(at)
		at += stride * r.NormFloat64()
		switch { // reflected
		case at < math.Log(low):
			at = 2*math.Log(low) - at
		case at > math.Log(high):
			at = 2*math.Log(high) - at
		}
	}
	return b, make([]time.Duration, steps)
}

func mobile(r *rand.Rand, steps int) ([]float64, []time.Duration) {
	const (
		fading, memory = 0.35, 0.9 // of the logarithm, from step to step
		cells          = 0.6       // spread of the cells' quality, likewise
		stay           = 40        // steps in a cell on average
		gap            = 0.03      // bandwidth between two cells
		delay          = 30 * time.Millisecond
	)
	b, latency := make([]float64, steps), make([]time.Duration, steps)
	fade, cell, gone := 0., 0., 0
	for i := range b {
		if gone == 0 && r.IntN(stay) == 0 {
			gone, cell = 2+r.IntN(3), cells*r.NormFloat64()
		}
		fade = memory*fade + fading*math.Sqrt(1-memory*memory)*r.NormFloat64()
		b[i] = min(max(math.Exp(fade+cell), gap), 3)
		latency[i] = time.Duration(r.Int64N(int64(delay / 4)))
		if gone > 0 {
			gone--
			b[i], latency[i] = gap, delay
		}
	}
	return b, latency
}

func noise(r *rand.Rand, steps int) ([]float64, []time.Duration) {
	const most = 0.2
	b := make([]float64, steps)
	for i := range b {
		b[i] = 1 + most*(2*r.Float64()-1)
	}
	return b, make([]time.Duration, steps)
}
