package run

import (
	"context"
	"fmt"

	"scission/split"
)

// Prober exchanges frames with a host to measure the way to it, over a
// connection of its own beside those of deployments. It is not safe for
// concurrent use.
type Prober struct {
	peer *peer
	self string
}

// MaxProbe bounds the bytes of a probe each way.
const MaxProbe = maxEcho

// Prober connects to one of n.Peers.
func (n *Node) Prober(ctx context.Context, host string) (*Prober, error) {
	p, err := n.dial(ctx, host)
	if err != nil {
		return nil, err
	}
	return &Prober{p, n.Name}, nil
}

// Probe sends so many bytes and has so many come back, in two frames as those of
// a run, and returns the spans of their travel. After an error the Prober can
// only be closed.
func (p *Prober) Probe(ctx context.Context, send, reply int) (there, back Span, err error) {
	if send < 0 || send > MaxProbe || reply < 0 || reply > MaxProbe {
		return there, back, fmt.Errorf("run: probe of %d and %d bytes, want 0 to %d", send, reply, MaxProbe)
	}
	x, rep, err := p.peer.echo(ctx, send, reply)
	if err != nil {
		return there, back, err
	}
	took, tookBack, skew := x.travel(rep)
	there = Span{
		What: Travel, At: x.sent.Code, Took: took, Transfer: rep.Transfer, Bytes: x.sent.WireBytes,
		Hop: &split.Hop{From: p.self, To: p.peer.host},
	}
	back = Span{
		What: Travel, At: x.took - x.got.Code - tookBack, Skew: skew, Took: tookBack, Transfer: x.got.Transfer, Bytes: x.got.WireBytes,
		Hop: &split.Hop{From: p.peer.host, To: p.self, Back: true},
	}
	return there, back, nil
}

// Close ends the connection.
func (p *Prober) Close() error { return p.peer.conn.Close() }
