package split

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawLimits gives a small random problem and a query with an objective and limits of every kind.
func drawLimits(t *rapid.T) (Problem, Query) {
	pb, q := drawProblem(t)
	for i := range pb.Layers {
		op := rapid.SampledFrom([]string{"Conv[3x3]", "Relu", "Add", "Conv[1x1]+Clip[0,6]"}).Draw(t, "op")
		for _, p := range pb.Profiles {
			p.Layers[i].Name, p.Layers[i].Op = fmt.Sprintf("L%d", i), op
			p.Layers[i].Weights, p.Layers[i].Live = int64(rapid.IntRange(0, 2).Draw(t, "weights")), int64(rapid.IntRange(1, 3).Draw(t, "live"))
		}
	}
	maybe := func(label string) bool { return rapid.IntRange(0, 3).Draw(t, label) == 0 }
	host := rapid.SampledFrom(pb.Hosts)
	q.Objective = Objective(rapid.IntRange(int(Latency), int(Energy)).Draw(t, "objective"))
	q.Power = map[string]Power{}
	for name := range pb.Profiles {
		if rapid.Bool().Draw(t, "powered") {
			q.Power[name] = Power{float64(rapid.IntRange(0, 3).Draw(t, "watts")), float64(rapid.IntRange(0, 3).Draw(t, "joules")) * 1e-9}
		}
	}
	if maybe("max total") {
		q.MaxTotal = time.Duration(rapid.IntRange(1, 30).Draw(t, "total"))
	}
	for maybe("compute limit") {
		l := ComputeLimit{Host: host.Draw(t, "host")}
		if rapid.Bool().Draw(t, "per cent") {
			l.Percent = float64(rapid.IntRange(1, 1000).Draw(t, "permille")) / 10
		} else {
			l.Time = time.Duration(rapid.IntRange(1, 8).Draw(t, "limit"))
		}
		q.Compute = append(q.Compute, l)
	}
	for maybe("memory limit") {
		if q.Memory == nil {
			q.Memory = map[string]int64{}
		}
		q.Memory[host.Draw(t, "host")] = int64(rapid.IntRange(1, 12).Draw(t, "memory"))
	}
	source := cmp.Or(pb.Source, pb.Hosts[0])
	for maybe("upload limit") {
		l := UploadLimit{From: rapid.SampledFrom(append(pb.Hosts, source)).Draw(t, "from"), Bytes: int64(rapid.IntRange(0, 4).Draw(t, "limit"))}
		if rapid.Bool().Draw(t, "link") {
			l.To = host.Draw(t, "to")
		}
		q.Upload = append(q.Upload, l)
	}
	for maybe("layer rule") {
		layers := rapid.SampledFrom([]string{"0", "-1", "L0", "L*", "0-end", fmt.Sprint(pb.Layers / 2), "L[0-2]"}).Draw(t, "layers")
		q.Layers = append(q.Layers, LayerRule{host.Draw(t, "host"), layers, rapid.Bool().Draw(t, "in")})
	}
	if maybe("no codec") {
		q.NoCodecs = []string{rapid.SampledFrom([]string{"raw", "zip", "none"}).Draw(t, "codec")}
	}
	if maybe("private") {
		q.Nonlinear = rapid.IntRange(0, 3).Draw(t, "nonlinear")
	}
	return pb, q
}

// keepsLimits checks an estimate against a query limit by limit.
func keepsLimits(pb Problem, q Query, e Estimate) bool {
	source := cmp.Or(pb.Source, pb.Hosts[0])
	if q.MaxTotal > 0 && e.Total > q.MaxTotal {
		return false
	}
	var all time.Duration
	for _, s := range e.Stages {
		all += s.Compute
	}
	for _, l := range q.Compute {
		for _, s := range e.Stages {
			if s.Host != l.Host {
				continue
			}
			permille := int64(l.Percent*10 + .5)
			if l.Time > 0 && s.Compute > l.Time || permille > 0 && int64(s.Compute)*1000 > permille*int64(all) {
				return false
			}
		}
	}
	for _, s := range e.Stages {
		var weights, live int64
		for _, l := range pb.Profiles[s.Host].Layers[s.Segment.From:s.Segment.To] {
			weights, live = weights+l.Weights, max(live, l.Live)
		}
		if limit, limited := q.Memory[s.Host]; limited && weights+live > limit {
			return false
		}
	}
	for _, l := range q.Upload {
		var sent int64
		for _, h := range e.Hops {
			if !h.Back && h.From == l.From && (l.To == "" || l.To == h.To) {
				sent += h.Wire
			}
		}
		if sent > l.Bytes {
			return false
		}
	}
	for _, r := range q.Layers {
		for i := range pb.Layers {
			var about bool
			switch r.Layers {
			case "-1":
				about = i == pb.Layers-1
			case "L*", "0-end":
				about = true
			case "L[0-2]":
				about = i <= 2
			default:
				about = strings.TrimPrefix(r.Layers, "L") == fmt.Sprint(i)
			}
			for _, s := range e.Stages {
				if on := s.Segment.From <= i && i < s.Segment.To; about && on && r.In != (s.Host == r.Host) {
					return false
				}
			}
		}
	}
	before := pb.Layers // layers on the source before data first leaves it
	if len(e.Hops) > 0 {
		before = e.Hops[0].Position
	}
	seen := 0
	for i := range before {
		if op := pb.Profiles[source].Layers[i].Op; op == "Relu" || strings.Contains(op, "Clip") {
			seen++
		}
	}
	if len(e.Hops) > 0 && e.ShipsInput != (seen == 0) {
		panic("the warning about the input is wrong")
	}
	return len(e.Hops) == 0 || seen >= q.Nonlinear
}

// allWithin is every partition that keeps a query's conditions and limits, by latency.
func allWithin(pb Problem, q Query) (all []Estimate) {
	everything := q
	everything.Top = MaxTop
	for _, e := range rankAll(pb, everything) {
		if keepsLimits(pb, q, e) {
			all = append(all, e)
		}
	}
	return all
}

// withoutCodecs leaves codecs out of a problem itself. Raw has no such way: the partitions are left out that
// would use it where nothing else is measured.
func withoutCodecs(pb Problem, q Query) Problem {
	pb.Codecs = slices.DeleteFunc(slices.Clone(pb.Codecs), func(c string) bool { return slices.Contains(q.NoCodecs, c) })
	return pb
}

func TestLimitsAndObjectivesAgreeWithExhaustiveSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pb, q := drawLimits(t)
		if slices.Contains(q.NoCodecs, RawCodec) {
			q.NoCodecs = nil // see TestRawMayBeExcluded
		}
		got, err := pb.Rank(q)
		if err != nil && !errors.Is(err, ErrNoPartition) {
			if r := slices.IndexFunc(q.Layers, func(r LayerRule) bool { return r.Layers == "L[0-2]" }); r >= 0 || len(q.Layers) == 0 {
				t.Fatal(err)
			}
			return
		}
		want := allWithin(withoutCodecs(pb, q), q)
		slices.SortStableFunc(want, func(a, b Estimate) int {
			return cmp.Compare(a.value(q.Objective, q.Power), b.value(q.Objective, q.Power))
		})
		want = want[:min(len(want), max(q.Top, 1))]
		if len(got) != len(want) {
			t.Fatalf("%d results, want %d: %v", len(got), len(want), err)
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("rank %d is\n%v, want\n%v", i, got[i], want[i])
			}
		}
	})
}

// TestSweepAgreesWithEnumeration compares the two ways of searching where both can answer.
func TestSweepAgreesWithEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pb, q := drawLimits(t)
		tables, err := pb.tables()
		if err != nil {
			t.Fatal(err)
		}
		s, err := tables.search(q)
		if err != nil {
			return
		}
		l, err := s.lattice()
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.sweepWithin(l, s.query.Top)
		if err != nil {
			t.Fatal(err)
		}
		if q.Objective == Throughput {
			return // cannot be enumerated in order
		}
		s.charges.limits = false // never give up
		want, complete, err := s.enumerate(l)
		if err != nil || !complete || !reflect.DeepEqual(got, want) {
			t.Fatalf("the sweep finds\n%v, enumeration (%v, %v)\n%v", got, complete, err, want)
		}
	})
}

func TestParetoAgreesWithExhaustiveSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pb, q := drawLimits(t)
		q.NoCodecs = nil
		objectives := rapid.Permutation([]Objective{Latency, Throughput, Egress, Energy}).Draw(t, "objectives")
		objectives = objectives[:rapid.IntRange(2, 3).Draw(t, "number")]
		got, err := pb.Pareto(q, objectives...)
		if err != nil && !errors.Is(err, ErrNoPartition) {
			if len(q.Layers) == 0 {
				t.Fatal(err)
			}
			return
		}
		values := func(e Estimate) (v []int64) {
			for _, o := range objectives {
				v = append(v, e.value(o, q.Power))
			}
			return v
		}
		all := allWithin(pb, q)
		var want []Estimate
		for i, e := range all {
			beaten := slices.ContainsFunc(all, func(f Estimate) bool {
				less, more := false, false
				for k, v := range values(f) {
					less = less || v < values(e)[k]
					more = more || v > values(e)[k]
				}
				return less && !more
			})
			again := slices.ContainsFunc(all[:i], func(f Estimate) bool { return slices.Equal(values(f), values(e)) })
			if !beaten && !again {
				want = append(want, e)
			}
		}
		slices.SortFunc(want, func(a, b Estimate) int { return slices.Compare(values(a), values(b)) })
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%v: the front is\n%v, want\n%v", objectives, got, want)
		}
	})
}

func TestPlannerAnswersAsTheProblem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pb, q := drawLimits(t)
		planner, err := pb.Prepare()
		if err != nil {
			t.Fatal(err)
		}
		want, wantErr := pb.Rank(q)
		got, err := planner.Rank(q)
		if !reflect.DeepEqual(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("got %v, %v, want %v, %v", got, err, want, wantErr)
		}
		for _, e := range want {
			if len(q.NoCodecs) > 0 {
				break
			}
			if again, err := planner.Predict(e.Partition); err != nil || !reflect.DeepEqual(again, e) {
				t.Fatalf("got %v, %v, want %v", again, err, e)
			}
		}
	})
}

func TestRawMayBeExcluded(t *testing.T) {
	pb := toy(t)
	pb.Codecs = []string{"zstd"}
	one := Samples{0}
	for _, p := range pb.Profiles {
		for _, at := range pb.Positions {
			if at.P == 1 || at.P == 4 {
				p.Cuts = append(p.Cuts, CutProfile{Position: at.P, Width: at.Width, Bytes: at.Bytes, Codecs: []CodecProfile{{"zstd", 2 * at.Bytes, one, one}}})
			}
		}
	}
	best, err := pb.Rank(Query{SplitOnly: true, NoCodecs: []string{RawCodec}, Top: 10})
	if err != nil || len(best) != 1 || best[0].Partition.String() != "device:0-0,edge:1-3" || best[0].Hops[0].Wire != 1_000_000 {
		t.Errorf("got %v, %v, want only what zstd can send", best, err)
	}
}

func TestTooHardQueriesAreErrors(t *testing.T) {
	planner, err := large(t, 40, 5).Prepare()
	if err != nil {
		t.Fatal(err)
	}
	shares := []ComputeLimit{{Host: "host4", Percent: 1}, {Host: "host3", Percent: 5}, {Host: "host0", Percent: 60}}
	for _, change := range []func(*effort){
		func(*effort) {}, func(e *effort) { e.edges = 10 }, func(e *effort) { e.steps = 10 }, func(e *effort) { e.labels = 10 },
	} {
		s, err := planner.t.search(Query{Top: 20, Compute: shares})
		if err != nil {
			t.Fatal(err)
		}
		change(&s.most)
		best, err := s.best()
		if s.most == mostEffort && len(best) != 20 || s.most != mostEffort && (!errors.Is(err, ErrTooHard) || best != nil) {
			t.Errorf("%+v: %d results, %v", s.most, len(best), err)
		}
	}
}

// noisy is large with layers and cuts of very different cost, so that few partitions are like others.
func noisy(tb testing.TB, layers, hosts int, seed uint64) *Planner {
	tb.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	pb := large(tb, layers, hosts)
	for i := range pb.Positions {
		pb.Positions[i].Bytes = int64(float64(pb.Positions[i].Bytes) * (.03 + .3*r.Float64()))
	}
	some := func(most float64) Samples { return Samples{time.Duration(r.ExpFloat64() * most)} }
	for h, host := range pb.Hosts {
		p := pb.Profiles[host]
		for i := range p.Layers {
			p.Layers[i].Samples = some(1e6 / float64(1+h))
		}
		for i := range p.Cuts {
			p.Cuts[i] = CutProfile{Position: i, Width: 1, Bytes: pb.Positions[i].Bytes, Leave: some(1e5), Enter: some(1e5)}
		}
	}
	planner, err := pb.Prepare()
	if err != nil {
		tb.Fatal(err)
	}
	return planner
}

// hardQueries are about noisy problems of 300 layers on 5 hosts.
var hardQueries = map[string]Query{
	"shares":            {Compute: []ComputeLimit{{Host: "host0", Percent: 26.7}, {Host: "host2", Percent: 38.9}}, Use: []string{"host3"}},
	"time":              {Compute: []ComputeLimit{{Host: "host4", Percent: 14.8}, {Host: "host0", Percent: 32.7}, {Host: "host0", Time: ms(52)}}},
	"throughput":        {Objective: Throughput},
	"throughput+share":  {Objective: Throughput, Compute: []ComputeLimit{{Host: "host1", Percent: 15.1}}, Use: []string{"host4"}},
	"throughput+shares": {Objective: Throughput, Compute: []ComputeLimit{{Host: "host2", Percent: 38.4}, {Host: "host3", Percent: 41}, {Host: "host0", Time: ms(71)}}},
	"energy": {Objective: Energy, MaxTotal: ms(100), Compute: []ComputeLimit{{Host: "host2", Percent: 26}, {Host: "host4", Percent: 40.9}},
		Power: map[string]Power{"host0": {2, 1e-7}, "host1": {20, 0}, "host2": {40, 0}, "host3": {50, 0}, "host4": {150, 0}}},
}

// TestSeveralLimitsAtOnceAreAnswered: a partition that a known limit or bound wrongly ruled out would show in the
// small problems of the tests above; here it is the bounds that make an answer possible at all.
func TestSeveralLimitsAtOnceAreAnswered(t *testing.T) {
	for seed := range uint64(3) {
		planner := noisy(t, 300, 5, seed)
		for name, q := range hardQueries {
			best, err := planner.Rank(q)
			if err != nil {
				t.Errorf("%s of problem %d: %v", name, seed, err)
				continue
			}
			s, err := planner.t.search(q)
			if err != nil || !s.charges.keeps(s, best[0]) {
				t.Errorf("%s of problem %d: %v, %v", name, seed, best[0], err)
			}
		}
	}
}

func BenchmarkHard(b *testing.B) {
	planner := noisy(b, 300, 5, 1)
	for _, name := range sortedKeys(hardQueries) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := planner.Rank(hardQueries[name]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPlanner(b *testing.B) {
	for _, c := range []struct {
		name          string
		layers, hosts int
		query         Query
	}{
		{"plain", 92, 5, Query{}},
		{"layers", 92, 5, Query{Layers: []LayerRule{{"host0", "0-3", true}}}},
		{"egress", 92, 5, Query{Objective: Egress}},
		{"compute", 92, 5, Query{Compute: []ComputeLimit{{Host: "host4", Percent: 20}, {Host: "host0", Time: ms(20)}}}},
		{"throughput", 92, 5, Query{Objective: Throughput}},
		{"tight", 92, 5, Query{Compute: []ComputeLimit{{Host: "host4", Percent: 1}, {Host: "host3", Percent: 5}, {Host: "host2", Time: ms(5)}}}},
		{"shares", 92, 5, Query{Compute: []ComputeLimit{{Host: "host4", Percent: 1}, {Host: "host3", Percent: 5}, {Host: "host0", Percent: 60}}}},
		{"busy", 92, 5, Query{Objective: Throughput, Compute: []ComputeLimit{{Host: "host4", Percent: 20}, {Host: "host2", Percent: 10}}}},
		{"plain", 300, 5, Query{}},
		{"tight", 300, 5, Query{Compute: []ComputeLimit{{Host: "host4", Percent: 1}, {Host: "host3", Percent: 5}, {Host: "host2", Time: ms(5)}}}},
		{"shares", 300, 5, Query{Compute: []ComputeLimit{{Host: "host4", Percent: 1}, {Host: "host3", Percent: 5}, {Host: "host0", Percent: 60}}}},
		{"busy", 300, 5, Query{Objective: Throughput, Compute: []ComputeLimit{{Host: "host4", Percent: 20}, {Host: "host2", Percent: 10}}}},
		{"compute", 300, 5, Query{Compute: []ComputeLimit{{Host: "host4", Percent: 20}, {Host: "host0", Time: ms(20)}}}},
		{"throughput", 300, 5, Query{Objective: Throughput}},
	} {
		planner, err := large(b, c.layers, c.hosts).Prepare()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%s/layers=%d/hosts=%d", c.name, c.layers, c.hosts), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := planner.Rank(c.query); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPareto(b *testing.B) {
	for _, objectives := range [][]Objective{{Latency, Egress}, {Latency, Throughput}, {Latency, Throughput, Egress}} {
		planner, err := large(b, 92, 5).Prepare()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(objectives), func(b *testing.B) {
			for b.Loop() {
				if _, err := planner.Pareto(Query{}, objectives...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
