package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split"
	"scission/split/cut"
	"scission/transport"
)

// ProfileOptions says how to profile a model.
type ProfileOptions struct {
	Inputs       []*tensor.Tensor // of the model
	Warmup, Runs int              // of the whole model; Runs with the layers' times and as many without
	MaxWidth     int              // of the cuts that are measured; 0 means 1
	Positions    []int            // of the cuts that are measured, beside the first and the last; none means all up to MaxWidth
	Codecs       []string         // that are measured on each cut
	CodecRuns    int              // of each codec on each cut; 0 means DefaultCodecRuns
	CutRuns      int              // of the pieces around each cut; 0 means DefaultCutRuns
	// Budget, if not 0, bounds the time on the host: what remains of it is
	// spread over what is still to be measured, first runs and then cuts.
	// Profile.Short says what it left out, cuts here and there. At least
	// MinRuns are made.
	Budget time.Duration
	// Progress, if not nil, is told how many steps are done of Warmup, twice
	// Runs, and the number of cuts.
	Progress func(done, of int)
}

// What ProfileOptions have where they say 0, and the runs of the whole model
// that a Budget does not save.
const (
	DefaultCodecRuns = 3
	DefaultCutRuns   = 5
	MinRuns          = 3
)

// maxProfileRuns bounds each of the numbers of runs, which a peer can ask for.
const maxProfileRuns = 1000

func (o *ProfileOptions) check() error {
	for _, x := range []struct {
		what string
		n    int
		min  int
	}{{"runs", o.Runs, 1}, {"runs to warm up", o.Warmup, 0}, {"runs of each codec", o.CodecRuns, 1}, {"runs around each cut", o.CutRuns, 1}} {
		if x.n < x.min || x.n > maxProfileRuns {
			return fmt.Errorf("run: profile: %d %s, want %d to %d", x.n, x.what, x.min, maxProfileRuns)
		}
	}
	if o.MaxWidth < 1 || len(o.Codecs) > len(transport.Codecs()) || o.Budget < 0 {
		return fmt.Errorf("run: profile: width %d, %d codecs, budget %v, want at least 1, at most %d, and at least 0",
			o.MaxWidth, len(o.Codecs), o.Budget, len(transport.Codecs()))
	}
	return nil
}

func (o *ProfileOptions) fill() {
	for n, standard := range map[*int]int{&o.MaxWidth: 1, &o.CodecRuns: DefaultCodecRuns, &o.CutRuns: DefaultCutRuns} {
		if *n == 0 {
			*n = standard
		}
	}
}

// Profile measures a model on one host, this one (called n.Name) or one of
// n.Peers, which is sent the inputs once and then measures by itself.
//
// The model runs there whole, as Open runs it, in turns with the time of each
// layer observed and without, so that Whole is independent of the layers'
// times and shows whether they add up. Then, at each cut, each codec encodes
// and decodes what crosses it, and pieces of the model run, joined and cut, to
// see what the cut adds to either side: changes of layout, and layers that the
// engine would have joined. Those are told by the plans; a difference between
// nodes that are the same in both plans counts as noise and is left out. Nor is
// anything added for a stage that begins after its host was idle: the second
// parts of mobilenetv2 and resnet50 took no more processor time after 5 and 20
// ms of idleness than at once.
//
// Weights counts each constant once, for the first layer that reads it, in the
// size that it has in the model. Live counts what the layer reads and gives and
// what later layers read, row-major. Peak is the memory of the engine's session
// for the whole model, where values take each other's place, and the
// constants; kernels may keep those in another form, of another size.
func (n *Node) Profile(ctx context.Context, m Model, host string, o ProfileOptions) (*split.Profile, error) {
	start := time.Now()
	o.fill()
	if err := o.check(); err != nil {
		return nil, err
	}
	measure := n.profileRemote
	if host == n.Name {
		measure = n.profileHere
	}
	p, err := measure(ctx, m, host, o)
	if err != nil {
		return nil, err
	}
	p.Model, p.Host = split.Model{Name: m.Name, Digest: m.Digest}, host
	p.Date, p.Took = start.UTC().Truncate(time.Second), time.Since(start)
	return p, p.Validate()
}

// profileRemote has a peer do profileHere.
func (n *Node) profileRemote(ctx context.Context, m Model, host string, o ProfileOptions) (*split.Profile, error) {
	c, err := n.dial(ctx, host)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	if o.Progress != nil {
		c.progress = func(p progressReport) { o.Progress(p.Done, p.Of) }
	}
	model, err := m.request()
	if err != nil {
		return nil, err
	}
	r := profileRequest{modelRequest: model, Host: host, Warmup: o.Warmup, Runs: o.Runs, MaxWidth: o.MaxWidth, Positions: o.Positions,
		Codecs: o.Codecs, CodecRuns: o.CodecRuns, CutRuns: o.CutRuns, Budget: o.Budget, Progress: o.Progress != nil}
	var x exchange
	err = n.withModel(ctx, c, m, n.Name, nil, func() error {
		x, err = c.call(ctx, kindProfile, encodeMeta(r), o.Inputs, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(x.answer.Tensors) != 1 {
		return nil, c.wrap(fmt.Errorf("got %d tensors, want a profile", len(x.answer.Tensors)))
	}
	p, err := split.ReadProfile(bytes.NewReader(x.answer.Tensors[0].Raw), split.MaxProfileBytes)
	if err != nil {
		return nil, c.wrap(err)
	}
	if p.Model.Digest != model.Model || len(p.Layers) != len(m.Graph.Nodes) {
		return nil, c.wrap(fmt.Errorf("got a profile of model %.80q with %d layers, want %q with %d", p.Model.Digest, len(p.Layers), model.Model, len(m.Graph.Nodes)))
	}
	return p, nil
}

// progressEvery is how often a peer is told how far a profile is.
const progressEvery = 200 * time.Millisecond

// profile answers a request for a profile of this host.
func (s *session) profile(ctx context.Context, id uint64, r profileRequest, in []*tensor.Tensor) error {
	o := ProfileOptions{Inputs: in, Warmup: r.Warmup, Runs: r.Runs, MaxWidth: r.MaxWidth, Positions: r.Positions,
		Codecs: r.Codecs, CodecRuns: r.CodecRuns, CutRuns: r.CutRuns, Budget: r.Budget}
	if err := o.check(); err != nil {
		return err
	}
	l, err := s.node.model(r.modelRequest, nil)
	if err != nil {
		return err
	}
	defer l.Close()
	if r.Progress {
		var last time.Time
		o.Progress = func(done, of int) {
			if time.Since(last) < progressEvery {
				return
			}
			last = time.Now()
			// That it cannot be sent shows when the answer is.
			s.conn.Send(ctx, &transport.Message{Kind: kindProgress, ID: id, Meta: encodeMeta(progressReport{done, of})}, nil)
		}
	}
	p, err := s.node.profileHere(ctx, Model{Name: r.Model, Digest: r.Model, Graph: l.graph}, r.Host, o)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		return err
	}
	s.tensors = []*tensor.Tensor{{Type: tensor.Type{DType: tensor.Uint8, Shape: tensor.Shape{b.Len()}}, Raw: b.Bytes()}}
	return nil
}

// profiling is a profile on its way.
type profiling struct {
	node    *Node
	options ProfileOptions
	graph   *graph.Graph
	profile *split.Profile
	start   time.Time
	done    int // steps, as ProfileOptions.Progress counts them
	of      int
}

func (n *Node) profileHere(ctx context.Context, m Model, host string, o ProfileOptions) (*split.Profile, error) {
	layers := len(m.Graph.Nodes)
	p := &profiling{node: n, options: o, graph: m.Graph, start: time.Now()}
	p.profile = &split.Profile{
		Model:    split.Model{Name: m.Name, Digest: m.Digest},
		Host:     host,
		Machine:  n.Machine,
		Slowdown: n.Slowdown,
		Warmup:   o.Warmup,
		Layers:   make([]split.LayerProfile, layers),
	}
	if n.Slowdown > 1 {
		p.profile.Emulated = fmt.Sprintf("computing slowed %gx by waiting", n.Slowdown)
	}
	constants := p.sizes()
	whole := split.Stage{Host: host, Segment: split.Segment{From: 0, To: layers}}
	memory := n.memory()
	l, err := n.openLocal(Deployment{Model: m}, whole, &memory)
	if err != nil {
		return nil, err
	}
	p.profile.Peak = int64(l.plan.Memory()) + constants
	narrow := cut.Find(m.Graph, o.MaxWidth)
	cuts := narrow
	if len(o.Positions) > 0 {
		cuts = slices.DeleteFunc(slices.Clone(narrow), func(c cut.Cut) bool {
			return c.Position > 0 && c.Position < layers && !slices.Contains(o.Positions, c.Position)
		})
	}
	p.of = o.Warmup + 2*o.Runs + len(cuts)
	if err := p.runs(ctx, l); err != nil {
		return nil, err
	}
	return p.profile, p.cuts(ctx, newSeams(n, m.Graph, l.nodes, narrow, o.Inputs), cuts)
}

// sizes fills in the layers' names and bytes, and returns the bytes of all
// constants.
func (p *profiling) sizes() (constants int64) {
	counted := map[*tensor.Tensor]bool{}
	live := cut.Places(p.graph)
	for i, node := range p.graph.Nodes {
		l := split.LayerProfile{Name: node.Name, Op: node.Op.String(), Live: int64(live[i].Bytes)}
		for _, v := range node.In {
			if v != nil && v.Const != nil && !counted[v.Const] {
				counted[v.Const] = true
				l.Weights += int64(len(v.Const.Raw))
			}
		}
		for _, v := range node.Out {
			if v != nil {
				l.Live += int64(v.Type.Bytes())
			}
		}
		constants += l.Weights
		p.profile.Layers[i] = l
	}
	return constants
}

// step notes that a step is done.
func (p *profiling) step() {
	p.done++
	if p.options.Progress != nil {
		p.options.Progress(p.done, p.of)
	}
}

// until is the time at which a part of the budget is used up, or a time that
// never comes.
func (p *profiling) until(part float64) time.Time {
	if p.options.Budget == 0 {
		return p.start.Add(1 << 62)
	}
	return p.start.Add(time.Duration(part * float64(p.options.Budget)))
}

// short notes what the budget has left out.
func (p *profiling) short(format string, args ...any) {
	p.profile.Short = append(p.profile.Short, fmt.Sprintf(format, args...))
}

// runsPart is the part of a budget that runs of the whole model may use.
const runsPart = 0.5

// runs measures the model as a whole.
func (p *profiling) runs(ctx context.Context, l *local) error {
	one := func(observed bool) ([]Sample, error) {
		l.observe(observed)
		samples, err := Measure(ctx, l, p.options.Inputs, 0, 1, nil)
		p.step()
		return samples, err
	}
	end := p.until(runsPart)
	for range p.options.Warmup {
		if _, err := one(true); err != nil {
			return err
		}
	}
	for i := range p.options.Runs {
		if i >= MinRuns && time.Now().After(end) {
			p.short("%d of %d runs of the model", i, p.options.Runs)
			break
		}
		for _, observed := range []bool{false, true} {
			samples, err := one(observed)
			if err != nil {
				return err
			}
			if err := AddRuns(p.profile, samples); err != nil {
				return err
			}
		}
	}
	p.done = p.options.Warmup + 2*p.options.Runs
	return nil
}

// cuts measures what crosses each cut and what the cut adds.
func (p *profiling) cuts(ctx context.Context, w *seams, cuts []cut.Cut) error {
	a, b := net.Pipe()
	send, receive := transport.NewConn(a, p.node.Transport.Limits), transport.NewConn(b, p.node.Transport.Limits)
	defer send.Close()
	defer receive.Close()
	fewer, measured := 0, 0
	begin := time.Now()
	for i := 0; i < len(cuts); i++ {
		now := time.Now()
		left := p.until(1).Sub(now)
		if left <= 0 {
			break
		}
		if measured > 0 {
			// Where there is not the time for all, leave out some everywhere, but not the last.
			rest := len(cuts) - i
			each := max(now.Sub(begin)/time.Duration(measured), 1)
			affordable := int(min(left/each, time.Duration(rest)))
			i = min(i+rest/max(affordable, 1)-1, len(cuts)-1)
		}
		c := cuts[i]
		end := now.Add(left / time.Duration(len(cuts)-i))
		x := split.CutProfile{Position: c.Position, Width: c.Width(), Bytes: int64(c.Bytes)}
		complete, err := p.seam(ctx, w, &x, now.Add(end.Sub(now)/2))
		if err != nil {
			return fmt.Errorf("run: profile cut %d: %w", c.Position, err)
		}
		crossing, err := w.at(ctx, c.Position)
		if err != nil {
			return fmt.Errorf("run: profile cut %d: %w", c.Position, err)
		}
		for _, name := range p.options.Codecs {
			k, err := profileCodec(ctx, send, receive, crossing, name, p.options.CodecRuns, end)
			if err != nil {
				return fmt.Errorf("run: codec %s at cut %d: %w", name, c.Position, err)
			}
			complete = complete && len(k.Encode) == p.options.CodecRuns
			x.Codecs = append(x.Codecs, k)
		}
		if !complete {
			fewer++
		}
		p.profile.Cuts = append(p.profile.Cuts, x)
		measured++
		p.done = p.of - len(cuts) + i
		p.step()
	}
	if n := len(cuts) - len(p.profile.Cuts); n > 0 {
		p.short("%d of %d cuts left out", n, len(cuts))
	}
	if fewer > 0 {
		p.short("fewer runs at %d of the %d cuts measured", fewer, measured)
	}
	return nil
}

// seam measures what the cut x adds, until end but at least once, and reports
// whether the time was enough.
func (p *profiling) seam(ctx context.Context, w *seams, x *split.CutProfile, end time.Time) (complete bool, err error) {
	if x.Position == 0 || x.Position == len(p.graph.Nodes) {
		return true, nil
	}
	s, err := w.seam(x.Position)
	if err != nil {
		return false, err
	}
	if !s.leave.any() && !s.enter.any() {
		return true, nil
	}
	in, err := w.at(ctx, s.joined.segment.From)
	if err != nil {
		return false, err
	}
	slower := max(p.node.Slowdown, 1)
	add := func(to *split.Samples, c change, took time.Duration) {
		if c.any() {
			*to = append(*to, time.Duration(slower*float64(took)))
		}
	}
	for i := range 1 + p.options.CutRuns {
		if i > 1 && time.Now().After(end) {
			return false, nil
		}
		crossing, leave, enter, err := s.run(ctx, in)
		if err != nil {
			return false, err
		}
		if i == 0 {
			w.keep(x.Position, crossing)
		} else {
			add(&x.Leave, s.leave, leave)
			add(&x.Enter, s.enter, enter)
		}
	}
	return true, nil
}

// profileCodec sends tensors through a pipe, once to warm up and then runs
// times more, or as often as there is time until end but at least once.
func profileCodec(ctx context.Context, send, receive *transport.Conn, tensors []*tensor.Tensor, name string, runs int, end time.Time) (split.CodecProfile, error) {
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
		if i > 1 && time.Now().After(end) {
			break
		}
		got := make(chan received, 1)
		go func() {
			_, stats, err := receive.Receive(ctx)
			got <- received{stats, err}
		}()
		sent, err := send.Send(ctx, &transport.Message{Kind: kindEcho, Tensors: tensors}, func(int, *tensor.Tensor) transport.Codec { return codec })
		if err != nil {
			send.Close()
			return p, errors.Join(err, (<-got).err)
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
