package split

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Objective is what a query makes as small as it can. On equal value the order is always that of latency:
// less time, fewer hops, fewer bytes on the wire, the partition's text.
//
// Whatever the objective, each hop takes the codec that is fastest there, as in [Problem.Predict]; to make it
// send less, leave faster codecs out.
type Objective int

const (
	// Latency is the time of one run, [Estimate].Total.
	Latency Objective = iota
	// Throughput is the time from output to output when runs follow each other closely, [Estimate.Interval].
	Throughput
	// Egress is the bytes that leave the source, [Estimate.Egress].
	Egress
	// Energy is the energy of one run, [Estimate.Energy].
	Energy
)

var objectiveNames = [...]string{"latency", "throughput", "egress", "energy"}

// String is the objective's name, which [ParseObjective] reads.
func (o Objective) String() string {
	if o < 0 || int(o) >= len(objectiveNames) {
		return fmt.Sprintf("Objective(%d)", int(o))
	}
	return objectiveNames[o]
}

// ParseObjective reads "latency", "throughput", "egress" or "energy".
func ParseObjective(s string) (Objective, error) {
	for o, name := range objectiveNames {
		if name == s {
			return Objective(o), nil
		}
	}
	return 0, fmt.Errorf("split: objective %.40q, want one of %s", s, strings.Join(objectiveNames[:], ", "))
}

// MarshalText is String.
func (o Objective) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText is ParseObjective.
func (o *Objective) UnmarshalText(text []byte) error {
	parsed, err := ParseObjective(string(text))
	*o = parsed
	return err
}

// Interval is the time from output to output in a pipeline, where many runs are on their way at once: that of
// its busiest part. A host is a part, busy with the compute times of its stages, encoding what it sends and
// decoding what it receives, there and back. The wire of each hop is a part, busy for bytes over bandwidth;
// latency keeps no wire busy.
func (e Estimate) Interval() time.Duration {
	busy := map[string]time.Duration{}
	var slowest time.Duration
	for host, took := range e.computing() {
		busy[host] += took
	}
	for h := range e.allHops() {
		busy[h.From] += h.Encode
		busy[h.To] += h.Decode
		slowest = max(slowest, h.wireTime())
	}
	for _, d := range busy {
		slowest = max(slowest, d)
	}
	return slowest
}

// wireTime is how long the hop keeps its wire busy.
func (h HopCost) wireTime() time.Duration { return h.Travel - h.Latency }

// Egress is the number of bytes on the wire that leave the source.
func (e Estimate) Egress() int64 {
	var sum int64
	source := ""
	for h := range e.allHops() {
		if source == "" {
			source = h.From // the first hop always leaves the source
		}
		if h.From == source {
			sum += h.Wire
		}
	}
	return sum
}

// Power is what a host consumes.
type Power struct {
	// Watts is its power while it computes, encodes or decodes, above what it takes when idle; in steps of a
	// milliwatt, at most MaxWatts.
	Watts float64 `json:"watts"`
	// JoulesPerByte is the energy of each byte on the wire that it sends or receives; in steps of a picojoule,
	// at most MaxJoulesPerByte.
	JoulesPerByte float64 `json:"joules_per_byte"`
}

const (
	// MaxWatts is the largest power of a host.
	MaxWatts = 1e5
	// MaxJoulesPerByte is the largest energy of a byte.
	MaxJoulesPerByte = 1e-3

	milliwatt = 1e-3
	picojoule = 1e-12 // a milliwatt for a nanosecond
	// maxEnergy keeps sums of picojoules within 64 bits.
	maxEnergy = 1 << 62
)

func (p Power) check() error {
	if !(p.Watts >= 0 && p.Watts <= MaxWatts) {
		return fmt.Errorf("%g W, want 0 to %g", p.Watts, float64(MaxWatts))
	}
	if !(p.JoulesPerByte >= 0 && p.JoulesPerByte <= MaxJoulesPerByte) {
		return fmt.Errorf("%g J for each byte, want 0 to %g", p.JoulesPerByte, MaxJoulesPerByte)
	}
	return nil
}

// working is the energy in picojoules of a time of work, moving that of bytes sent or received.
func (p Power) working(d time.Duration) int64 { return int64(math.Round(p.Watts/milliwatt)) * int64(d) }
func (p Power) moving(bytes int64) int64 {
	return int64(math.Round(p.JoulesPerByte/picojoule)) * bytes
}

// hopEnergy is the energy of a hop at both of its ends, in picojoules.
func hopEnergy(from, to Power, h *HopCost) int64 {
	return from.working(h.Encode) + from.moving(h.Wire) + to.working(h.Decode) + to.moving(h.Wire)
}

// Energy is the energy of one run in joules: for each host its watts times the time of computing, encoding
// and decoding, and its joules for each byte that it sends and that it receives.
func (e Estimate) Energy(power map[string]Power) float64 { return float64(e.energy(power)) * picojoule }

func (e Estimate) energy(power map[string]Power) int64 {
	var sum int64
	for host, took := range e.computing() {
		sum += power[host].working(took)
	}
	for h := range e.allHops() {
		sum += hopEnergy(power[h.From], power[h.To], h)
	}
	return sum
}

// value is what an objective makes small: nanoseconds, bytes or picojoules.
func (e Estimate) value(o Objective, power map[string]Power) int64 {
	switch o {
	case Throughput:
		return int64(e.Interval())
	case Egress:
		return e.Egress()
	case Energy:
		return e.energy(power)
	}
	return int64(e.Total)
}

// checkEnergy makes sure that no partition's energy overflows.
func (t *tables) checkEnergy(power []Power) error {
	// Each host is at the end of at most four hops, the source of four for each other host.
	ends := 4 * (len(t.Hosts) + 1)
	var bytes int64
	for _, at := range t.order {
		bytes = max(bytes, at.Bytes)
	}
	var slowest []time.Duration // of each host's coding
	for i := range t.hosts {
		var coding time.Duration
		for _, codecs := range t.hosts[i].coding {
			for _, c := range codecs {
				coding, bytes = max(coding, c.encode, c.decode), max(bytes, c.wire)
			}
		}
		slowest = append(slowest, coding)
	}
	var worst float64
	for i, p := range power {
		if t.hosts[i].profile != nil {
			worst += p.Watts / milliwatt * float64(t.hosts[i].longest())
		}
		worst += float64(ends) * (p.Watts/milliwatt*float64(slowest[i]) + p.JoulesPerByte/picojoule*float64(bytes))
	}
	if worst >= maxEnergy {
		return fmt.Errorf("energy of up to %.3g J, want less than %.3g J", worst*picojoule, maxEnergy*picojoule)
	}
	return nil
}
