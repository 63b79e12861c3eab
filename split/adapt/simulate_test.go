package adapt

import (
	"fmt"
	"testing"
	"time"

	"scission/split"
)

// steps is a trace of the device's links: each bandwidth lasts as long.
func steps(lasts time.Duration, bandwidths ...float64) *split.Trace {
	t := &split.Trace{Duration: lasts * time.Duration(len(bandwidths))}
	for _, ends := range [][2]string{{testDevice, testEdge}, {testEdge, testDevice}} {
		l := split.LinkTrace{From: ends[0], To: ends[1]}
		for i, b := range bandwidths {
			l.Points = append(l.Points, split.LinkPoint{At: lasts * time.Duration(i), Link: split.Link{Latency: 5 * time.Millisecond, Bandwidth: b}})
		}
		t.Links = append(t.Links, l)
	}
	return t
}

func simulate(t *testing.T, s Scenario) Report {
	t.Helper()
	r, err := Simulate(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestStepDownAndUpTakesTwoSwitchesWithinTwoSecondsEach(t *testing.T) {
	for _, lasts := range []time.Duration{4 * time.Second, 7 * time.Second, 20 * time.Second} {
		for seed := range uint64(4) {
			r := simulate(t, Scenario{
				Problem: testProblem(100 * mbit), Trace: steps(lasts, 100*mbit, 2*mbit, 100*mbit),
				Noise: 0.05, Seed: seed, Prepare: 200 * time.Millisecond, Delay: time.Millisecond,
			}).Adaptive
			if r.Switches != 2 || len(r.Decisions) != 2 {
				t.Errorf("steps of %v, seed %d: %d switches, want 2: %v", lasts, seed, r.Switches, r.Decisions)
				continue
			}
			for i, d := range r.Decisions {
				if late := d.At - lasts*time.Duration(i+1); late < 0 || late > 2*time.Second-200*time.Millisecond {
					t.Errorf("steps of %v, seed %d: switch %v after the step", lasts, seed, late)
				}
			}
			if to := r.Decisions[0].To.Partition.String(); to != onDevice {
				t.Errorf("steps of %v, seed %d: switched to %s at 2 Mbit/s", lasts, seed, to)
			}
		}
	}
}

// The split and the device take the same time at 7.2 Mbit/s, the split and the edge at 80.
func TestNoiseAroundBreakEvenCausesNoFlap(t *testing.T) {
	without := 0
	for _, mean := range []float64{7.2 * mbit, 80 * mbit} {
		eager := 0
		for seed := range uint64(4) {
			pb := testProblem(mean)
			trace, err := NewTrace("noise", pb.Network, testDevice, time.Minute, seed)
			if err != nil {
				t.Fatal(err)
			}
			r := simulate(t, Scenario{Problem: pb, Trace: trace, Noise: 0.05, Seed: seed})
			if r.Adaptive.Switches != 0 {
				t.Errorf("at %g B/s, seed %d: %v, want no switch", mean, seed, r.Adaptive.Decisions)
			}
			eager += r.Eager.Switches
		}
		without += eager
	}
	if without < 20 {
		t.Errorf("%d switches without hysteresis: is that around break-even?", without)
	}
}

func TestAdaptationBeatsTheBestFixedPlan(t *testing.T) {
	for _, kind := range []string{"step", "sine"} {
		pb := testProblem(100 * mbit)
		trace, err := NewTrace(kind, pb.Network, testDevice, 2*time.Minute, 1)
		if err != nil {
			t.Fatal(err)
		}
		r := simulate(t, Scenario{Problem: pb, Trace: trace, Noise: 0.05, Prepare: 200 * time.Millisecond, Delay: time.Millisecond})
		if float64(r.Adaptive.Mean) > 0.96*float64(r.Fixed.Mean) {
			t.Errorf("%s: mean %v, with the best fixed plan %v (%s)", kind, r.Adaptive.Mean, r.Fixed.Mean, r.Fixed.Plan)
		}
	}
}

// On traces with short gaps the best fixed plan, which only hindsight knows, may do better than the device, to
// which adaptation goes in each; that must cost little.
func TestOnRandomTracesAdaptationIsNearTheOracle(t *testing.T) {
	for kind, most := range map[string]float64{"walk": 0.03, "4g": 0.10} {
		var regret float64
		switches, eager := 0, 0
		const seeds = 5
		for seed := range uint64(seeds) {
			pb := testProblem(40 * mbit)
			trace, err := NewTrace(kind, pb.Network, testDevice, time.Minute, seed)
			if err != nil {
				t.Fatal(err)
			}
			r := simulate(t, Scenario{Problem: pb, Trace: trace, Noise: 0.05, Seed: seed, Prepare: 200 * time.Millisecond, Delay: time.Millisecond})
			regret += r.Adaptive.Regret / seeds
			switches += r.Adaptive.Switches
			eager += r.Eager.Switches
			if r.Oracle.Mean > r.Adaptive.Mean || r.Oracle.Mean > r.Fixed.Mean {
				t.Errorf("%s, seed %d: the oracle takes %v, adaptation %v, the best fixed plan %v", kind, seed, r.Oracle.Mean, r.Adaptive.Mean, r.Fixed.Mean)
			}
		}
		if regret > most {
			t.Errorf("%s: regret %.3f, want at most %.2f", kind, regret, most)
		}
		if switches >= eager {
			t.Errorf("%s: %d switches, without hysteresis %d, want less", kind, switches, eager)
		}
	}
}

func TestSameScenarioHasTheSameReport(t *testing.T) {
	pb := testProblem(40 * mbit)
	trace, err := NewTrace("4g", pb.Network, testDevice, time.Minute, 3)
	if err != nil {
		t.Fatal(err)
	}
	s := Scenario{Problem: pb, Trace: trace, Noise: 0.1, Seed: 3, Every: 100 * time.Millisecond}
	first := fmt.Sprint(simulate(t, s))
	for range 3 {
		if again := fmt.Sprint(simulate(t, s)); again != first {
			t.Fatalf("got %s, then %s", first, again)
		}
	}
}

func TestBusyHostIsLeftInASimulation(t *testing.T) {
	trace := steps(20*time.Second, 100*mbit)
	trace.Hosts = []split.HostTrace{{Host: testEdge, Points: []split.HostPoint{{Load: 1}, {At: 5 * time.Second, Load: 10}}}}
	r := simulate(t, Scenario{Problem: testProblem(100 * mbit), Trace: trace})
	if r.Adaptive.Switches == 0 || r.Adaptive.Mean >= r.Fixed.Mean*11/10 {
		t.Errorf("%d switches, mean %v, with the best fixed plan %v", r.Adaptive.Switches, r.Adaptive.Mean, r.Fixed.Mean)
	}
}

func TestWrongScenariosAreRefused(t *testing.T) {
	good := Scenario{Problem: testProblem(mbit), Trace: steps(time.Second, mbit)}
	for name, change := range map[string]func(*Scenario){
		"no trace":       func(s *Scenario) { s.Trace = nil },
		"bad trace":      func(s *Scenario) { s.Trace = &split.Trace{} },
		"noise":          func(s *Scenario) { s.Noise = 0.6 },
		"negative time":  func(s *Scenario) { s.Every = -1 },
		"unknown link":   func(s *Scenario) { s.Trace = steps(time.Second, mbit); s.Trace.Links[0].To = "cloud" },
		"no plan at all": func(s *Scenario) { s.Options.Query.Avoid = []string{testDevice, testEdge} },
	} {
		s := good
		change(&s)
		if _, err := Simulate(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := NewTrace("3d", good.Problem.Network, testDevice, time.Minute, 1); err == nil {
		t.Error("a trace of an unknown kind was made")
	}
	if _, err := NewTrace("4g", good.Problem.Network, "cloud", time.Minute, 1); err == nil {
		t.Error("a trace of no link was made")
	}
}
