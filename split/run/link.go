package run

import (
	"context"
	"fmt"
	"time"

	"scission/engine/tensor"
	"scission/split"
)

// LinkReport is what MeasureLink saw of the way to a host.
type LinkReport struct {
	Host      string        `json:"host"` // as it calls itself
	RoundTrip split.Samples `json:"round_trip_ns"`
	Up, Down  LinkSpeed     `json:"-"`
	There     split.Link    `json:"there"`
	Back      split.Link    `json:"back"`
}

// LinkSpeed is a transfer that is long enough to show the bandwidth.
type LinkSpeed struct {
	Bytes int
	Took  time.Duration
}

// Sizes of the frames that measure a link.
const (
	linkPings = 20
	linkFirst = 64 << 10 // bytes of the first transfer; each one is four times larger
)

// MeasureLink measures the way to one of n.Peers with frames as a run sends
// them: the median round trip of empty ones, half of which is the latency, and the bandwidth of transfers that grow
// until one takes at least the given time, in each direction.
func (n *Node) MeasureLink(ctx context.Context, host string, atLeast time.Duration) (*LinkReport, error) {
	p, err := n.dial(ctx, host)
	if err != nil {
		return nil, err
	}
	defer p.conn.Close()
	r := &LinkReport{Host: p.greeting.Name}
	// network is the time of an exchange on the network, and the bytes of its
	// larger frame.
	network := func(send, reply int) (took time.Duration, wire int, err error) {
		x, rep, err := p.echo(ctx, send, reply)
		if err != nil {
			return 0, 0, err
		}
		there, back, _ := x.travel(rep)
		return there + back, max(x.sent.WireBytes, x.got.WireBytes), nil
	}
	for i := range 1 + linkPings {
		took, _, err := network(0, 0)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			r.RoundTrip = append(r.RoundTrip, took)
		}
	}
	latency := r.RoundTrip.Median() / 2
	measure := func(up bool) (LinkSpeed, error) {
		for size := linkFirst; ; size *= 4 {
			size = min(size, maxEcho)
			send, reply := size, 0
			if !up {
				send, reply = 0, size
			}
			took, wire, err := network(send, reply)
			if err != nil {
				return LinkSpeed{}, err
			}
			took = max(took-2*latency, 1)
			if took >= atLeast || size == maxEcho {
				return LinkSpeed{wire, took}, nil
			}
		}
	}
	if r.Up, err = measure(true); err != nil {
		return nil, err
	}
	if r.Down, err = measure(false); err != nil {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	r.There = split.Link{Latency: latency, Bandwidth: r.Up.bandwidth(), Date: now}
	r.Back = split.Link{Latency: latency, Bandwidth: r.Down.bandwidth(), Date: now}
	return r, nil
}

func (s LinkSpeed) bandwidth() float64 { return float64(s.Bytes) / s.Took.Seconds() }

// echo sends a frame of send bytes and has one of reply bytes come back.
func (p *peer) echo(ctx context.Context, send, reply int) (x exchange, rep report, err error) {
	if x, err = p.call(ctx, kindEcho, encodeMeta(echoRequest{reply}), []*tensor.Tensor{tensor.New(tensor.Uint8, send)}, nil); err != nil {
		return x, rep, err
	}
	if rep, err = decodeReport(x.answer.Meta); err != nil {
		return x, rep, p.wrap(err)
	}
	if err := rep.check(); err != nil {
		return x, rep, p.wrap(err)
	}
	if len(x.answer.Tensors) != 1 || len(x.answer.Tensors[0].Raw) != reply {
		return x, rep, p.wrap(fmt.Errorf("answer to an echo does not have %d bytes", reply))
	}
	return x, rep, nil
}
