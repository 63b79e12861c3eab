package split

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"
)

const (
	// ProfileVersion is the version field of a profile file.
	ProfileVersion = "scission-profile/1"
	// MaxProfileBytes is a limit for ReadProfile that no sensible file reaches: 800 layers and cuts with four
	// codecs and 100 samples of each are about 6 MB.
	MaxProfileBytes = 16 << 20
	// MaxSample is the longest time that a sample may have.
	MaxSample = time.Hour
	// MaxBytes is the largest size of what crosses a cut.
	MaxBytes = 1 << 40
	// RawCodec is the name of the codec that sends tensors as they are.
	RawCodec = "raw"
)

// Samples are repeated measurements of one time, in the order they were taken; in JSON, integers of
// nanoseconds.
type Samples []time.Duration

// Median is the middle sample, or the mean of the two in the middle, rounded down to the nanosecond; 0 if
// there are none.
func (s Samples) Median() time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := s.sorted()
	high := sorted[len(s)/2]
	low := sorted[(len(s)-1)/2]
	return low + (high-low)/2
}

// Min is the smallest sample; 0 if there are none.
func (s Samples) Min() time.Duration {
	if len(s) == 0 {
		return 0
	}
	return slices.Min(s)
}

// Quantile is the smallest sample that at least the fraction p of the samples do not exceed (nearest rank),
// for p from 0 to 1; 0 if there are none.
func (s Samples) Quantile(p float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := make([]float64, len(s)) // exact: a sample is less than 2^53 ns
	for i, d := range s {
		sorted[i] = float64(d)
	}
	slices.Sort(sorted)
	return time.Duration(stat.Quantile(min(max(p, 0), 1), stat.Empirical, sorted, nil))
}

// Mean is the sum of the samples over their number, rounded down; 0 if there are none.
func (s Samples) Mean() time.Duration {
	if len(s) == 0 {
		return 0
	}
	var sum time.Duration // no overflow: MaxSample is 2^42 ns, and a file has less than 2^21 samples
	for _, d := range s {
		sum += d
	}
	return sum / time.Duration(len(s))
}

// Spread is the distance of the quartiles in parts of the median, 0 if the median is 0.
func (s Samples) Spread() float64 {
	m := s.Median()
	if m == 0 {
		return 0
	}
	return float64(s.Quantile(.75)-s.Quantile(.25)) / float64(m)
}

func (s Samples) sorted() Samples {
	sorted := slices.Clone(s)
	slices.Sort(sorted)
	return sorted
}

// validate checks the range of each sample, and that there is one where it must be measured.
func (s Samples) validate(measured bool) error {
	if measured && len(s) == 0 {
		return fmt.Errorf("no samples, want at least one")
	}
	for i, d := range s {
		if d < 0 || d > MaxSample {
			return fmt.Errorf("sample %d is %v, want 0 to %v", i, d, MaxSample)
		}
	}
	return nil
}

// Model says which model a profile or a problem is about.
type Model struct {
	// Name is for people.
	Name string `json:"name"`
	// Digest identifies the model's content; profiles that are used together must have the same.
	Digest string `json:"digest"`
}

// Machine is what is known about the machine of a profile, for people; unknown facts are empty or 0.
type Machine struct {
	CPU     string `json:"cpu,omitempty"`     // the processor's name
	ISA     string `json:"isa,omitempty"`     // the instruction set that the kernels use, such as "avx2"
	OS      string `json:"os,omitempty"`      // as in GOOS
	Arch    string `json:"arch,omitempty"`    // as in GOARCH
	Cores   int    `json:"cores,omitempty"`   // logical processors
	Threads int    `json:"threads,omitempty"` // threads that the run used
	// Memory is the bytes of memory that the processes of the machine may use altogether.
	Memory int64 `json:"memory_bytes,omitempty"`
	// Governor is the policy that sets the processor's frequency, such as "performance".
	Governor string `json:"governor,omitempty"`
	// ClockTick is the smallest difference between two readings of the clock that took the samples.
	ClockTick time.Duration `json:"clock_tick_ns,omitempty"`
}

// LayerProfile is the time of one layer, measured inside the whole model.
type LayerProfile struct {
	Name string `json:"name"`
	Op   string `json:"op"`
	// Samples has the layer's time in each run; sample i of all layers is from one and the same run, in which
	// the time of layers that the engine joins counts for the first of them.
	Samples Samples `json:"samples_ns"`
	// Weights is the size of the layer's constants, Live that of all activations that exist while it runs; 0
	// where they are not known.
	Weights int64 `json:"weight_bytes,omitempty"`
	Live    int64 `json:"live_bytes,omitempty"`
}

// CodecProfile is what a codec does to the tensors that cross one cut.
type CodecProfile struct {
	Name string `json:"name"`
	// WireBytes is the size after encoding, as it is sent.
	WireBytes int64   `json:"wire_bytes"`
	Encode    Samples `json:"encode_ns"`
	Decode    Samples `json:"decode_ns"`
}

// CutProfile is what crosses a cut and what sending it costs.
type CutProfile struct {
	// Position is the number of layers before the cut: 0 for the model's inputs, the number of layers for its
	// outputs.
	Position int `json:"position"`
	// Width is the number of tensors, Bytes their total size as they lie in memory.
	Width int   `json:"width"`
	Bytes int64 `json:"bytes"`
	// Leave and Enter are how much longer computing takes where the model is cut here: Leave on the host that
	// runs the layers before the cut, Enter on the one that runs those behind it. Layers that are joined in the
	// whole model are apart then, and tensors change their layout. Empty means no longer.
	Leave Samples `json:"leave_ns,omitempty"`
	Enter Samples `json:"enter_ns,omitempty"`
	// Codecs are the measured codecs. [RawCodec] may be among them, with the time that sending tensors as they
	// are costs the processor, checksums for instance; without it that time counts as 0.
	Codecs []CodecProfile `json:"codecs,omitempty"`
}

// Profile is what was measured of one model on one host: raw samples.
type Profile struct {
	Model   Model     `json:"model"`
	Host    string    `json:"host"`
	Date    time.Time `json:"date,omitzero"`
	Machine Machine   `json:"machine,omitzero"`
	// Emulated is not empty where the host's slowness is emulated, and says how. The samples are as measured
	// under emulation.
	Emulated string `json:"emulated,omitempty"`
	// Slowdown is the factor of the emulated slowness, 0 where there is none.
	Slowdown float64 `json:"slowdown,omitempty"`
	// Took is how long it took to make this profile, and Warmup how many runs came before the measured ones.
	Took   time.Duration `json:"took_ns,omitempty"`
	Warmup int           `json:"warmup,omitempty"`
	// Peak is the memory of a run of the whole model, its weights included; 0 where it is not known.
	Peak int64 `json:"peak_bytes,omitempty"`
	// Whole is the time of the model as a whole, from runs in which no layer was timed; empty where it was not
	// measured.
	Whole Samples `json:"whole_ns,omitempty"`
	// Short says what was left out, or measured less often than asked for, because time was short.
	Short []string `json:"short,omitempty"`
	// Layers are all the layers of the model in order.
	Layers []LayerProfile `json:"layers"`
	// Cuts are the measured cuts by ascending position; a cut that is left out is sent raw at no cost to the
	// processor.
	Cuts []CutProfile `json:"cuts,omitempty"`
}

// Cut is the profile of the cut at a position, or nil.
func (p *Profile) Cut(position int) *CutProfile {
	if p == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(p.Cuts, position, func(c CutProfile, at int) int { return c.Position - at })
	if !ok {
		return nil
	}
	return &p.Cuts[i]
}

// Positions lists the profile's cuts for [Problem.Positions].
func (p *Profile) Positions() []Position {
	positions := make([]Position, len(p.Cuts))
	for i, c := range p.Cuts {
		positions[i] = Position{c.Position, c.Bytes, c.Width}
	}
	return positions
}

// LayerTimes are the typical times of the layers: the mean over the runs whose sum over all layers is in the
// middle half, rounded inwards. Unlike medians, which each layer would take from another run, such times add up to that of a
// typical run. Where layers have different numbers of samples, each layer's time is its median.
func (p *Profile) LayerTimes() []time.Duration {
	times := make([]time.Duration, len(p.Layers))
	if len(p.Layers) == 0 {
		return times
	}
	sums := make(Samples, len(p.Layers[0].Samples))
	for _, l := range p.Layers {
		if len(l.Samples) != len(sums) {
			for i, l := range p.Layers {
				times[i] = l.Samples.Median()
			}
			return times
		}
		for run, took := range l.Samples {
			sums[run] += took
		}
	}
	runs := make([]int, len(sums))
	for i := range runs {
		runs[i] = i
	}
	slices.SortStableFunc(runs, func(a, b int) int { return cmp.Compare(sums[a], sums[b]) })
	if len(runs) == 0 {
		return times
	}
	trim := min((len(runs)+3)/4, (len(runs)-1)/2)
	middle := runs[trim : len(runs)-trim]
	for i, l := range p.Layers {
		for _, run := range middle {
			times[i] += l.Samples[run]
		}
		times[i] /= time.Duration(len(middle))
	}
	return times
}

// MaxSpread is the [Samples.Spread] above which [Profile.Warnings] tells of a time.
const MaxSpread = 0.25

// Warning says what in a profile is not to be relied on.
type Warning struct {
	Text string `json:"text"`
	// Whole says that it is about the time of the whole model, Layers which layers' times it is about, and Share
	// which part of the layers' time those take.
	Whole  bool    `json:"whole,omitempty"`
	Layers []int   `json:"layers,omitempty"`
	Share  float64 `json:"share,omitempty"`
}

// String is one line for people.
func (w Warning) String() string {
	if w.Whole {
		return "the whole model " + w.Text
	}
	return fmt.Sprintf("%d layers, which take %.1f%% of the time, each %s", len(w.Layers), 100*w.Share, w.Text)
}

// Warnings tells of times whose mean is below the clock's tick and of those whose spread is above [MaxSpread].
// Layers that take no time at all, being joined to others, are not among them.
func (p *Profile) Warnings() []Warning {
	var warnings []Warning
	times := p.LayerTimes()
	var all time.Duration
	for _, took := range times {
		all += took
	}
	for _, kind := range []struct {
		text string
		is   func(s Samples) bool
	}{
		{fmt.Sprintf("takes less than the clock's tick of %v", p.Machine.ClockTick), func(s Samples) bool { return s.Mean() < p.Machine.ClockTick }},
		{fmt.Sprintf("spreads over more than %g%% of its median between the quartiles", 100*MaxSpread), func(s Samples) bool { return s.Spread() > MaxSpread }},
	} {
		if len(p.Whole) > 0 && kind.is(p.Whole) {
			warnings = append(warnings, Warning{Text: kind.text, Whole: true})
		}
		w := Warning{Text: kind.text}
		var sum time.Duration
		for i, l := range p.Layers {
			if l.Samples.Quantile(1) > 0 && kind.is(l.Samples) {
				w.Layers, sum = append(w.Layers, i), sum+times[i]
			}
		}
		if len(w.Layers) > 0 {
			w.Share = float64(sum) / float64(max(all, 1))
			warnings = append(warnings, w)
		}
	}
	return warnings
}

// elapsed is, for each position, the time of the layers before it inside the whole model.
func (p *Profile) elapsed() []time.Duration {
	elapsed := make([]time.Duration, len(p.Layers)+1)
	for i, took := range p.LayerTimes() {
		elapsed[i+1] = elapsed[i] + took
	}
	return elapsed
}

// SegmentTime is the time of a segment that runs by itself: the sum of its layers' times, and what the cuts at
// its ends add. Against the median of Whole, SegmentTime of all layers shows whether the times add up. The
// segment must lie within the layers.
func (p *Profile) SegmentTime(s Segment) time.Duration {
	elapsed := p.elapsed()
	sum := elapsed[s.To] - elapsed[s.From]
	if c := p.Cut(s.From); c != nil {
		sum += c.Enter.Median()
	}
	if c := p.Cut(s.To); c != nil {
		sum += c.Leave.Median()
	}
	return sum
}

// Validate checks the whole profile: names, ranges of samples and sizes, order of cuts, and that emulated
// slowness is labelled. Errors wrap [ErrFormat] and name the field.
func (p *Profile) Validate() error {
	if err := p.validate(); err != nil {
		return fmt.Errorf("split: profile of host %.40q: %w: %w", p.Host, ErrFormat, err)
	}
	return nil
}

func (p *Profile) validate() error {
	if err := checkHost(p.Host); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	if p.Model.Digest == "" {
		return fmt.Errorf("model.digest: empty")
	}
	if !(p.Slowdown >= 0) || math.IsInf(p.Slowdown, 1) {
		return fmt.Errorf("slowdown: got %g, want a finite number, at least 0", p.Slowdown)
	}
	if p.Slowdown > 0 && p.Slowdown != 1 && p.Emulated == "" {
		return fmt.Errorf("slowdown: %g without the label of emulation", p.Slowdown)
	}
	if err := p.Whole.validate(false); err != nil {
		return fmt.Errorf("whole_ns: %w", err)
	}
	if p.Took < 0 || p.Warmup < 0 || p.Peak < 0 || p.Machine.Memory < 0 || p.Machine.ClockTick < 0 {
		return fmt.Errorf("took_ns %d, warmup %d, peak_bytes %d, machine.memory_bytes %d, machine.clock_tick_ns %d, want at least 0",
			p.Took, p.Warmup, p.Peak, p.Machine.Memory, p.Machine.ClockTick)
	}
	if len(p.Layers) == 0 || len(p.Layers) > MaxLayers {
		return fmt.Errorf("layers: got %d, want 1 to %d", len(p.Layers), MaxLayers)
	}
	for i, l := range p.Layers {
		if err := l.Samples.validate(true); err != nil {
			return fmt.Errorf("layers[%d].samples_ns: %w", i, err)
		}
		if l.Weights < 0 || l.Weights > MaxBytes || l.Live < 0 || l.Live > MaxBytes {
			return fmt.Errorf("layers[%d]: %d bytes of weights, %d live, want 0 to %d", i, l.Weights, l.Live, int64(MaxBytes))
		}
	}
	previous := -1
	for i := range p.Cuts {
		c := &p.Cuts[i]
		if c.Position <= previous || c.Position > len(p.Layers) {
			return fmt.Errorf("cuts[%d].position: got %d, want %d to %d", i, c.Position, previous+1, len(p.Layers))
		}
		previous = c.Position
		if err := c.validate(); err != nil {
			return fmt.Errorf("cuts[%d]: %w", i, err)
		}
	}
	return nil
}

func (c *CutProfile) validate() error {
	if c.Width < 0 {
		return fmt.Errorf("width is %d, want at least 0", c.Width)
	}
	if c.Bytes < 0 || c.Bytes > MaxBytes {
		return fmt.Errorf("bytes is %d, want 0 to %d", c.Bytes, int64(MaxBytes))
	}
	if err := c.Leave.validate(false); err != nil {
		return fmt.Errorf("leave_ns: %w", err)
	}
	if err := c.Enter.validate(false); err != nil {
		return fmt.Errorf("enter_ns: %w", err)
	}
	names := map[string]bool{}
	for i, k := range c.Codecs {
		if k.Name == "" || names[k.Name] {
			return fmt.Errorf("codecs[%d].name: %.40q is empty or given twice", i, k.Name)
		}
		names[k.Name] = true
		if k.WireBytes < 0 || k.WireBytes > MaxBytes {
			return fmt.Errorf("codecs[%d].wire_bytes: got %d, want 0 to %d", i, k.WireBytes, int64(MaxBytes))
		}
		if err := k.Encode.validate(true); err != nil {
			return fmt.Errorf("codecs[%d].encode_ns: %w", i, err)
		}
		if err := k.Decode.validate(true); err != nil {
			return fmt.Errorf("codecs[%d].decode_ns: %w", i, err)
		}
	}
	return nil
}

// profileFile is the JSON form of a Profile.
type profileFile struct {
	Version string `json:"version"`
	Profile
}

// Write writes the profile as JSON for ReadProfile. It must be valid.
func (p *Profile) Write(w io.Writer) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if err := encodeIndented(w, profileFile{ProfileVersion, *p}); err != nil {
		return fmt.Errorf("split: write profile of host %s: %w", p.Host, err)
	}
	return nil
}

// ReadProfile reads a profile of at most limit bytes as Write writes it, and validates it. Errors about the
// content wrap [ErrFormat] and say where. Unknown fields are errors. Reading allocates at most about 30 times
// as many bytes as the file has.
func ReadProfile(r io.Reader, limit int64) (*Profile, error) {
	data, err := readLimited(r, limit)
	if err != nil {
		return nil, fmt.Errorf("split: read profile: %w", err)
	}
	var file profileFile
	if err := decodeStrict(data, &file); err != nil {
		return nil, fmt.Errorf("split: read profile: %w", err)
	}
	if file.Version != ProfileVersion {
		return nil, fmt.Errorf("split: read profile: %w: version is %.40q, want %q", ErrFormat, file.Version, ProfileVersion)
	}
	if err := file.Profile.validate(); err != nil {
		return nil, fmt.Errorf("split: read profile: %w: %w", ErrFormat, err)
	}
	return &file.Profile, nil
}
