package split

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A problem under other conditions is the problem with other links and longer compute times.
func TestUnderIsTheProblemUnderOtherConditions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pb, q := drawProblem(t)
		planner, err := pb.Prepare()
		if err != nil {
			t.Fatal(err)
		}
		factors := rapid.IntRange(1, 4)
		load := map[string]float64{"unknown": 3}
		changed := pb
		changed.Profiles, changed.Network = map[string]*Profile{}, &Network{}
		for _, l := range pb.Network.Links() {
			l.Bandwidth /= float64(factors.Draw(t, "slower"))
			if rapid.IntRange(0, 5).Draw(t, "linked") > 0 {
				if err := changed.Network.Set(l.From, l.To, l.Link); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, host := range sortedKeys(pb.Profiles) {
			factor := factors.Draw(t, "load")
			load[host] = float64(factor)
			p := *pb.Profiles[host]
			p.Layers, p.Cuts = slices.Clone(p.Layers), slices.Clone(p.Cuts)
			longer := func(s Samples) Samples {
				s = slices.Clone(s)
				for i := range s {
					s[i] *= time.Duration(factor)
				}
				return s
			}
			for i := range p.Layers {
				p.Layers[i].Samples = longer(p.Layers[i].Samples)
			}
			for i := range p.Cuts {
				p.Cuts[i].Enter, p.Cuts[i].Leave = longer(p.Cuts[i].Enter), longer(p.Cuts[i].Leave)
			}
			changed.Profiles[host] = &p
		}
		q.Top = 20
		before, beforeErr := planner.Rank(q)
		under, err := planner.Under(changed.Network, load)
		if err != nil {
			t.Fatal(err)
		}
		got, gotErr := under.Rank(q)
		want, wantErr := changed.Rank(q)
		if errors.Is(gotErr, ErrNoPartition) != errors.Is(wantErr, ErrNoPartition) || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, %v, want %v, %v", got, gotErr, want, wantErr)
		}
		for _, e := range got {
			again, err := under.PredictWith(e.Partition, nil)
			if err != nil || again.Total != e.Total {
				t.Fatalf("predicted as %v, error %v, want %v", again, err, e)
			}
		}
		after, afterErr := planner.Rank(q)
		if !reflect.DeepEqual(before, after) || errors.Is(beforeErr, ErrNoPartition) != errors.Is(afterErr, ErrNoPartition) {
			t.Fatalf("the planner's own answer was %v and is %v", before, after)
		}
	})
}

func TestLoadsOutOfRangeAreRefused(t *testing.T) {
	pb := toy(t)
	planner, err := pb.Prepare()
	if err != nil {
		t.Fatal(err)
	}
	for _, factor := range []float64{0, -1, MaxLoad + 1} {
		if _, err := planner.Under(pb.Network, map[string]float64{"edge": factor}); err == nil {
			t.Errorf("load %g was taken", factor)
		}
	}
	if _, err := planner.Under(pb.Network, map[string]float64{"edge": MaxLoad}); err != nil {
		t.Error(err)
	}
}

// With a codec that a running plan has, its hop costs what that codec does, and all else is as ever.
func TestPredictWithPricesTheCodecThatRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pb, q := drawProblem(t)
		pb.Codecs = []string{"zip"}
		planner, err := pb.Prepare()
		if err != nil {
			t.Fatal(err)
		}
		q.NoCodecs = []string{rapid.SampledFrom([]string{"raw", "zip"}).Draw(t, "without")}
		found, err := planner.Rank(q)
		if err != nil {
			return
		}
		for _, e := range found {
			codecs := map[Hop]string{}
			for _, h := range e.Hops {
				codecs[h.Hop] = h.Codec
			}
			got, err := planner.PredictWith(e.Partition, codecs)
			if err != nil || got.Total != e.Total || !reflect.DeepEqual(got.Hops, e.Hops) {
				t.Fatalf("got %v, %v, error %v, want %v, %v", got, got.Hops, err, e, e.Hops)
			}
			for h := range codecs {
				codecs[h] = "unheard of"
				if _, err := planner.PredictWith(e.Partition, codecs); err == nil {
					t.Fatal("an unknown codec was priced")
				}
			}
		}
	})
}
