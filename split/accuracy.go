package split

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

const (
	// AccuracyVersion is the version field of an accuracy file.
	AccuracyVersion = "scission-accuracy/1"
	// MaxAccuracyBytes is a limit for ReadAccuracy that no sensible file reaches: 800 cuts with ten codecs are
	// less than 1 MB.
	MaxAccuracyBytes = 4 << 20
	// MaxExamples is the largest number of examples of a labelled set.
	MaxExamples = 1 << 30
)

// Accuracy is what was measured of a classifier over a labelled set: how many of the examples it gets right
// (top-1: its largest output is that of the label), and how many it still does where what crosses a cut is
// encoded and decoded by a codec.
type Accuracy struct {
	Model Model     `json:"model"`
	Date  time.Time `json:"date,omitzero"`
	// Data names the labelled set, for people.
	Data string `json:"data,omitempty"`
	// Examples is the size of the set, Correct how many of it the unsplit model gets right.
	Examples int `json:"examples"`
	Correct  int `json:"correct"`
	// Cuts are the measured cuts by ascending position.
	Cuts []CutAccuracy `json:"cuts,omitempty"`
}

// CutAccuracy is what the codecs do to a classifier at one cut.
type CutAccuracy struct {
	// Position is the number of layers before the cut, as in [CutProfile]; Bytes is the size of what crosses it
	// as it lies in memory.
	Position int             `json:"position"`
	Bytes    int64           `json:"bytes"`
	Codecs   []CodecAccuracy `json:"codecs,omitempty"`
}

// CodecAccuracy is what one codec does to a classifier at one cut, over all examples.
type CodecAccuracy struct {
	Name string `json:"name"`
	// Correct is how many examples the model gets right, Same for how many its answer, right or wrong, is that
	// of the unsplit model.
	Correct int `json:"correct"`
	Same    int `json:"same"`
	// WireBytes is the mean size of what is sent for an example.
	WireBytes int64 `json:"wire_bytes"`
}

// Top1 is the share of examples that the unsplit model gets right.
func (a *Accuracy) Top1() float64 { return float64(a.Correct) / float64(a.Examples) }

// Validate checks ranges, order and names, and that no codec changes more of what is right than it changes
// answers. Errors wrap [ErrFormat] and name the field.
func (a *Accuracy) Validate() error {
	if err := a.validate(); err != nil {
		return fmt.Errorf("split: accuracy: %w: %w", ErrFormat, err)
	}
	return nil
}

func (a *Accuracy) validate() error {
	if a.Model.Digest == "" {
		return fmt.Errorf("model.digest: empty")
	}
	if a.Examples < 1 || a.Examples > MaxExamples {
		return fmt.Errorf("examples: got %d, want 1 to %d", a.Examples, MaxExamples)
	}
	if a.Correct < 0 || a.Correct > a.Examples {
		return fmt.Errorf("correct: got %d, want 0 to %d", a.Correct, a.Examples)
	}
	previous := -1
	for i, c := range a.Cuts {
		if c.Position <= previous || c.Position > MaxLayers {
			return fmt.Errorf("cuts[%d].position: got %d, want %d to %d", i, c.Position, previous+1, MaxLayers)
		}
		previous = c.Position
		if c.Bytes < 0 || c.Bytes > MaxBytes {
			return fmt.Errorf("cuts[%d].bytes: got %d, want 0 to %d", i, c.Bytes, int64(MaxBytes))
		}
		names := map[string]bool{}
		for k, codec := range c.Codecs {
			if codec.Name == "" || names[codec.Name] {
				return fmt.Errorf("cuts[%d].codecs[%d].name: %.40q is empty or given twice", i, k, codec.Name)
			}
			names[codec.Name] = true
			if err := codec.validate(a); err != nil {
				return fmt.Errorf("cuts[%d].codecs[%d].%w", i, k, err)
			}
		}
	}
	return nil
}

func (c *CodecAccuracy) validate(a *Accuracy) error {
	if c.Correct < 0 || c.Correct > a.Examples {
		return fmt.Errorf("correct: got %d, want 0 to %d", c.Correct, a.Examples)
	}
	if c.Same < 0 || c.Same > a.Examples {
		return fmt.Errorf("same: got %d, want 0 to %d", c.Same, a.Examples)
	}
	if changed, others := max(c.Correct-a.Correct, a.Correct-c.Correct), a.Examples-c.Same; changed > others {
		return fmt.Errorf("correct: %d, which is %d from %d, but only %d answers are not the same", c.Correct, changed, a.Correct, others)
	}
	if c.WireBytes < 0 || c.WireBytes > MaxBytes {
		return fmt.Errorf("wire_bytes: got %d, want 0 to %d", c.WireBytes, int64(MaxBytes))
	}
	return nil
}

// accuracyFile is the JSON form of an Accuracy.
type accuracyFile struct {
	Version string `json:"version"`
	Accuracy
}

// Write writes the accuracy as JSON for ReadAccuracy. It must be valid.
func (a *Accuracy) Write(w io.Writer) error {
	if err := a.Validate(); err != nil {
		return err
	}
	if err := encodeIndented(w, accuracyFile{AccuracyVersion, *a}); err != nil {
		return fmt.Errorf("split: write accuracy: %w", err)
	}
	return nil
}

// ReadAccuracy reads an accuracy of at most limit bytes as Write writes it, and validates it. Errors about the
// content wrap [ErrFormat] and say where. Unknown fields are errors.
func ReadAccuracy(r io.Reader, limit int64) (*Accuracy, error) {
	data, err := readLimited(r, limit)
	if err != nil {
		return nil, fmt.Errorf("split: read accuracy: %w", err)
	}
	var file accuracyFile
	if err := decodeStrict(data, &file); err != nil {
		return nil, fmt.Errorf("split: read accuracy: %w", err)
	}
	if file.Version != AccuracyVersion {
		return nil, fmt.Errorf("split: read accuracy: %w: version is %.40q, want %q", ErrFormat, file.Version, AccuracyVersion)
	}
	if err := file.Accuracy.validate(); err != nil {
		return nil, fmt.Errorf("split: read accuracy: %w: %w", ErrFormat, err)
	}
	return &file.Accuracy, nil
}

// AccuracyLimit bounds what lossy codecs may cost a classifier. A codec that is not lossless is used only
// where it was measured, and the losses of all hops of a partition, each as it was measured by itself, add up:
// together they must leave at least the bound. That two losses are no worse together than their sum is an
// assumption, which no measurement of single cuts can prove; gains count as nothing. Outputs on their way back
// may not lose anything.
type AccuracyLimit struct {
	Measured *Accuracy
	// Least is the smallest share of right answers, from 0 to 1.
	Least float64
	// Lossless are the codecs that change no bit and need no measurement. [RawCodec] always is one.
	Lossless []string
}

// allowance is an AccuracyLimit for a problem, with one way to divide among the hops what may be lost. Losses
// are in examples.
type allowance struct {
	measured *Accuracy
	lossless []string
	losses   []map[string]int64 // of codecs, by index of the position
	all      int64              // most that all hops may lose together
	hop      int64              // most that one hop may lose
	only     int                // the number of the host whose hops alone may, or none
}

// losable is the rounding that is allowed in a share of examples.
const losable = 1e-12

// allowances checks a limit and lists the ways to divide what may be lost: each hop may lose an n-th part of
// it, for all n that make a difference, or only the hops from one of the hosts may lose something, which is all
// of it. Once n is the number of hops, what they lose together keeps the limit by itself. A nil limit has one
// way, which is nil.
func (t *tables) allowances(limit *AccuracyLimit) ([]*allowance, error) {
	if limit == nil {
		return []*allowance{nil}, nil
	}
	m := limit.Measured
	if m == nil {
		return nil, fmt.Errorf("accuracy limit without measurements")
	}
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("measured accuracy: %w", err)
	}
	if !(limit.Least >= 0 && limit.Least <= 1) {
		return nil, fmt.Errorf("smallest accuracy is %g, want 0 to 1", limit.Least)
	}
	if m.Model.Digest != t.digest() {
		return nil, fmt.Errorf("accuracy was measured with model %q (digest %s), want %q (digest %s)", m.Model.Name, m.Model.Digest, t.Model.Name, t.digest())
	}
	need := int64(math.Ceil(limit.Least*float64(m.Examples) - losable*float64(m.Examples)))
	a := allowance{only: none, measured: m, lossless: limit.Lossless, all: int64(m.Correct) - need, losses: make([]map[string]int64, len(t.order))}
	if a.all < 0 {
		return nil, fmt.Errorf("%w: the unsplit model has %d of %d right, want %d", ErrNoPartition, m.Correct, m.Examples, need)
	}
	known := []int64{0}
	for _, c := range m.Cuts {
		if c.Position > t.Layers || t.index[c.Position] < 0 {
			continue
		}
		at := t.index[c.Position]
		if t.order[at].Bytes != c.Bytes {
			return nil, fmt.Errorf("accuracy was measured with %d bytes at position %d, want %d", c.Bytes, c.Position, t.order[at].Bytes)
		}
		a.losses[at] = map[string]int64{}
		for _, codec := range c.Codecs {
			loss := max(0, int64(m.Correct-codec.Correct))
			a.losses[at][codec.Name] = loss
			known = append(known, loss)
		}
	}
	slices.Sort(known)
	var ways []*allowance
	for n := range t.mostHops() {
		part := a.all / int64(n+1)
		i, exact := slices.BinarySearch(known, part)
		if !exact {
			i--
		}
		if part = known[i]; len(ways) > 0 && part == ways[len(ways)-1].hop {
			continue
		}
		way := a
		way.hop = part
		if ways = append(ways, &way); part == 0 {
			break
		}
	}
	for only := 0; ways[0].hop > 0 && only < len(t.hosts); only++ {
		way := *ways[0]
		way.only = only
		ways = append(ways, &way)
	}
	return ways, nil
}

// digest is that of the model that is planned for.
func (t *tables) digest() string {
	if t.Model.Digest != "" {
		return t.Model.Digest
	}
	return t.Profiles[t.Hosts[0]].Model.Digest
}

// mostHops bounds the hops there of any partition: each stage has up to two.
func (t *tables) mostHops() int { return 2 * len(t.Hosts) }

// loss is how many right answers a codec costs at an index of a position; not ok where that is unknown.
func (a *allowance) loss(at int, codec string) (loss int64, ok bool) {
	if codec == RawCodec || slices.Contains(a.lossless, codec) {
		return 0, true
	}
	loss, ok = a.losses[at][codec]
	return loss, ok
}

// allows says whether a hop from a host may use a codec; a nil allowance has no objection.
func (a *allowance) allows(from, at int, codec string) bool {
	if a == nil {
		return true
	}
	loss, ok := a.loss(at, codec)
	back := at == len(a.losses)-1
	return ok && (loss == 0 || loss <= a.hop && !back && (a.only == none || a.only == from))
}

// binds says whether the hops of some partition could lose too much together.
func (a *allowance) binds(hops int) bool { return a != nil && a.hop*int64(hops) > a.all }

// lost is what a hop loses.
func (t *tables) lost(h *HopCost) int64 {
	loss, _ := t.allowance.loss(t.index[h.Position], h.Codec)
	return loss
}

// within is the tables with hops that keep an allowance.
func (t *tables) within(a *allowance) *tables {
	if a == nil {
		return t
	}
	fewer := *t
	fewer.allowance = a
	fewer.rates, fewer.ready = make([][]HopCost, len(t.rates)), false
	return &fewer
}

// share is what an estimate's hops leave of the right answers, as a share of all.
func (t *tables) share(e *Estimate) float64 {
	right := int64(t.allowance.measured.Correct)
	for i := range e.Hops {
		right -= t.lost(&e.Hops[i])
	}
	return float64(right) / float64(t.allowance.measured.Examples)
}

// once leaves the first of the estimates of each partition, in the query's order.
func (q Query) once(all []Estimate) []Estimate {
	slices.SortStableFunc(all, func(a, b Estimate) int {
		return cmp.Or(q.Compare(a, b), cmp.Compare(b.Accuracy, a.Accuracy))
	})
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(e Estimate) bool {
		text := e.Partition.String()
		again := seen[text]
		seen[text] = true
		return again
	})
}
