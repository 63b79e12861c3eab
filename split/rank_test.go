package split

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRankAgreesWithSumsByHand(t *testing.T) {
	best, err := toy(t).Rank(Query{Top: 100, MaxWidth: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(best) != len(toyAnswers) {
		t.Errorf("%d partitions, want %d", len(best), len(toyAnswers))
	}
	for i, e := range best {
		if want := toyAnswers[i]; e.Partition.String() != want.stages || e.Total != ms(want.want) {
			t.Errorf("rank %d is %v, want %v", i, e, want)
		}
	}
}

func TestQueriesNarrowTheChoice(t *testing.T) {
	pb := toy(t)
	tests := []struct {
		query Query
		want  string
	}{
		{Query{}, "device:0-1,edge:2-3"},
		{Query{Use: []string{"cloud"}, MaxWidth: 2}, "device:0-1,edge:2-2,cloud:3-3"},
		{Query{Use: []string{"cloud"}}, "device:0-0,edge:1-1,cloud:2-3"},
		{Query{Avoid: []string{"edge"}}, "device:0-3"},
		{Query{Avoid: []string{"device"}}, "edge:0-3"},
		{Query{Avoid: []string{"device"}, SplitOnly: true}, "edge:0-1,cloud:2-3"},
		{Query{Avoid: []string{"edge"}, Use: []string{"cloud"}}, ""},
		{Query{Avoid: []string{"edge"}, Use: []string{"edge"}}, ""},
		{Query{Avoid: []string{"device", "edge", "cloud"}}, ""},
	}
	for _, tt := range tests {
		best, err := pb.Rank(tt.query)
		if tt.want == "" {
			if !errors.Is(err, ErrNoPartition) || best != nil {
				t.Errorf("%+v: got %v, %v, want ErrNoPartition", tt.query, best, err)
			}
			continue
		}
		if err != nil || len(best) != 1 || best[0].Partition.String() != tt.want {
			t.Errorf("%+v: got %v, %v, want %s", tt.query, best, err, tt.want)
		}
	}
	for _, q := range []Query{{Top: -1}, {Top: MaxTop + 1}, {MaxWidth: -1}, {Use: []string{"fog"}}, {Avoid: []string{"fog"}}} {
		if _, err := pb.Rank(q); err == nil || errors.Is(err, ErrNoPartition) {
			t.Errorf("%+v: got %v, want an error of usage", q, err)
		}
	}
}

func TestBestSplitIsFoundWhereNativeWins(t *testing.T) {
	pb := toy(t)
	pb.Profiles["device"] = profile("device", 1, 1, 1, 1)
	best, err := pb.Rank(Query{Top: 1})
	if err != nil || !best[0].Native() {
		t.Fatalf("got %v, %v, want native execution", best, err)
	}
	split, err := pb.BestSplit(Query{Top: 7})
	if err != nil || split.Native() || split.Partition.String() != "device:0-1,edge:2-3" {
		t.Errorf("got %v, %v, want device:0-1,edge:2-3", split, err)
	}
}

func TestTiesGoToFewerHopsThenBytesThenText(t *testing.T) {
	n := &Network{}
	for _, pair := range [][2]string{{"a", "b"}, {"a", "c"}, {"b", "c"}} {
		if err := n.SetBoth(pair[0], pair[1], Link{Bandwidth: 1e18}); err != nil {
			t.Fatal(err)
		}
	}
	const layers = 12
	zeros := make([]float64, layers)
	pb := Problem{Layers: layers, Hosts: []string{"a", "b", "c"}, Network: n, Profiles: map[string]*Profile{
		"a": profile("a", zeros...), "b": profile("b", zeros...), "c": profile("c", zeros...),
	}}
	for p := range layers + 1 {
		pb.Positions = append(pb.Positions, Position{p, 100, 1})
	}
	pb.Positions[4].Bytes = 50
	best, err := pb.Rank(Query{Top: 8})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range best {
		if e.Total != 0 {
			t.Errorf("%v takes time", e)
		}
		got = append(got, e.Partition.String())
	}
	want := []string{
		"a:0-11",                       // no hop
		"a:0-3,b:4-11", "a:0-3,c:4-11", // two hops, 150 bytes
		"a:0-0,b:1-11", "a:0-0,c:1-11", "a:0-1,b:2-11", "a:0-1,c:2-11", "a:0-10,b:11-11", // as text, 10 is before 2
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// drawProblem draws small problems with many ties: costs are small integers.
func drawProblem(t *rapid.T) (Problem, Query) {
	layers := rapid.IntRange(1, 6).Draw(t, "layers")
	names := []string{"b", "a", "d", "c"}
	pb := Problem{Layers: layers, Hosts: names[:rapid.IntRange(1, 4).Draw(t, "hosts")], Network: &Network{}, Profiles: map[string]*Profile{}}
	pb.Source = rapid.SampledFrom([]string{"", "a", "d", "x"}).Draw(t, "source")
	small := rapid.IntRange(0, 3)
	samples := func() Samples { return Samples{time.Duration(small.Draw(t, "time"))} }
	for p := range layers + 1 {
		if p == 0 || p == layers || rapid.IntRange(0, 4).Draw(t, "listed") > 0 {
			pb.Positions = append(pb.Positions, Position{p, int64(small.Draw(t, "bytes")), rapid.IntRange(1, 2).Draw(t, "width")})
		}
	}
	everywhere := append(slices.Clone(names), "x")
	for _, host := range everywhere {
		p := &Profile{Model: Model{"", "d"}, Host: host}
		for range layers {
			p.Layers = append(p.Layers, LayerProfile{Samples: samples()})
		}
		for _, at := range pb.Positions {
			c := CutProfile{Position: at.P, Width: at.Width, Bytes: at.Bytes}
			// Half of the cuts add nothing, and some of these have samples that say so.
			if rapid.Bool().Draw(t, "adds") {
				c.Leave, c.Enter = samples(), samples()
			}
			for _, name := range []string{"raw", "zip"} {
				if rapid.Bool().Draw(t, name) {
					c.Codecs = append(c.Codecs, CodecProfile{name, int64(small.Draw(t, "wire")), samples(), samples()})
				}
			}
			p.Cuts = append(p.Cuts, c)
		}
		pb.Profiles[host] = p
	}
	// Where hosts reach only the source, all data goes through it.
	star := rapid.Bool().Draw(t, "star")
	source := pb.Source
	if source == "" {
		source = names[0]
	}
	for _, a := range everywhere {
		for _, b := range everywhere {
			if a != b && (!star || a == source || b == source) && rapid.IntRange(0, 5).Draw(t, "linked") > 0 {
				l := Link{Latency: time.Duration(small.Draw(t, "latency")), Bandwidth: 1e9 / float64(rapid.IntRange(1, 3).Draw(t, "bandwidth"))}
				if err := pb.Network.Set(a, b, l); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if rapid.Bool().Draw(t, "codecs") {
		pb.Codecs = []string{"zip"}
	}
	some := func(label string) (hosts []string) {
		for _, host := range pb.Hosts {
			if rapid.IntRange(0, 4).Draw(t, label) == 0 {
				hosts = append(hosts, host)
			}
		}
		return hosts
	}
	return pb, Query{
		Top:      rapid.IntRange(0, 40).Draw(t, "top"),
		MaxWidth: rapid.IntRange(0, 2).Draw(t, "max width"),
		Use:      some("use"), Avoid: some("avoid"), SplitOnly: rapid.Bool().Draw(t, "split only"),
	}
}

// rankAll is Rank by pricing every partition.
func rankAll(pb Problem, q Query) (all []Estimate) {
	var extend func(p Partition, hosts []string)
	extend = func(p Partition, hosts []string) {
		if len(p) > 0 && p[len(p)-1].Segment.To == pb.Layers {
			e, err := pb.Predict(p)
			missing := slices.ContainsFunc(q.Use, func(h string) bool { return !strings.Contains(p.String(), h+":") })
			if err == nil && !missing && !(q.SplitOnly && e.Native()) {
				all = append(all, e)
			}
			return
		}
		from := 0
		if len(p) > 0 {
			from = p[len(p)-1].Segment.To
		}
		for i, host := range hosts {
			for _, at := range pb.Positions {
				if at.P > from && (at.P == pb.Layers || at.Width <= max(q.MaxWidth, 1)) && !slices.Contains(q.Avoid, host) {
					extend(append(slices.Clone(p), Stage{host, Segment{from, at.P}}), hosts[i+1:])
				}
			}
		}
	}
	extend(nil, pb.Hosts)
	slices.SortFunc(all, Estimate.compare)
	return all[:min(len(all), max(q.Top, 1))]
}

func TestRankAgreesWithExhaustiveSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pb, q := drawProblem(t)
		got, err := pb.Rank(q)
		want := rankAll(pb, q)
		if (len(want) == 0) != errors.Is(err, ErrNoPartition) || len(want) > 0 && err != nil {
			t.Fatalf("error %v for %d partitions", err, len(want))
		}
		if len(got) != len(want) {
			t.Fatalf("%d results, want %d", len(got), len(want))
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("rank %d is\n%v, want\n%v", i, got[i], want[i])
			}
		}
	})
}

func TestSearchAddsUpToPredictions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pb, q := drawProblem(t)
		tables, err := pb.tables()
		if err != nil {
			t.Fatal(err)
		}
		s, err := tables.search(q)
		if err != nil {
			t.Fatal(err)
		}
		l, err := s.lattice()
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; ; i++ {
			p, ok := l.nth(l.root(), i)
			if !ok {
				break
			}
			e, err := pb.Predict(l.partition(p)[1:])
			if want := (cost{0, e.Total, e.WireBytes(), int32(len(e.Hops))}); err != nil || p.cost != want {
				t.Fatalf("the search has %+v for\n%v, %v, want %+v", p.cost, e, err, want)
			}
		}
	})
}

// large is a problem of a given number of layers, each a block, and hosts that all reach each other, faster
// the further away.
func large(tb testing.TB, layers, hosts int) Problem {
	tb.Helper()
	pb := Problem{Layers: layers, Network: &Network{}, Profiles: map[string]*Profile{}, Codecs: []string{"zstd"}}
	for p := range layers + 1 {
		pb.Positions = append(pb.Positions, Position{p, int64(1_000_000 - 999_000*p/layers + p*7919%5000), 1})
	}
	for h := range hosts {
		host := fmt.Sprintf("host%d", h)
		p := profile(host)
		for i := range layers {
			samples := Samples{}
			for k := range 10 {
				samples = append(samples, time.Duration((1_000_000+i*104_729%300_000+k)/(1+3*h)))
			}
			p.Layers = append(p.Layers, LayerProfile{Samples: samples})
		}
		for _, at := range pb.Positions {
			one := Samples{time.Duration(at.Bytes / 2)}
			p.Cuts = append(p.Cuts, CutProfile{Position: at.P, Width: 1, Bytes: at.Bytes, Codecs: []CodecProfile{{"zstd", at.Bytes * 2 / 3, one, one}}})
		}
		for _, other := range pb.Hosts {
			if err := pb.Network.SetBoth(other, host, Link{Latency: ms(float64(h)), Bandwidth: 1e7 * float64(h)}); err != nil {
				tb.Fatal(err)
			}
		}
		pb.Hosts = append(pb.Hosts, host)
		pb.Profiles[host] = p
	}
	return pb
}

func TestRankingsOfDifferentLengthAgree(t *testing.T) {
	pb := large(t, 40, 4)
	long, err := pb.Rank(Query{Top: 3000})
	if err != nil || len(long) != 3000 {
		t.Fatalf("%d results, %v, want 3000", len(long), err)
	}
	if !slices.IsSortedFunc(long, Estimate.compare) {
		t.Error("results are not in order")
	}
	short, err := pb.Rank(Query{Top: 10})
	if err != nil || !reflect.DeepEqual(short, long[:10]) {
		t.Errorf("the best ten alone are %v, %v, want %v", short, err, long[:10])
	}
}

func BenchmarkRank(b *testing.B) {
	for _, c := range []struct{ layers, hosts, top int }{{92, 3, 5}, {300, 5, 1}, {300, 5, 5}, {300, 5, 1000}, {92, 3, MaxTop}} {
		pb := large(b, c.layers, c.hosts)
		b.Run(fmt.Sprintf("layers=%d/hosts=%d/top=%d", c.layers, c.hosts, c.top), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pb.Rank(Query{Top: c.top}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
