package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestScalingTakesEachTurnAndComparesWithinRounds(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := quick
	p.Turn = 30 * time.Millisecond // for the busy process to start
	s, err := measureScaling(t.Context(), contender{subject, []string{self, workerArg}}, rectifier(t), 1, 2, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Rounds) != p.Rounds {
		t.Fatalf("got %d rounds, want %d", len(s.Rounds), p.Rounds)
	}
	for _, r := range s.Rounds {
		if len(r) != turns {
			t.Fatalf("got %d turns, want %d", len(r), turns)
		}
	}
}

func TestScalingTableShowsSpeedUpAndCostOfABusyProcess(t *testing.T) {
	ms := func(n time.Duration) turn { return turn{Samples: []time.Duration{n * time.Millisecond}} }
	r := scalingReport{
		Machine: machine{CPU: "Abacus", CPUs: 2, Flags: "fma", OS: "linux"}, Protocol: protocol{Rounds: 3}, Few: 1, Many: 2,
		Results: []scaling{{"vgg16", []round{
			{ms(100), ms(50), ms(110), ms(120)},
			{ms(300), ms(200), ms(300), ms(450)},
			{ms(110), ms(55), ms(121), ms(110)},
		}, true}},
	}
	var b strings.Builder
	r.table(&b)
	for _, want := range []string{
		"| vgg16 † | 110 | 55.0 (2.00) | 121 (1.10) | 120 (1.20) |\n",
		"\n† other processes took more than 0 % of the CPUs",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("got\n%s\nwant %q in it", b.String(), want)
		}
	}
}

func TestABusyProcessTakesACPU(t *testing.T) {
	b, err := startBusy(t.Context(), "0")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for {
		l, err := loadOf(b.cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if l.own >= 50*time.Millisecond {
			break
		}
		if time.Since(begin) > time.Minute {
			t.Fatalf("used %v in a minute", l.own)
		}
		time.Sleep(tick)
	}
	if err := b.stop(); err != nil {
		t.Error(err)
	}
}
