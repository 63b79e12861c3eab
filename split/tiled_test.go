package split

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTiledStagesAreReadAsTheyAreWritten(t *testing.T) {
	for _, tt := range []struct {
		text, canonical string
		workers         []Worker
		addresses       map[string]string
	}{
		{"edge1+edge2:0-4", "edge1+edge2:0-4", []Worker{{"edge1", 1}, {"edge2", 1}}, nil},
		{"edge1*3+edge2*2:0-4", "edge1*3+edge2*2:0-4", []Worker{{"edge1", 3}, {"edge2", 2}}, nil},
		{
			"a@10.0.0.2:7070*3+b@[::1]:80+c:0-end", "a*3+b+c:0-4",
			[]Worker{{"a", 3}, {"b", 1}, {"c", 1}}, map[string]string{"a": "10.0.0.2:7070", "b": "[::1]:80"},
		},
	} {
		p, addresses, err := ParseStages(tt.text, 5)
		if err != nil || p.String() != tt.canonical || !slices.Equal(p[0].Workers(), tt.workers) || !maps.Equal(addresses, tt.addresses) {
			t.Errorf("%s: got %v, workers %v, addresses %v, %v", tt.text, p, p[0].Workers(), addresses, err)
			continue
		}
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var q Partition
		if err := json.Unmarshal(b, &q); err != nil || !slices.Equal(p, q) {
			t.Errorf("%s: read again as %v, %v", b, q, err)
		}
		if p.Native() {
			t.Errorf("%v counts as one host", p)
		}
		if got := WorkerStage(tt.workers, p[0].Segment); got != p[0] {
			t.Errorf("its workers make %v, want %v", got, p[0])
		}
	}
}

func TestBadWorkersAreErrors(t *testing.T) {
	for text, want := range map[string]string{
		"a+a:0-4":                             "twice",
		"a+:0-4":                              "0 bytes",
		"+a:0-4":                              "0 bytes",
		"a+b*0:0-4":                           "share 0",
		"a+b*1001:0-4":                        "share 1001",
		"a+b*x:0-4":                           `share "x"`,
		"a+b*:0-4":                            `share ""`,
		"a*2:0-4":                             `contains '*'`,
		"a+b*1*2:0-4":                         `share "1*2"`,
		"a@1.2.3.4:5*2+b:0-4,a@1.2.3.4:6:5-5": "two addresses",
		strings.Repeat("a+", MaxWorkers) + "a:0-4": "twice",
	} {
		if _, _, err := ParseStages(text, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	var many []string
	for i := range MaxWorkers + 1 {
		many = append(many, fmt.Sprint("w", i))
	}
	if _, err := ParsePartition(strings.Join(many, "+")+":0-4", 5); err == nil || !strings.Contains(err.Error(), "17 workers") {
		t.Errorf("got %v for 17 workers", err)
	}
}

func TestRowsGoFromTheSourceToWorkersAndBack(t *testing.T) {
	for stages, want := range map[string]string{
		"a+b:0-4":                     "[device→a@0 rows device→b@0 rows a→device@5 rows b→device@5 rows]",
		"device:0-1,a+device:2-4":     "[device→a@2 rows a→device@5 rows]",
		"a+b:0-1,cloud:2-4":           "[device→a@0 rows device→b@0 rows a→device@2 rows b→device@2 rows device→cloud@2 cloud→device@5 back]",
		"edge:0-0,hub:1-1,a+edge:2-4": "[device→edge@0 edge→hub@1 hub→edge@2 edge→device@2 device→a@2 rows device→edge@2 rows a→device@5 rows edge→device@5 rows]",
		"a+b:0-1,a:2-2,device:3-4":    "[device→a@0 rows device→b@0 rows a→device@2 rows b→device@2 rows device→a@2 a→device@3]",
	} {
		p, err := ParsePartition(stages, 5)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(Hops(p, "device", nil)); got != want {
			t.Errorf("%s:\n got %s\nwant %s", stages, got, want)
		}
	}
}

// rows is a Tiling of the toy: each worker computes its share of each layer and one
// tenth more for each layer behind it, and takes as much of what crosses.
type rows struct{ pb Problem }

func (r rows) Walk(to int, shares []int) ([]TileWork, error) {
	sum := 0
	for _, s := range shares {
		sum += s
	}
	works := make([]TileWork, len(shares))
	for i, s := range shares {
		w := &works[i]
		w.In, w.Out, w.Work = make([]int64, to+1), make([]int64, to+1), make([]float64, to)
		for l := to - 1; l >= 0; l-- {
			w.Work[l] = min(1, float64(s)/float64(sum)+float64(to-1-l)/10)
			w.In[l] = int64(w.Work[l] * float64(r.pb.Positions[l].Bytes))
			w.Out[l] = r.pb.Positions[to].Bytes * int64(s) / int64(sum)
		}
	}
	return works, nil
}

// tiledToy is the toy with two edges that the device reaches.
func tiledToy(t *testing.T) Problem {
	t.Helper()
	pb := toy(t)
	pb.Profiles["edge2"] = profile("edge2", 8, 6, 4, 2)
	if err := pb.Network.SetBoth("device", "edge2", Link{Latency: ms(2), Bandwidth: 2e6}); err != nil {
		t.Fatal(err)
	}
	pb.Tiling = rows{pb}
	return pb
}

// By hand: layers 1 and 2 end before position 3, of which the edges give halves and
// compute 0.6 and 0.5 of the two layers; so they take 60 % of 500 kB and give half of
// 20 kB. One takes 5+300 ms for that, 1.8+1 to compute and 5+10 back, the other, which
// is the last of both, 2+150, 3.6+2 and 2+5.
func TestATiledStageTakesAsLongAsItsSlowestWorker(t *testing.T) {
	pb := tiledToy(t)
	p, err := ParsePartition("device:0-0,edge+edge2:1-2,device:3-3", 4)
	if err != nil {
		t.Fatal(err)
	}
	e, err := pb.Predict(p)
	if err != nil {
		t.Fatal(err)
	}
	slow := ms(5 + 300 + 2.8 + 5 + 10)
	if tiles := e.Stages[1].Tiles; len(tiles) != 2 || tiles[0].Time() != slow || tiles[1].Time() != ms(2+150+5.6+2+5) || e.Stages[1].Compute != slow {
		t.Errorf("tiles are %+v", e.Stages[1])
	}
	if e.Total != slow+ms(40+100) || len(e.Hops) != 0 || !e.ShipsInput {
		t.Errorf("the run takes %v with hops %v, ships a linear map of the input %v", e.Total, e.Hops, e.ShipsInput)
	}
	if e.WireBytes() != 2*(300_000+10_000) || e.Egress() != 2*300_000 {
		t.Errorf("%d bytes on the wire, %d leave", e.WireBytes(), e.Egress())
	}
	if e.Interval() != ms(300) { // the wire to the first edge
		t.Errorf("an output every %v", e.Interval())
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var again Estimate
	if err := json.Unmarshal(b, &again); err != nil || again.compare(e) != 0 || again.Stages[1].Tiles[1].Time() != e.Stages[1].Tiles[1].Time() {
		t.Errorf("read again as %+v, %v", again, err)
	}
}

// exhaustive is RankTiled in its plainest form: all ways to go on from a position
// where the source has the data.
func exhaustive(t *testing.T, pb Problem, workers []Worker, way Partition) (best time.Duration) {
	t.Helper()
	from, source, tiled := 0, false, false
	for _, s := range way {
		from, source, tiled = s.Segment.To, s.Host == "device", tiled || s.Tiled()
	}
	if from == pb.Layers && !tiled {
		return math.MaxInt64
	}
	if from == pb.Layers {
		e, err := pb.Predict(way)
		if errors.Is(err, ErrNoLink) {
			return math.MaxInt64
		}
		if err != nil {
			t.Fatal(err)
		}
		return e.Total
	}
	best = math.MaxInt64
	try := func(s Stage) { best = min(best, exhaustive(t, pb, workers, append(slices.Clone(way), s))) }
	for to := from + 1; to <= pb.Layers; to++ {
		if to < pb.Layers && pb.Positions[to].Width > 1 {
			continue
		}
		try(WorkerStage(workers, Segment{from, to}))
		if !source {
			try(Stage{"device", Segment{from, to}})
		}
	}
	for _, h := range pb.Hosts[1:] {
		if tiled {
			try(Stage{h, Segment{from, pb.Layers}})
		}
	}
	return best
}

func TestTheBestTiledStageIsTheBestOfAll(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	most := 0
	for range 200 {
		pb := tiledToy(t)
		pb.Positions = slices.Clone(pb.Positions)
		for _, p := range pb.Profiles {
			for l := range p.Layers {
				p.Layers[l].Samples = Samples{ms(float64(1 + r.IntN(100)))}
			}
		}
		pb.Profiles["edge2"] = pb.Profiles["edge"] // equal speeds, so equal shares alone
		for i := range pb.Positions {
			pb.Positions[i].Bytes = int64(r.IntN(100_000))
		}
		pb.Tiling = rows{pb}
		want := exhaustive(t, pb, []Worker{{"edge", 1}, {"edge2", 1}}, nil)
		got, err := pb.RankTiled(Query{Top: 3}, []string{"edge", "edge2"})
		if err != nil || got[0].Total != want {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
		stages := 0
		for _, s := range got[0].Partition {
			if s.Tiled() {
				stages++
			}
		}
		most = max(most, stages)
	}
	if most < 2 {
		t.Error("no answer has two tiled stages")
	}
}

func TestSharesFollowSpeeds(t *testing.T) {
	pb := tiledToy(t)
	got, err := pb.RankTiled(Query{Top: 100}, []string{"edge", "edge2"})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range got {
		for _, s := range e.Partition {
			if s.Tiled() {
				seen[s.Host] = true
			}
		}
	}
	if !maps.Equal(seen, map[string]bool{"edge+edge2": true, "edge*2+edge2": true}) {
		t.Errorf("shares are %v", seen)
	}
}

func TestTiledQueriesThatCannotBeAnsweredAreErrors(t *testing.T) {
	pb := tiledToy(t)
	both := []string{"edge", "edge2"}
	without := pb
	without.Tiling = nil
	for _, c := range []struct {
		pb      Problem
		q       Query
		workers []string
		want    string
	}{
		{without, Query{}, both, "rows of the model are not known"},
		{pb, Query{Objective: Throughput}, both, "ranked by latency"},
		{pb, Query{Memory: map[string]int64{"edge": 1}}, both, "without limits"},
		{pb, Query{}, []string{"edge"}, "1 workers"},
		{pb, Query{}, []string{"edge", "edge"}, "twice"},
		{pb, Query{}, []string{"edge", "far"}, "no profile"},
		{pb, Query{Avoid: []string{"edge"}}, both, "avoided"},
		{pb, Query{MaxTotal: 1}, both, ErrNoPartition.Error()},
		{pb, Query{}, []string{"edge", "cloud"}, ErrNoPartition.Error()}, // which the source does not reach
	} {
		if _, err := c.pb.RankTiled(c.q, c.workers); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, %+v: got %v, want %q", c.workers, c.q, err, c.want)
		}
	}
	p := Partition{{"edge+edge2", Segment{0, 4}}}
	if _, err := without.Predict(p); err == nil || !strings.Contains(err.Error(), "rows of the model") {
		t.Errorf("got %v", err)
	}
}
