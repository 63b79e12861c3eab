package run

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split"
	"scission/split/cut"
	"scission/transport"
)

// ProfileOptions says how to profile a model.
type ProfileOptions struct {
	Inputs       []*tensor.Tensor // of the model
	Warmup, Runs int              // of the whole model
	MaxWidth     int              // of the cuts whose transfer is measured; 0 means 1
	Positions    []int            // of the cuts that are measured, beside the first and the last; none means all up to MaxWidth
	Codecs       []string         // that are measured on each cut
	CodecRuns    int              // of each codec on each cut; 0 means 3
	Progress     func(done, of int)
}

// Profile measures a model on one host, this one (called n.Name) or one of
// n.Peers. The model runs there whole, as Open runs it, with the time of each
// layer observed, so that the layers' times add up to the model's; then each
// codec encodes and decodes what crosses each cut.
func (n *Node) Profile(ctx context.Context, m Model, host string, o ProfileOptions) (*split.Profile, error) {
	if o.MaxWidth == 0 {
		o.MaxWidth = 1
	}
	if o.CodecRuns == 0 {
		o.CodecRuns = 3
	}
	layers := len(m.Graph.Nodes)
	p := &split.Profile{
		Model:    split.Model{Name: m.Name, Digest: m.Digest},
		Host:     host,
		Date:     time.Now().UTC().Truncate(time.Second),
		Machine:  n.Machine,
		Slowdown: n.Slowdown,
		Layers:   make([]split.LayerProfile, layers),
	}
	for i, node := range m.Graph.Nodes {
		p.Layers[i] = split.LayerProfile{Name: node.Name, Op: node.Op.String()}
	}
	whole := split.Partition{{Host: host, Segment: split.Segment{From: 0, To: layers}}}
	e, err := n.Open(ctx, Deployment{Model: m, Stages: whole, Layers: true})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	samples, err := Measure(ctx, e, o.Inputs, o.Warmup, o.Runs, o.Progress)
	if err != nil {
		return nil, err
	}
	for _, s := range samples {
		for _, span := range s.Spans {
			if span.What != Compute {
				continue
			}
			if len(span.Layers) != layers {
				return nil, fmt.Errorf("run: host %s: got times of %d layers, want %d", host, len(span.Layers), layers)
			}
			p.Whole = append(p.Whole, span.Took)
			for i, took := range span.Layers {
				p.Layers[i].Samples = append(p.Layers[i].Samples, took)
			}
		}
	}
	if host == n.Name {
		p.Cuts, err = n.profileCodecs(ctx, m.Graph, o.Inputs, o.MaxWidth, o.Positions, o.CodecRuns, o.Codecs)
	} else {
		p.Cuts, err = n.remoteCodecs(ctx, p, m, o)
	}
	if err != nil {
		return nil, err
	}
	if p.Slowdown > 1 {
		p.Emulated = fmt.Sprintf("computing slowed %gx by waiting", p.Slowdown)
	}
	return p, p.Validate()
}

// remoteCodecs asks the host for its cuts' profiles, and notes in p what the
// host says of itself.
func (n *Node) remoteCodecs(ctx context.Context, p *split.Profile, m Model, o ProfileOptions) ([]split.CutProfile, error) {
	c, err := n.dial(ctx, p.Host)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	p.Machine, p.Slowdown = c.greeting.Machine, c.greeting.Slowdown
	r := codecsRequest{Model: m.Digest, Shapes: m.Shapes, MaxWidth: o.MaxWidth, Positions: o.Positions, Runs: o.CodecRuns, Codecs: o.Codecs}
	x, err := c.call(ctx, kindCodecs, encodeMeta(r), o.Inputs, transport.Raw)
	if err != nil {
		return nil, err
	}
	var cuts []split.CutProfile
	return cuts, decodeMeta(x.answer, &cuts)
}

// maxCodecRuns bounds what a peer can ask of codecs.
const maxCodecRuns = 1000

func (s *session) codecs(ctx context.Context, r codecsRequest, in []*tensor.Tensor) ([]split.CutProfile, error) {
	if r.Runs < 1 || r.Runs > maxCodecRuns || r.MaxWidth < 0 || len(r.Codecs) > len(transport.Codecs()) {
		return nil, fmt.Errorf("run: %d runs of %d codecs, want 1 to %d of at most %d", r.Runs, len(r.Codecs), maxCodecRuns, len(transport.Codecs()))
	}
	g, closer, err := s.node.model(r.Model, r.Shapes)
	if err != nil {
		return nil, err
	}
	if closer != nil {
		defer closer.Close()
	}
	return s.node.profileCodecs(ctx, g, in, r.MaxWidth, r.Positions, r.Runs, r.Codecs)
}

// profileCodecs runs the graph from cut to cut and sends what crosses each one
// to itself with each codec.
func (n *Node) profileCodecs(ctx context.Context, g *graph.Graph, in []*tensor.Tensor, maxWidth int, only []int, runs int, codecs []string) ([]split.CutProfile, error) {
	a, b := net.Pipe()
	send, receive := transport.NewConn(a, n.Transport.Limits), transport.NewConn(b, n.Transport.Limits)
	defer send.Close()
	defer receive.Close()
	cuts := cut.Find(g, maxWidth)
	if len(only) > 0 {
		cuts = slices.DeleteFunc(cuts, func(c cut.Cut) bool {
			return c.Position > 0 && c.Position < len(g.Nodes) && !slices.Contains(only, c.Position)
		})
	}
	var profiles []split.CutProfile
	for i, c := range cuts {
		p := split.CutProfile{Position: c.Position, Width: c.Width(), Bytes: int64(c.Bytes)}
		for _, name := range codecs {
			cp, err := profileCodec(ctx, send, receive, in, name, runs)
			if err != nil {
				return nil, fmt.Errorf("run: codec %s at cut %d: %w", name, c.Position, err)
			}
			p.Codecs = append(p.Codecs, cp)
		}
		profiles = append(profiles, p)
		if i == len(cuts)-1 {
			break
		}
		part, err := cut.Extract(g, split.Segment{From: c.Position, To: cuts[i+1].Position})
		if err != nil {
			return nil, err
		}
		plan, err := engine.Compile(part, engine.Options{Threads: n.Threads, Memory: n.Memory})
		if err != nil {
			return nil, err
		}
		if in, err = plan.NewSession().Run(ctx, in); err != nil {
			return nil, err
		}
	}
	return profiles, nil
}

// profileCodec sends tensors through a pipe, once to warm up and runs times
// more.
func profileCodec(ctx context.Context, send, receive *transport.Conn, tensors []*tensor.Tensor, name string, runs int) (split.CodecProfile, error) {
	p := split.CodecProfile{Name: name}
	codec, err := transport.CodecByName(name)
	if err != nil {
		return p, err
	}
	type received struct {
		stats transport.Stats
		err   error
	}
	for i := range 1 + runs {
		got := make(chan received, 1)
		go func() {
			_, stats, err := receive.Receive(ctx)
			got <- received{stats, err}
		}()
		sent, err := send.Send(ctx, &transport.Message{Kind: kindEcho, Tensors: tensors}, func(int, *tensor.Tensor) transport.Codec { return codec })
		if err != nil {
			send.Close()
			<-got
			return p, err
		}
		r := <-got
		if r.err != nil {
			return p, r.err
		}
		p.WireBytes = int64(sent.WireBytes)
		if i > 0 {
			p.Encode = append(p.Encode, sent.Code)
			p.Decode = append(p.Decode, r.stats.Code)
		}
	}
	return p, nil
}
