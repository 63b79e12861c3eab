package adapt

import (
	"slices"
	"time"

	"scission/split"
)

const (
	// probeWire is how long a probe should be on the wire at the bandwidth that is estimated.
	probeWire = 5 * time.Millisecond
	// probeShare: a probe is followed by that many times of what it was on the wire without one, so that
	// probes take at most a hundredth of the link; but for a probe that meets a link that has collapsed at most
	// by maxRest, or what follows the smallest probe.
	probeShare = 100
	maxRest    = 3 * time.Second
	// minProbe and maxProbe are the smallest and the largest probe in bytes.
	minProbe, maxProbe = 1 << 10, 256 << 10
	// A probe that shows more than nearly times the estimated bandwidth raises the estimate to what it shows, but at
	// most to faster times what it was; and one that shows more than that is followed at once by the next,
	// which is larger, up to chainLength of them: as TCP's slow start finds out what a link carries.
	nearly, faster, chainLength = 1.25, 2, 12
	// witnesses: the link has at most slack times of what the fastest of so many probes in a row shows.
	witnesses, slack = 3, 2
	// tripWindow is how long an exchange is the shortest. A way that becomes longer makes the link look slower
	// for so long; an exchange that happened to take longer than others makes no difference.
	tripWindow = 3 * time.Second
	// fresh is how long what a link's own frames, or an empty probe, have shown needs no probe.
	fresh = time.Second
)

// Probe is an exchange of frames whose only purpose is to measure the way from the source to a host. An empty
// one measures the round trip.
type Probe struct {
	Host        string
	Send, Reply int // bytes of the frame there and of its answer, of which one is 0
}

// prober decides when the links to a host and back are probed.
type prober struct {
	source, host string
	trip         time.Duration // when the round trip was measured
	tripped      bool
	took         window // of exchanges, the shortest of which is the round trip
	// asked is when the probe under way was sent, and asking whether one is. silent says that the last one was never
	// answered.
	asked          time.Duration
	asking, silent bool
	ways           [2]way // there, back
	// used is the bytes of the requests that went between the two hosts, and probed those of the probes while
	// the plan used the link.
	used, probed int64
}

// way is one direction.
type way struct {
	due   time.Duration // the next probe
	rates []float64     // what the last probes showed
	chain int           // probes that followed each other at once
	wire  time.Duration // for which they were on the wire
}

func newProber(source, host string) *prober { return &prober{source: source, host: host} }

// link is the ends of one of the two ways.
func (p *prober) link(i int) (from, to string) {
	if i == 0 {
		return p.source, p.host
	}
	return p.host, p.source
}

// Probe is what should be probed now, if anything: links of the source, there and back, over which no frame
// has passed lately that counts. They take at most a hundredth of an idle link's time, and have at most a
// hundredth of the bytes of the requests where the plan uses the link. It is to be followed by Probed or
// Unanswered before the next.
func (c *Controller) Probe(now time.Duration) (Probe, bool) {
	for _, p := range c.probes {
		if c.down[p.host] || uses(c.current, p) && probeShare*p.probed > p.used {
			for i := range p.ways { // what was found out so far counts
				p.ways[i].chain, p.ways[i].wire = 0, 0
			}
			continue
		}
		for i := range p.ways {
			w := &p.ways[i]
			from, to := p.link(i)
			a := c.est.links[[2]string{from, to}]
			if w.chain == 0 && a.samples > 0 && now-a.at < fresh {
				w.rates = nil
				w.due = max(w.due, a.at+fresh)
			}
			if now < w.due {
				continue
			}
			p.asked, p.asking = now, true
			if !p.tripped || now-p.trip >= fresh {
				return Probe{Host: p.host}, true
			}
			size := int(min(max(a.value()*probeWire.Seconds(), minProbe), maxProbe))
			if i == 0 {
				return Probe{Host: p.host, Send: size}, true
			}
			return Probe{Host: p.host, Reply: size}, true
		}
	}
	return Probe{}, false
}

// uses says whether a plan sends anything between the two hosts.
func uses(e split.Estimate, p *prober) bool {
	return slices.ContainsFunc(e.Hops, func(h split.HopCost) bool {
		return h.From == p.source && h.To == p.host || h.From == p.host && h.To == p.source
	})
}

// probing says whether probes follow each other at once, because a link is faster than was known.
func (c *Controller) probing() bool {
	return slices.ContainsFunc(c.probes, func(p *prober) bool { return p.ways[0].chain > 0 || p.ways[1].chain > 0 })
}

// unknown says whether a plan uses a link that has not answered the probe that was sent last, in time or at all.
func (c *Controller) unknown(now time.Duration, e split.Estimate) bool {
	return slices.ContainsFunc(c.probes, func(p *prober) bool {
		late := p.asking && now-p.asked > c.rules.patience(c.est.RoundTrip(p.source, p.host)+probeWire)
		return (p.silent || late) && uses(e, p)
	})
}

// find is the prober of a host; nil where its links are not probed.
func (c *Controller) find(host string) *prober {
	i := slices.IndexFunc(c.probes, func(p *prober) bool { return p.host == host })
	if i < 0 {
		return nil
	}
	return c.probes[i]
}

// Probed takes in what a probe showed, and decides.
func (c *Controller) Probed(now time.Duration, probe Probe, x Exchange) Decision {
	p := c.find(probe.Host)
	if p == nil {
		return c.hold(Decision{At: now, From: c.current}, Waiting, "%s is not probed", probe.Host)
	}
	p.asking, p.silent = false, false
	if uses(c.current, p) {
		p.probed += x.There.Bytes + x.Back.Bytes
	}
	if probe.Send == 0 && probe.Reply == 0 {
		c.est.Exchange(now, x)
		p.trip, p.tripped = now, true
		p.took.add(now, x.There.Took+x.Back.Took, tripWindow)
		return c.hold(Decision{At: now, From: c.current}, Waiting, "a round trip decides nothing")
	}
	i, bytes := 0, x.There.Bytes
	if probe.Reply > 0 {
		i, bytes = 1, x.Back.Bytes
	}
	w := &p.ways[i]
	from, to := p.link(i)
	a := c.est.links[[2]string{from, to}]
	value := a.value()
	c.est.Exchange(now, x)
	took := x.There.Took + x.Back.Took
	wire := took
	if len(p.took) > 0 {
		wire = max(took-p.took[0].value, minWire)
	}
	p.took.add(now, took, tripWindow)
	rate := float64(bytes) / wire.Seconds()
	if rate > nearly*value {
		w.rates = nil
		if bytes < MinFrame || w.chain > 0 {
			a.raise(min(rate, faster*value))
		}
	} else if w.rates = append(w.rates, rate); len(w.rates) == witnesses {
		a.bound(slack * slices.Max(w.rates))
		w.rates = w.rates[1:]
	}
	// A way that has become longer, for a while, takes nothing from the link.
	w.wire += min(wire, split.Link{Bandwidth: a.value()}.Travel(bytes))
	if rate > faster*value && w.chain < chainLength {
		w.chain++
		w.due = now
	} else {
		smallest := split.Link{Bandwidth: a.value()}.Travel(minProbe)
		w.due = now + probeShare*min(w.wire, max(maxRest/probeShare, smallest))
		w.chain, w.wire = 0, 0
	}
	return c.decide(now)
}

// Unanswered says that a probe has no answer, after the time that it took to find out.
func (c *Controller) Unanswered(now time.Duration, probe Probe) {
	if p := c.find(probe.Host); p != nil {
		p.asking, p.silent = false, true
		for i := range p.ways {
			p.ways[i] = way{due: now + maxRest}
		}
	}
}
