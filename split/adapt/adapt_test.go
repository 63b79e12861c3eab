package adapt

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"scission/split"
)

const (
	testDevice, testEdge = "device", "edge"
	mbit                 = 1e6 / 8
)

// testProblem has four layers, which take 40 ms each on the device and 5 ms each on the edge. Between the two
// are 5 ms each way and a bandwidth in bytes a second.
func testProblem(bandwidth float64) split.Problem {
	profile := func(host string, layer time.Duration) *split.Profile {
		p := &split.Profile{Model: split.Model{Name: "four", Digest: "4"}, Host: host}
		for i := range 4 {
			p.Layers = append(p.Layers, split.LayerProfile{Name: fmt.Sprint(i), Op: "Relu", Samples: split.Samples{layer}})
		}
		return p
	}
	n := &split.Network{}
	if err := n.SetBoth(testDevice, testEdge, split.Link{Latency: 5 * time.Millisecond, Bandwidth: bandwidth}); err != nil {
		panic(err)
	}
	return split.Problem{
		Layers:    4,
		Positions: []split.Position{{P: 0, Bytes: 600_000, Width: 1}, {P: 1, Bytes: 400_000, Width: 1}, {P: 2, Bytes: 50_000, Width: 1}, {P: 3, Bytes: 50_000, Width: 1}, {P: 4, Bytes: 4_000, Width: 1}},
		Hosts:     []string{testDevice, testEdge},
		Profiles:  map[string]*split.Profile{testDevice: profile(testDevice, 40*time.Millisecond), testEdge: profile(testEdge, 5*time.Millisecond)},
		Network:   n,
	}
}

// exchange is a frame to the edge and its answer over a link of 5 ms each way, whose receivers saw as much less
// of each frame as a buffer hides.
func exchange(bytes, answer int64, bandwidth float64, buffer int64) Exchange {
	const latency = 5 * time.Millisecond
	seen := func(n int64) time.Duration { return split.Link{Bandwidth: bandwidth}.Travel(max(n-buffer, 0)) }
	whole := 2*latency + split.Link{Bandwidth: bandwidth}.Travel(bytes) + split.Link{Bandwidth: bandwidth}.Travel(answer)
	rest := (whole - seen(bytes) - seen(answer)) / 2 // as split/run divides it
	return Exchange{
		There: Transfer{From: testDevice, To: testEdge, Bytes: bytes, Took: rest + seen(bytes), Latency: rest},
		Back:  Transfer{From: testEdge, To: testDevice, Bytes: answer, Took: rest + seen(answer), Latency: rest},
	}
}

func within(t *testing.T, what string, got, want, part float64) {
	t.Helper()
	if !(math.Abs(got-want) <= part*want) {
		t.Errorf("%s is %g, want %g within %g%%", what, got, want, 100*part)
	}
}

func TestEstimateIsTheBandwidthWhateverIsBuffered(t *testing.T) {
	for _, bandwidth := range []float64{2 * mbit, 20 * mbit, 100 * mbit} {
		for _, buffer := range []int64{0, 4 << 10, 32 << 10, 1 << 20} {
			e := NewEstimator(testProblem(50 * mbit).Network)
			for i := range 100 {
				now := time.Duration(i) * 100 * time.Millisecond
				e.Exchange(now, exchange(0, 0, bandwidth, buffer))
				e.Exchange(now, exchange(200_000, 4_000, bandwidth, buffer))
			}
			within(t, fmt.Sprintf("with %d bytes buffered, the bandwidth", buffer), e.Bandwidth(testDevice, testEdge), bandwidth, 0.03)
			within(t, "the round trip", float64(e.RoundTrip(testDevice, testEdge)), float64(10*time.Millisecond), 0.001)
			within(t, "the bandwidth of a direction in which nothing counted", e.Bandwidth(testEdge, testDevice), 50*mbit, 0)
		}
	}
}

func TestBothDirectionsCountWhereBothFramesDo(t *testing.T) {
	e := NewEstimator(testProblem(50 * mbit).Network)
	for i := range 100 {
		e.Exchange(time.Duration(i), exchange(0, 0, 20*mbit, 0))
		e.Exchange(time.Duration(i), exchange(200_000, 100_000, 20*mbit, 4<<10))
	}
	within(t, "the bandwidth there", e.Bandwidth(testDevice, testEdge), 20*mbit, 0.03)
	within(t, "the bandwidth back", e.Bandwidth(testEdge, testDevice), 20*mbit, 0.03)
}

func TestSmallFramesSayNothingAboutBandwidth(t *testing.T) {
	e := NewEstimator(testProblem(50 * mbit).Network)
	for i := range 100 {
		e.Exchange(time.Duration(i), exchange(MinFrame-1, MinFrame-1, 1*mbit, 0))
	}
	within(t, "the bandwidth", e.Bandwidth(testDevice, testEdge), 50*mbit, 0)
	e.Exchange(100, exchange(MinFrame, 0, 1*mbit, 0))
	if got := e.Bandwidth(testDevice, testEdge); got >= 50*mbit {
		t.Errorf("after a frame of %d bytes the bandwidth is %g, want less than before", MinFrame, got)
	}
}

// 60 kB at 80 Mbit/s are 6 ms, less than the round trip of 10 ms.
func TestFramesThatDidNotFillTheLinkNeverLowerTheEstimate(t *testing.T) {
	e := NewEstimator(testProblem(100 * mbit).Network)
	for i := range 50 {
		e.Exchange(time.Duration(i), exchange(0, 0, 80*mbit, 0))
		e.Exchange(time.Duration(i), exchange(60_000, 0, 80*mbit, 0))
	}
	within(t, "the bandwidth", e.Bandwidth(testDevice, testEdge), 100*mbit, 0)
	for i := range 50 {
		e.Exchange(50+time.Duration(i), exchange(60_000, 0, 200*mbit, 0))
	}
	within(t, "the bandwidth, after faster frames", e.Bandwidth(testDevice, testEdge), 200*mbit, 0.01)
}

// Of samples of 60 after 100, the averages are 60 + 40·0.6^n and 60 + 40·0.9^n, and of 100 after that the slow
// one is the lower.
func TestTheLowerOfTwoAveragesCounts(t *testing.T) {
	e := NewEstimator(testProblem(100 * mbit).Network)
	sample := func(bandwidth float64) {
		e.Exchange(0, exchange(0, 0, bandwidth, 0))
		e.Exchange(0, exchange(1_000_000, 0, bandwidth, 0))
	}
	for n := 1; n <= 40; n++ {
		sample(60 * mbit)
		within(t, fmt.Sprintf("after %d slow frames the bandwidth", n), e.Bandwidth(testDevice, testEdge), (60+40*math.Pow(0.6, float64(n)))*mbit, 0.01)
	}
	for n := 1; n <= 3; n++ {
		sample(100 * mbit)
	}
	slow := 60 + 40*math.Pow(0.9, 40)
	within(t, "after 3 fast ones", e.Bandwidth(testDevice, testEdge), (100-(100-slow)*math.Pow(0.9, 3))*mbit, 0.01)
}

func TestThreeFramesInARowBeyondTwiceTheEstimateReplaceIt(t *testing.T) {
	for _, c := range []struct {
		samples []float64 // Mbit/s, after 20
		want    float64
	}{
		{[]float64{100, 80, 90}, 80}, // all well above: the nearest
		{[]float64{4, 6, 5}, 6},
		{[]float64{100, 20, 100, 100}, 20 + 80*(1-math.Pow(0.9, 3)) - 80*0.1*0.1}, // not in a row
	} {
		var a average
		a.fast, a.slow = 20, 20
		for i, sample := range c.samples {
			a.add(time.Duration(i), sample)
		}
		within(t, fmt.Sprintf("after %v the estimate", c.samples), a.value(), c.want, 0.07)
	}
}

func TestShortestRoundTripHoldsForTenSeconds(t *testing.T) {
	e := NewEstimator(testProblem(mbit).Network)
	trip := func(at, took time.Duration) {
		e.Exchange(at, Exchange{Transfer{From: testEdge, To: testDevice, Took: took / 2, Latency: took / 2}, Transfer{From: testDevice, To: testEdge, Took: took / 2, Latency: took / 2}})
	}
	for at := range 20 {
		took := 30 * time.Millisecond
		if at == 3 {
			took = 4 * time.Millisecond
		}
		trip(time.Duration(at)*time.Second, took)
		want := 30 * time.Millisecond
		if at >= 3 && at <= 13 {
			want = 4 * time.Millisecond
		}
		if got := e.RoundTrip(testDevice, testEdge); got != want {
			t.Errorf("after %d s the round trip is %v, want %v", at, got, want)
		}
	}
}

func TestLoadFollowsMeasuredTimesAndFades(t *testing.T) {
	e := NewEstimator(nil)
	for i := range 40 {
		e.Compute(time.Duration(i)*time.Millisecond, testEdge, 30*time.Millisecond, 10*time.Millisecond)
		within(t, fmt.Sprintf("load after %d stages", i+1), e.Load(time.Duration(i) * time.Millisecond)[testEdge], 3-2*math.Pow(0.8, float64(i+1)), 0.001)
	}
	within(t, "load after 30 s of silence", e.Load(30*time.Second + 39*time.Millisecond)[testEdge], 2, 0.001)
	within(t, "load after an hour", e.Load(time.Hour)[testEdge], 1, 0.001)
	e.Compute(time.Hour, testEdge, 0, 0)
	e.Compute(time.Hour, testEdge, time.Hour, 1)
	if got := e.Load(time.Hour)[testEdge]; got > maxLoad {
		t.Errorf("load is %g, want at most %d", got, maxLoad)
	}
}

func TestExchangesPairFramesWithTheirAnswers(t *testing.T) {
	hop := func(from, to string) Transfer { return Transfer{From: from, To: to} }
	for _, c := range []struct {
		hops []Transfer
		want string
	}{
		{[]Transfer{hop("d", "e"), hop("e", "d")}, "de"},
		{[]Transfer{hop("d", "e"), hop("e", "c"), hop("c", "e"), hop("e", "d")}, "ec de"}, // a row
		{[]Transfer{hop("d", "e"), hop("e", "d"), hop("d", "c"), hop("c", "d")}, "de dc"}, // relayed
		{[]Transfer{hop("d", "e")}, ""},
	} {
		var got []string
		for _, x := range Exchanges(c.hops) {
			if x.There.From != x.Back.To || x.There.To != x.Back.From {
				t.Errorf("%v: paired %v", c.hops, x)
			}
			got = append(got, x.There.From+x.There.To)
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%v: got %q, want %q", c.hops, text, c.want)
		}
	}
}

// pilotOf is a controller that has begun, over links of a bandwidth.
func pilotOf(t *testing.T, bandwidth float64, o Options) *Controller {
	t.Helper()
	c, err := NewController(testProblem(bandwidth), o)
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Begin(0)
	if err != nil || !d.Switch || d.Rule != Start {
		t.Fatalf("got %v, error %v, want to start", d, err)
	}
	c.Switched(0, d.To)
	return c
}

// learn lets the estimates become a bandwidth at once.
func learn(c *Controller, bandwidth float64) {
	for key := range c.est.links {
		c.est.links[key] = &average{fast: bandwidth, slow: bandwidth, samples: 1}
	}
}

func wantRule(t *testing.T, what string, d Decision, want Rule, to string) {
	t.Helper()
	if d.Rule != want || to != "" && d.To.Partition.String() != to {
		t.Errorf("%s: got %s to %v (%s), want %s to %s", what, d.Rule, d.To.Partition, d.Reason, want, to)
	}
	if d.Reason == "" {
		t.Errorf("%s: no reason", what)
	}
}

const (
	onDevice = "device:0-3"
	onEdge   = "edge:0-3"
	onBoth   = "device:0-1,edge:2-3"
)

// At 100 Mbit/s all on the edge takes 48+10+20 ms and a bit; at 10 Mbit/s the split 80+10+40+10 ms; at 2 Mbit/s
// the device's 160 ms are best.
func TestControllerBeginsWithTheBestPlan(t *testing.T) {
	for bandwidth, want := range map[float64]string{100 * mbit: onEdge, 10 * mbit: onBoth, 2 * mbit: onDevice} {
		if got := pilotOf(t, bandwidth, Options{}).current.Partition.String(); got != want {
			t.Errorf("at %g B/s: got %s, want %s", bandwidth, got, want)
		}
	}
}

func TestSwitchesAfterThreeEstimatesInARow(t *testing.T) {
	c := pilotOf(t, 2*mbit, Options{})
	learn(c, 100*mbit)
	at := func(ms int) Decision { return c.Observe(time.Duration(ms)*time.Millisecond, Request{}) }
	wantRule(t, "first", at(100), Count, onEdge)
	wantRule(t, "too soon to be another estimate", at(150), Waiting, "")
	wantRule(t, "second", at(200), Count, onEdge)
	learn(c, 2*mbit)
	wantRule(t, "not in a row", at(300), Best, onDevice)
	learn(c, 100*mbit)
	wantRule(t, "first again", at(400), Count, onEdge)
	wantRule(t, "second again", at(500), Count, onEdge)
	d := at(600)
	wantRule(t, "third again", d, Gain, onEdge)
	if !d.Switch || d.Emergency() {
		t.Errorf("got %+v, want a switch that is no emergency", d)
	}
	c.Switched(610*time.Millisecond, d.To)
	wantRule(t, "after the switch", at(700), Best, onEdge)
}

func TestStaysWhereTheGainIsWithinTheMargin(t *testing.T) {
	// The split takes 100 ms and what 50 kB and 4 kB take; 15 % of 160 ms are 24 ms.
	for _, c := range []struct {
		wire time.Duration // of 54 kB
		want Rule
	}{{37 * time.Millisecond, Margin}, {35 * time.Millisecond, Count}} {
		ctl := pilotOf(t, 2*mbit, Options{})
		learn(ctl, 54_000/c.wire.Seconds())
		wantRule(t, fmt.Sprint("with ", c.wire), ctl.Observe(time.Second, Request{}), c.want, onBoth)
	}
}

// settle observes until the controller switches, and says how long that took.
func settle(t *testing.T, c *Controller, now *time.Duration, want string) (Decision, time.Duration) {
	t.Helper()
	start := *now
	for *now < start+5*time.Minute {
		*now += 100 * time.Millisecond
		if d := c.Observe(*now, Request{}); d.Switch {
			if d.To.Partition.String() != want {
				t.Fatalf("after %v: %v, want %s", *now, d, want)
			}
			c.Switched(*now, d.To)
			return d, *now - start
		}
	}
	t.Fatalf("no switch to %s: %v", want, c.Observe(*now+time.Second, Request{}))
	return Decision{}, 0
}

func TestDwellDoublesWithEachFlap(t *testing.T) {
	c := pilotOf(t, 2*mbit, Options{})
	now := time.Duration(0)
	learn(c, 15*mbit)
	settle(t, c, &now, onBoth)
	var waits []time.Duration
	for i := range 7 {
		// Neither step is a collapse.
		if i%2 == 0 {
			learn(c, 4.5*mbit)
			_, took := settle(t, c, &now, onDevice)
			waits = append(waits, took)
		} else {
			learn(c, 15*mbit)
			_, took := settle(t, c, &now, onBoth)
			waits = append(waits, took)
		}
	}
	for i, want := range []time.Duration{5, 10, 20, 40, 80, 80, 80} {
		if got := waits[i]; got != want*time.Second {
			t.Errorf("switch %d: waited %v, want %v s (all: %v)", i+1, got, int(want), waits)
		}
	}
	now += 10 * time.Minute
	learn(c, 15*mbit)
	settle(t, c, &now, onBoth)
	learn(c, 4.5*mbit)
	if _, took := settle(t, c, &now, onDevice); took != 5*time.Second {
		t.Errorf("long after the last flap: waited %v, want 5 s", took)
	}
}

func TestCollapseSwitchesAtOnceAndReturnWaitsASecond(t *testing.T) {
	c := pilotOf(t, 100*mbit, Options{})
	learn(c, 24*mbit)
	d := c.Observe(time.Second, Request{})
	wantRule(t, "at 24 of 100 Mbit/s", d, Collapse, onBoth)
	if !d.Emergency() {
		t.Error("a collapse is no emergency")
	}
	c.Switched(time.Second, d.To)
	learn(c, 100*mbit)
	now := time.Second
	if _, took := settle(t, c, &now, onEdge); took != time.Second {
		t.Errorf("returned after %v, want 1 s", took)
	}
	learn(c, 26*mbit)
	if d := c.Observe(now+100*time.Millisecond, Request{}); d.Switch {
		t.Errorf("at 26 of 100 Mbit/s: got %v, want no switch at once", d)
	}
}

func TestCollapseWithoutABetterPlanIsForgottenAfterASecond(t *testing.T) {
	c := pilotOf(t, 1000*mbit, Options{})
	learn(c, 200*mbit)
	for at := time.Second; at <= 2*time.Second; at += 100 * time.Millisecond {
		if got := c.basis[[2]string{testDevice, testEdge}]; got != 1000*mbit {
			t.Errorf("after %v a collapse is counted from %g, want %g", at, got, 1000*mbit)
		}
		wantRule(t, "a fifth of the bandwidth, at which the plan is still best", c.Observe(at, Request{}), Best, onEdge)
	}
	if got := c.basis[[2]string{testDevice, testEdge}]; got != 200*mbit {
		t.Errorf("a collapse is counted from %g, want %g", got, 200*mbit)
	}
}

// Averages fall in steps, of which the first may show no plan that is better.
func TestCollapseInStepsIsACollapse(t *testing.T) {
	c := pilotOf(t, 1000*mbit, Options{})
	learn(c, 100*mbit)
	wantRule(t, "a tenth of the bandwidth, at which the plan is still best", c.Observe(time.Second, Request{}), Best, onEdge)
	learn(c, 30*mbit)
	wantRule(t, "half a second later", c.Observe(1500*time.Millisecond, Request{}), Collapse, onBoth)
}

func TestCollapseCountsFromTheBestThatThePlanHad(t *testing.T) {
	c := pilotOf(t, 10*mbit, Options{}) // the split
	learn(c, 60*mbit)
	wantRule(t, "at 60 Mbit/s", c.Observe(time.Second, Request{}), Best, onBoth)
	learn(c, 4*mbit)
	wantRule(t, "at 4 Mbit/s", c.Observe(2*time.Second, Request{}), Collapse, onDevice)
}

// Of 160 ms on the device 82 are lost at 100 Mbit/s: 51 %. A share of 15 % of 5 s is lost in ten requests.
func TestDwellEndsWhenStayingHasCostAsMuch(t *testing.T) {
	c := pilotOf(t, 15*mbit, Options{})
	learn(c, 4.5*mbit)
	now := time.Duration(0)
	settle(t, c, &now, onDevice)
	learn(c, 100*mbit)
	for n := 1; ; n++ {
		now += 160 * time.Millisecond
		d := c.Observe(now, Request{Took: 160 * time.Millisecond})
		if n < 3 {
			wantRule(t, fmt.Sprintf("request %d", n), d, Count, onEdge)
			continue
		}
		if n < 10 {
			wantRule(t, fmt.Sprintf("request %d", n), d, Dwell, onEdge)
			continue
		}
		wantRule(t, fmt.Sprintf("request %d", n), d, Gain, onEdge)
		return
	}
}

// A link with gaps is left at once in each, and comes back as fast each time if it lasts longer than a dwell.
func TestEmergenciesAfterADwellAreNoFlaps(t *testing.T) {
	for lasts, want := range map[time.Duration][]time.Duration{
		6 * time.Second: {time.Second, time.Second, time.Second, time.Second},
		3 * time.Second: {time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second},
	} {
		c := pilotOf(t, 100*mbit, Options{})
		now := time.Second
		for i, wait := range want {
			learn(c, 2*mbit)
			d := c.Observe(now, Request{})
			wantRule(t, fmt.Sprintf("gap %d", i+1), d, Collapse, onDevice)
			c.Switched(now, d.To)
			learn(c, 100*mbit)
			if _, took := settle(t, c, &now, onEdge); took != wait {
				t.Errorf("gaps after %v: returned after gap %d in %v, want %v", lasts, i+1, took, wait)
			}
			now += lasts
		}
	}
}

// All on the edge is predicted to take 78 ms: it is overdue at four times that. The link has at most
// 600 kB / (312 - 30) ms by then; with a quarter of that the device is the fastest.
func TestOverdueRequestSwitches(t *testing.T) {
	c := pilotOf(t, 100*mbit, Options{})
	if d := c.Overdue(0, 700*time.Millisecond); d.Switch {
		t.Errorf("before any other was answered: %v", d)
	}
	for i := range DefaultRules.Recent {
		took := 80 * time.Millisecond
		if i == 3 {
			took = 150 * time.Millisecond
		}
		c.Observe(0, Request{Took: took})
	}
	for elapsed := time.Duration(0); elapsed < 312*time.Millisecond; elapsed += 10 * time.Millisecond {
		if d := c.Overdue(elapsed, elapsed); d.Switch {
			t.Fatalf("after %v: %v", elapsed, d)
		}
	}
	d := c.Overdue(320*time.Millisecond, 320*time.Millisecond)
	wantRule(t, "overdue", d, Overdue, onDevice)
	wantRule(t, "while that is under way", c.Overdue(330*time.Millisecond, 330*time.Millisecond), Waiting, "")
	if got, most := c.est.Bandwidth(testDevice, testEdge), 600_000/0.280/4; got > most {
		t.Errorf("the bandwidth is %g, want at most %g", got, most)
	}
}

// Where one of the last requests took 300 ms by itself, 600 ms are nothing special.
func TestRequestsAreOverdueByWhatIsUsual(t *testing.T) {
	c := pilotOf(t, 100*mbit, Options{})
	for range DefaultRules.Recent {
		c.Observe(0, Request{Took: 300 * time.Millisecond})
	}
	if d := c.Overdue(0, 590*time.Millisecond); d.Switch {
		t.Errorf("after 590 ms: %v", d)
	}
	wantRule(t, "after 610 ms", c.Overdue(0, 610*time.Millisecond), Overdue, onDevice)
	c = pilotOf(t, 100*mbit, Options{})
	for range DefaultRules.Recent {
		c.Observe(0, Request{Took: time.Minute})
	}
	wantRule(t, "beyond all hope", c.Overdue(0, 800*time.Millisecond), Overdue, onDevice)
}

func TestFailedHostIsLeftAtOnceUntilItIsRestored(t *testing.T) {
	c := pilotOf(t, 100*mbit, Options{})
	d := c.Fail(time.Second, testEdge)
	wantRule(t, "failure", d, Failure, onDevice)
	c.Switched(time.Second, d.To)
	wantRule(t, "failed", c.Observe(10*time.Second, Request{}), Best, onDevice)
	if p, due := c.Probe(11 * time.Second); due {
		t.Errorf("%+v is probed although it has failed", p)
	}
	c.Restore(testEdge)
	now := 20 * time.Second
	settle(t, c, &now, onEdge)
	if d := c.Fail(now, testDevice); d.Switch {
		t.Errorf("a host that the plan does not use failed: %v", d)
	}
	wantRule(t, "both failed", c.Fail(now, testEdge), None, "")
}

func TestGainMustPayForTheSwitch(t *testing.T) {
	// At 100 Mbit/s the edge gains 82 ms a request; with one every second that is 2.46 s in 30 s.
	for cost, want := range map[time.Duration]Rule{2400 * time.Millisecond: Gain, 2500 * time.Millisecond: Cost} {
		c := pilotOf(t, 2*mbit, Options{Cost: func(split.Estimate) time.Duration { return cost }})
		var d Decision
		for i := 1; i <= 20; i++ {
			c.Observe(time.Duration(i)*time.Second, Request{})
		}
		learn(c, 100*mbit)
		for i := 21; i <= 23; i++ {
			d = c.Observe(time.Duration(i)*time.Second, Request{})
		}
		wantRule(t, fmt.Sprint("cost ", cost), d, want, onEdge)
	}
}

func TestSlowHostIsLeft(t *testing.T) {
	c := pilotOf(t, 100*mbit, Options{})
	now := time.Duration(0)
	all := split.Segment{From: 0, To: 4}
	for range 50 {
		now += 100 * time.Millisecond
		d := c.Observe(now, Request{Computed: []Computed{{testEdge, all, 400 * time.Millisecond}}})
		if d.Switch {
			if d.Rule != Gain || d.To.Partition.String() == onEdge {
				t.Errorf("got %v", d)
			}
			if load := d.Load[testEdge]; load < 2 {
				t.Errorf("load is %g, want it to have risen towards 20", load)
			}
			return
		}
	}
	t.Error("stayed with a host that takes 20 times as long as profiled")
}

func TestAnotherCodecIsAnotherPlan(t *testing.T) {
	pb := testProblem(100 * mbit)
	pb.Codecs = []string{"half"}
	for _, p := range pb.Profiles {
		p.Cuts = []split.CutProfile{{Position: 0, Width: 1, Bytes: 600_000, Codecs: []split.CodecProfile{
			{Name: "half", WireBytes: 300_000, Encode: split.Samples{20 * time.Millisecond}, Decode: split.Samples{10 * time.Millisecond}},
		}}}
	}
	c, err := NewController(pb, Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Begin(0)
	if err != nil || d.To.Hops[0].Codec != split.RawCodec {
		t.Fatalf("got %v, error %v, want raw at 100 Mbit/s", d, err)
	}
	c.Switched(0, d.To)
	// At 40 Mbit/s raw takes 120 ms on the wire, and half 60 and 30 for coding; the split 110.
	learn(c, 40*mbit)
	d = c.Observe(time.Second, Request{})
	if d.From.Hops[0].Codec != split.RawCodec || d.From.Total <= d.To.Total {
		t.Errorf("got %v, want the present plan priced with its own codec", d)
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	if _, err := NewController(testProblem(mbit), Options{Query: split.Query{Objective: split.Energy}}); err == nil {
		t.Error("an objective that is no time was taken")
	}
	pb := testProblem(mbit)
	pb.Layers = 0
	if _, err := NewController(pb, Options{}); err == nil {
		t.Error("a model without layers was taken")
	}
	c, err := NewController(testProblem(mbit), Options{Query: split.Query{Avoid: []string{testDevice, testEdge}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Begin(0); err == nil {
		t.Error("a plan was found where none is allowed")
	}
	if d := c.Observe(0, Request{}); d.Switch || d.Rule != Waiting {
		t.Errorf("got %v before there is a plan", d)
	}
}
