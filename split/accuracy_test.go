package split

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const accuracyJSON = `{
  "version": "scission-accuracy/1",
  "model": {"name": "m", "digest": "d"},
  "date": "2026-11-23T09:00:00Z",
  "data": "test.npz",
  "examples": 1000,
  "correct": 921,
  "cuts": [
    {"position": 0, "bytes": 4},
    {"position": 3, "bytes": 8, "codecs": [
      {"name": "raw", "correct": 921, "same": 1000, "wire_bytes": 36},
      {"name": "u8", "correct": 923, "same": 990, "wire_bytes": 12}
    ]}
  ]
}`

func TestAccuracyIsReadAsItIsWritten(t *testing.T) {
	a, err := ReadAccuracy(strings.NewReader(accuracyJSON), MaxAccuracyBytes)
	if err != nil {
		t.Fatal(err)
	}
	if a.Top1() != .921 || a.Cuts[1].Codecs[1] != (CodecAccuracy{"u8", 923, 990, 12}) || a.Date.Year() != 2026 {
		t.Errorf("got %+v", a)
	}
	checkAccuracyRoundTrip(t, a)
}

func checkAccuracyRoundTrip(t *testing.T, a *Accuracy) {
	t.Helper()
	var b bytes.Buffer
	if err := a.Write(&b); err != nil {
		t.Fatal(err)
	}
	again, err := ReadAccuracy(&b, MaxAccuracyBytes)
	if err != nil || !reflect.DeepEqual(a, again) {
		t.Fatalf("got %+v, %v, want %+v", again, err, a)
	}
}

func TestWrongAccuraciesAreRefused(t *testing.T) {
	for _, tt := range []struct{ was, is, want string }{
		{`accuracy/1"`, `accuracy/2"`, "version"},
		{`"digest": "d"`, `"digest": ""`, "model.digest"},
		{`"examples": 1000`, `"examples": 0`, "examples"},
		{`"examples": 1000`, `"examples": 1073741825`, "examples"},
		{`"correct": 921,
`, `"correct": 1001,`, "correct"},
		{`"correct": 921,
`, `"correct": -1,`, "correct"},
		{`"data"`, `"set"`, `unknown field "set"`},
		{`"data": "test.npz"`, `"data": null`, "data: got null"},
		{`"position": 3`, `"position": 0`, "cuts[1].position"},
		{`"position": 3`, `"position": 65537`, "cuts[1].position"},
		{`"bytes": 8`, `"bytes": -8`, "cuts[1].bytes"},
		{`"name": "u8"`, `"name": "raw"`, "cuts[1].codecs[1].name"},
		{`"name": "u8"`, `"name": ""`, "cuts[1].codecs[1].name"},
		{`"correct": 923`, `"correct": 910`, "only 10 answers are not the same"},
		{`"correct": 923`, `"correct": 932`, "only 10 answers are not the same"},
		{`"correct": 923`, `"correct": 1001`, "cuts[1].codecs[1].correct"},
		{`"same": 990`, `"same": 1001`, "cuts[1].codecs[1].same"},
		{`"wire_bytes": 12`, `"wire_bytes": -1`, "cuts[1].codecs[1].wire_bytes"},
	} {
		text := strings.Replace(accuracyJSON, tt.was, tt.is, 1)
		if text == accuracyJSON {
			t.Fatalf("%s is not there", tt.was)
		}
		if a, err := ReadAccuracy(strings.NewReader(text), MaxAccuracyBytes); a != nil || !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.is, err, tt.want)
		}
	}
	if _, err := ReadAccuracy(strings.NewReader(accuracyJSON), int64(len(accuracyJSON))-1); !errors.Is(err, ErrFormat) {
		t.Errorf("a file that is too long: %v", err)
	}
	if _, err := ReadAccuracy(strings.NewReader(accuracyJSON), int64(len(accuracyJSON))); err != nil {
		t.Errorf("a file as long as the limit: %v", err)
	}
}

func FuzzReadAccuracy(f *testing.F) {
	f.Add([]byte(accuracyJSON))
	f.Add([]byte(`{"version":"scission-accuracy/1","model":{"name":"","digest":"d"},"examples":1,"correct":1e0,"cuts":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ReadAccuracy(bytes.NewReader(data), 1<<14)
		if (a == nil) == (err == nil) {
			t.Fatalf("got %v and %v, want a value or an error", a, err)
		}
		if err != nil {
			return
		}
		if share := a.Top1(); !(share >= 0 && share <= 1) {
			t.Fatalf("top-1 is %g", share)
		}
		checkAccuracyRoundTrip(t, a)
	})
}

// lossyToy is the toy with what u8 does: a quarter of the bytes at no cost in time, and with it a network
// over which splits pay.
func lossyToy(t *testing.T) (Problem, *Accuracy) {
	t.Helper()
	pb := toy(t)
	pb.Model.Digest = pb.Profiles["device"].Model.Digest
	pb.Codecs = []string{"u8"}
	one := Samples{0}
	a := &Accuracy{Model: pb.Model, Examples: 1000, Correct: 900}
	for _, at := range pb.Positions {
		for _, p := range pb.Profiles {
			p.Cuts = append(p.Cuts, CutProfile{Position: at.P, Width: at.Width, Bytes: at.Bytes, Codecs: []CodecProfile{{"u8", at.Bytes / 4, one, one}}})
		}
		a.Cuts = append(a.Cuts, CutAccuracy{Position: at.P, Bytes: at.Bytes, Codecs: []CodecAccuracy{{"u8", 900, 1000, at.Bytes / 4}}})
	}
	for _, p := range pb.Profiles {
		slices.SortFunc(p.Cuts, func(a, b CutProfile) int { return cmp.Compare(a.Position, b.Position) })
	}
	slices.SortFunc(a.Cuts, func(a, b CutAccuracy) int { return cmp.Compare(a.Position, b.Position) })
	return pb, a
}

// codecsAt are the codecs of the hops there, and the predicted accuracy.
func codecsAt(e Estimate) string {
	s := fmt.Sprint(e.Partition, " ", e.Accuracy)
	for _, h := range e.Hops {
		s += fmt.Sprintf(" %d:%s", h.Position, h.Codec)
	}
	return s
}

func TestLossyCodecsKeepTheAccuracyLimit(t *testing.T) {
	lose := func(loss map[int]int) func(*Accuracy) {
		return func(a *Accuracy) {
			for i := range a.Cuts {
				c := &a.Cuts[i].Codecs[0]
				c.Correct -= loss[a.Cuts[i].Position]
				c.Same -= max(loss[a.Cuts[i].Position], -loss[a.Cuts[i].Position])
			}
		}
	}
	use := Query{Use: []string{"device", "edge", "cloud"}}
	one := Query{Layers: []LayerRule{{"device", "0-1", true}, {"edge", "2-3", true}}}
	for _, tt := range []struct {
		name   string
		query  Query
		change func(*Accuracy)
		least  float64
		want   string
	}{
		{"nothing is lost", one, lose(nil), .9, "device:0-1,edge:2-3 0.9 2:u8 4:u8"},
		{"a hop over the limit is sent raw", one, lose(map[int]int{2: 11}), .89, "device:0-1,edge:2-3 0.9 2:raw 4:u8"},
		{"a hop at the limit is not", one, lose(map[int]int{2: 10}), .89, "device:0-1,edge:2-3 0.89 2:u8 4:u8"},
		{"gains make up for nothing", one, lose(map[int]int{2: 10, 4: -5}), .89, "device:0-1,edge:2-3 0.89 2:u8 4:u8"},
		{"outputs may not lose", one, lose(map[int]int{2: 6, 4: 4}), .89, "device:0-1,edge:2-3 0.894 2:u8 4:raw"},
		{"what was not measured is sent raw", one, func(a *Accuracy) { a.Cuts = nil }, .5, "device:0-1,edge:2-3 0.9 2:raw 4:raw"},
		{"losses add up", use, lose(map[int]int{1: 4, 2: 6}), .89, "device:0-0,edge:1-1,cloud:2-3 0.89 1:u8 2:u8 4:u8 4:u8"},
		{"and keep the limit together", use, lose(map[int]int{1: 8, 2: 8}), .89, "device:0-0,edge:1-1,cloud:2-3 0.892 1:u8 2:raw 4:u8 4:u8"},
	} {
		pb, a := lossyToy(t)
		tt.change(a)
		q := tt.query
		q.Accuracy = &AccuracyLimit{Measured: a, Least: tt.least}
		best, err := pb.Rank(q)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := codecsAt(best[0]); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestAccuracyLimitsMustFitTheProblem(t *testing.T) {
	for _, tt := range []struct {
		want   string
		change func(*Problem, *AccuracyLimit)
	}{
		{"without measurements", func(_ *Problem, l *AccuracyLimit) { l.Measured = nil }},
		{"want 0 to 1", func(_ *Problem, l *AccuracyLimit) { l.Least = 1.1 }},
		{"want 0 to 1", func(_ *Problem, l *AccuracyLimit) { l.Least = -.1 }},
		{"digest", func(_ *Problem, l *AccuracyLimit) { l.Measured.Model.Digest = "other" }},
		{"bytes at position 2", func(_ *Problem, l *AccuracyLimit) { l.Measured.Cuts[2].Bytes++ }},
		{"examples", func(_ *Problem, l *AccuracyLimit) { l.Measured.Examples = 0 }},
	} {
		pb, a := lossyToy(t)
		limit := &AccuracyLimit{Measured: a, Least: .5}
		tt.change(&pb, limit)
		if _, err := pb.Rank(Query{Accuracy: limit}); err == nil || errors.Is(err, ErrNoPartition) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want an error with %q", err, tt.want)
		}
	}
	pb, a := lossyToy(t)
	if _, err := pb.Rank(Query{Accuracy: &AccuracyLimit{Measured: a, Least: .901}}); !errors.Is(err, ErrNoPartition) {
		t.Errorf("a model that is below the limit itself: got %v, want ErrNoPartition", err)
	}
	if _, err := pb.Rank(Query{Accuracy: &AccuracyLimit{Measured: a, Least: .9}}); err != nil {
		t.Errorf("a model at the limit: %v", err)
	}
}

// drawAccuracy measures some codecs at some cuts of a problem.
func drawAccuracy(t *rapid.T, pb *Problem) *AccuracyLimit {
	pb.Codecs = []string{"zip", "lossy"}
	for _, name := range sortedKeys(pb.Profiles) {
		p := pb.Profiles[name]
		for i := range p.Cuts {
			if rapid.IntRange(0, 3).Draw(t, "lossy there") > 0 {
				small := rapid.IntRange(0, 3)
				p.Cuts[i].Codecs = append(p.Cuts[i].Codecs, CodecProfile{"lossy", int64(small.Draw(t, "wire")), Samples{0}, Samples{0}})
			}
		}
	}
	a := &Accuracy{Model: Model{"", "d"}, Examples: 100, Correct: 90}
	positions := slices.SortedFunc(slices.Values(pb.Positions), func(a, b Position) int { return cmp.Compare(a.P, b.P) })
	for _, at := range positions {
		c := CutAccuracy{Position: at.P, Bytes: at.Bytes}
		for _, name := range []string{"zip", "lossy"} {
			if rapid.IntRange(0, 4).Draw(t, "measured") > 0 {
				c.Codecs = append(c.Codecs, CodecAccuracy{Name: name, Correct: 90 - rapid.IntRange(-1, 6).Draw(t, "loss"), Same: 50})
			}
		}
		a.Cuts = append(a.Cuts, c)
	}
	limit := &AccuracyLimit{Measured: a, Least: float64(90-rapid.IntRange(0, 10).Draw(t, "may be lost")) / 100}
	if rapid.Bool().Draw(t, "zip is lossless") {
		limit.Lossless = []string{"zip"}
	}
	return limit
}

// priceHop is what a hop costs with the fastest of some codecs.
func priceHop(pb Problem, h HopCost, allowed func(codec string) bool) HopCost {
	link, _ := pb.Network.Link(h.From, h.To)
	find := func(host, codec string) *CodecProfile {
		c := pb.Profiles[host].Cut(h.Position)
		if c == nil {
			return nil
		}
		for i := range c.Codecs {
			if c.Codecs[i].Name == codec {
				return &c.Codecs[i]
			}
		}
		return nil
	}
	best := h
	for i, codec := range append([]string{RawCodec}, pb.Codecs...) {
		c := h
		c.Codec, c.Wire, c.Encode, c.Decode = codec, h.Bytes, 0, 0
		encoder, decoder := find(h.From, codec), find(h.To, codec)
		if codec != RawCodec && (encoder == nil || decoder == nil || !allowed(codec)) {
			continue
		}
		if encoder != nil {
			c.Wire, c.Encode = encoder.WireBytes, encoder.Encode.Median()
		}
		if decoder != nil {
			c.Decode = decoder.Decode.Median()
		}
		if c.Travel = link.Travel(c.Wire); i == 0 || c.Time() < best.Time() || c.Time() == best.Time() && c.Wire < best.Wire {
			best = c
		}
	}
	return best
}

// withLosses is every partition with every way to divide what may be lost.
func withLosses(pb Problem, q Query) (all []Estimate) {
	limit := q.Accuracy
	q.Accuracy = nil
	loss := func(position int, codec string) (int, bool) {
		if codec == RawCodec || slices.Contains(limit.Lossless, codec) {
			return 0, true
		}
		for _, c := range limit.Measured.Cuts {
			for _, k := range c.Codecs {
				if c.Position == position && k.Name == codec {
					return max(0, limit.Measured.Correct-k.Correct), true
				}
			}
		}
		return 0, false
	}
	may := int(float64(limit.Measured.Correct) - limit.Least*float64(limit.Measured.Examples) + 1e-6)
	type way struct {
		most int
		only string
	}
	var ways []way
	for n := range 2 * len(pb.Hosts) {
		ways = append(ways, way{may / (n + 1), ""})
	}
	for _, host := range append(sortedKeys(pb.Profiles), pb.Source) {
		if host != "" {
			ways = append(ways, way{may, host})
		}
	}
	everything := q
	everything.Top = MaxTop
	for _, e := range rankAll(pb, everything) {
		for _, w := range ways {
			f, lost := e, 0
			f.Hops = slices.Clone(e.Hops)
			for i, h := range f.Hops {
				f.Hops[i] = priceHop(pb, h, func(codec string) bool {
					l, ok := loss(h.Position, codec)
					return ok && (l == 0 || l <= w.most && !h.Back && (w.only == "" || w.only == h.From))
				})
				f.Total += f.Hops[i].Time() - h.Time()
				l, _ := loss(h.Position, f.Hops[i].Codec)
				lost += l
			}
			f.Accuracy = float64(limit.Measured.Correct-lost) / float64(limit.Measured.Examples)
			if lost <= may && keepsLimits(pb, q, f) {
				all = append(all, f)
			}
		}
	}
	return all
}

func TestAccuracyLimitsAgreeWithExhaustiveSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pb, q := drawLimits(t)
		q.Accuracy, q.NoCodecs, q.Layers = drawAccuracy(t, &pb), nil, nil
		all := withLosses(pb, q)
		objectives := []Objective{Latency, Egress}
		got, err := pb.Pareto(q, objectives...)
		if err != nil && !errors.Is(err, ErrNoPartition) {
			t.Fatal(err)
		}
		want := q.Front(all, objectives...)
		same := func(a, b Estimate) bool { return a.Total == b.Total && a.Egress() == b.Egress() }
		if !slices.EqualFunc(got, want, same) {
			t.Fatalf("the front is\n%v, want\n%v", got, want)
		}

		got, err = pb.Rank(q)
		if err != nil && !errors.Is(err, ErrNoPartition) {
			t.Fatal(err)
		}
		slices.SortStableFunc(all, func(a, b Estimate) int {
			return cmp.Or(q.Compare(a, b), cmp.Compare(b.Accuracy, a.Accuracy))
		})
		seen := map[string]bool{}
		want = nil
		for _, e := range all {
			if text := e.Partition.String(); !seen[text] && len(want) < max(q.Top, 1) {
				seen[text] = true
				want = append(want, e)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d results, want %d: %v\n%v\n%v", len(got), len(want), err, got, want)
		}
		for i := range got {
			if codecsAt(got[i]) != codecsAt(want[i]) || got[i].Total != want[i].Total {
				t.Fatalf("rank %d is\n%s, want\n%s", i, codecsAt(got[i]), codecsAt(want[i]))
			}
		}
	})
}

func TestBreakEvenKeepsTheAccuracyLimit(t *testing.T) {
	pb, a := lossyToy(t)
	for i := range a.Cuts {
		a.Cuts[i].Codecs[0].Correct, a.Cuts[i].Codecs[0].Same = 800, 900
	}
	planner, err := pb.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	for least, want := range map[float64]string{.9: RawCodec, .7: "u8"} {
		b, err := planner.BreakEven(Query{Accuracy: &AccuracyLimit{Measured: a, Least: least}})
		if err != nil || b.Split.Hops[0].Codec != want {
			t.Errorf("at least %g: got %v, %v, want %s", least, b.Split, err, want)
		}
	}
}
