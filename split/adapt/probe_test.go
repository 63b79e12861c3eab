package adapt

import (
	"testing"
	"time"

	"scission/split"
)

// probing lets a controller probe a link of a bandwidth for a time, in steps of 10 ms, and gives the bytes that
// it sends there and back, and the decisions to switch.
func probing(c *Controller, now *time.Duration, lasts time.Duration, bandwidth float64) (there, back int64, switches []Decision) {
	for end := *now + lasts; *now < end; *now += 10 * time.Millisecond {
		p, due := c.Probe(*now)
		if !due {
			continue
		}
		x := exchange(int64(p.Send+probeFrame), int64(p.Reply+probeFrame), bandwidth, 0)
		there, back = there+x.There.Bytes, back+x.Back.Bytes
		*now += x.There.Took + x.Back.Took
		if d := c.Probed(*now, p, x); d.Switch {
			switches = append(switches, d)
			c.Switched(*now, d.To)
		}
	}
	return there, back, switches
}

func TestProbesTakeAHundredthOfAnIdleLink(t *testing.T) {
	for _, bandwidth := range []float64{2 * mbit, 20 * mbit, 100 * mbit, 1000 * mbit} {
		c := pilotOf(t, bandwidth, Options{Query: split.Query{Avoid: []string{testEdge}}})
		now := time.Duration(0)
		const lasts = 5 * time.Minute
		there, back, _ := probing(c, &now, lasts, bandwidth)
		most := 0.0125 * bandwidth * lasts.Seconds() // the headers of a probe one way are a part of the other
		for _, sent := range []int64{there, back} {
			if float64(sent) > most || sent < 5*minProbe {
				t.Errorf("at %g B/s probes have %d bytes in %v, want some and at most %g", bandwidth, sent, lasts, most)
			}
		}
	}
}

func TestIdleLinkThatBecomesFastIsSeenWithinTwoSeconds(t *testing.T) {
	c := pilotOf(t, 2*mbit, Options{})
	now := time.Duration(0)
	if _, _, switches := probing(c, &now, time.Minute, 2*mbit); len(switches) > 0 {
		t.Fatalf("switched on a link that does not change: %v", switches)
	}
	stepped := now
	_, _, switches := probing(c, &now, 2*time.Second, 100*mbit)
	if len(switches) == 0 || switches[0].At-stepped > 2*time.Second {
		t.Fatalf("got %v, want a switch within 2 s of %v", switches, stepped)
	}
	if to := switches[len(switches)-1].To.Partition.String(); to == onDevice {
		t.Errorf("stays on the device at 100 Mbit/s")
	}
	within(t, "the bandwidth", c.est.Bandwidth(testDevice, testEdge), 100*mbit, 0.5)
}

func TestIdleLinkThatBecomesSlowIsSeen(t *testing.T) {
	c := pilotOf(t, 100*mbit, Options{Query: split.Query{Avoid: []string{testEdge}}})
	for key, a := range c.est.links {
		c.est.links[key] = &average{fast: 12 * mbit, slow: 12 * mbit, samples: a.samples}
	}
	now := time.Duration(0)
	probing(c, &now, time.Minute, 2*mbit)
	if got := c.est.Bandwidth(testDevice, testEdge); got > slack*2.2*mbit || got < 1.8*mbit {
		t.Errorf("the bandwidth is %g, want 2 to 4 Mbit/s", got)
	}
}

func TestLinksInUseAreNotProbed(t *testing.T) {
	c := pilotOf(t, 100*mbit, Options{})
	probes := 0
	for now := time.Second; now < time.Minute; now += 100 * time.Millisecond {
		c.Observe(now, Request{Exchanges: []Exchange{exchange(600_000, 400_000, 100*mbit, 0)}})
		if _, due := c.Probe(now); due {
			probes++
		}
	}
	if probes > 0 {
		t.Errorf("%d probes, want none", probes)
	}
}

// Of frames that do not count, with which nothing would be known of the link.
func TestProbesOfALinkInUseAreAHundredthOfItsBytes(t *testing.T) {
	pb := testProblem(100 * mbit)
	for i := range pb.Positions {
		pb.Positions[i].Bytes = 4_000
	}
	c, err := NewController(pb, Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Begin(0)
	if err != nil || d.To.Partition.String() != onEdge {
		t.Fatalf("got %v, error %v", d, err)
	}
	c.Switched(0, d.To)
	var used, probed int64
	for now := time.Duration(0); now < 5*time.Minute; now += 50 * time.Millisecond {
		x := exchange(4_000, 4_000, 100*mbit, 0)
		used += x.There.Bytes + x.Back.Bytes
		c.Observe(now, Request{Exchanges: []Exchange{x}})
		if p, due := c.Probe(now); due {
			x := exchange(int64(p.Send+probeFrame), int64(p.Reply+probeFrame), 100*mbit, 0)
			probed += x.There.Bytes + x.Back.Bytes
			c.Probed(now, p, x)
		}
	}
	if 100*(probed-maxProbe) > used || probed == 0 {
		t.Errorf("%d bytes in probes, of %d in requests, want some and at most a hundredth and one more", probed, used)
	}
}

func TestMeteredLinksAreNeverProbed(t *testing.T) {
	c := pilotOf(t, 2*mbit, Options{Metered: []string{testEdge}})
	for now := time.Duration(0); now < time.Minute; now += 100 * time.Millisecond {
		if p, due := c.Probe(now); due {
			t.Fatalf("%+v at %v", p, now)
		}
	}
}

func TestProbeWithoutAnswerIsRepeatedLater(t *testing.T) {
	c := pilotOf(t, 2*mbit, Options{})
	p, due := c.Probe(0)
	if !due {
		t.Fatal("nothing to probe")
	}
	c.Unanswered(time.Second, p)
	if p, due := c.Probe(time.Second + maxRest - 1); due {
		t.Errorf("%+v too soon", p)
	}
	if _, due := c.Probe(time.Second + maxRest); !due {
		t.Error("never again")
	}
}

// A link that is slower than is known lets a probe wait, behind what it still carries.
func TestNoPlanIsSwitchedToWhoseLinkDoesNotAnswerAProbe(t *testing.T) {
	c := pilotOf(t, 2*mbit, Options{})
	p, due := c.Probe(0)
	if !due {
		t.Fatal("nothing to probe")
	}
	learn(c, 100*mbit)
	now := time.Duration(0)
	stays := func(until time.Duration) {
		t.Helper()
		for ; now < until; now += 100 * time.Millisecond {
			if d := c.Observe(now, Request{}); d.Switch {
				t.Fatalf("at %v: %v", now, d)
			}
		}
	}
	stays(10 * time.Second)
	c.Unanswered(now, p)
	stays(now + maxRest)
	if p, due = c.Probe(now); !due {
		t.Fatal("nothing to probe after a rest")
	}
	stays(now + time.Second)
	c.Probed(now, p, exchange(int64(p.Send+probeFrame), int64(p.Reply+probeFrame), 100*mbit, 0))
	settle(t, c, &now, onEdge)
}

// Probes follow each other at once where a link is faster than was known, and no plan is changed meanwhile; where
// the plan uses the link, the hundredth of its bytes may be spent before they end.
func TestProbesWithoutBytesLeftHinderNoSwitch(t *testing.T) {
	c := pilotOf(t, 10*mbit, Options{})
	now := time.Duration(0)
	c.Observe(now, Request{Exchanges: []Exchange{exchange(50_000, 4_000, 200*mbit, 0)}})
	if _, back, _ := probing(c, &now, time.Second, 200*mbit); back < minProbe {
		t.Fatalf("%d bytes in probes back, want one of them", back)
	}
	if p, due := c.Probe(now); due {
		t.Fatalf("%+v, want no bytes left for it", p)
	}
	learn(c, 200*mbit)
	settle(t, c, &now, onEdge)
}
