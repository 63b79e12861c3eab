package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"scission/engine/tensor"
	"scission/split"
	"scission/transport"
	"scission/transport/keys"
)

// DefaultInFlight and DefaultInFlightBytes bound the runs of one connection
// that a Node has at once, and the bytes of their inputs.
const (
	DefaultInFlight      = 16
	DefaultInFlightBytes = 64 << 20
)

// maxEcho bounds the bytes of the answer to an echo.
const maxEcho = 64 << 20

// How long ServeAll waits after a connection could not be accepted.
const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// ServeAll serves every connection of l until ctx ends, or l fails for good,
// and then ends the connections and waits for them. It closes l.
func (n *Node) ServeAll(ctx context.Context, l net.Listener) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	var pause time.Duration // after failures in a row
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				c.Close()
			}
			return nil
		}
		if err != nil {
			// Such as too many open files: some will be closed.
			var temporary interface{ Temporary() bool }
			if !errors.As(err, &temporary) || !temporary.Temporary() {
				return fmt.Errorf("run: serve: %w", err)
			}
			pause = min(max(2*pause, minPause), maxPause)
			n.log().Warn("cannot accept connections", "error", err, "again_in", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done(): // so does l
			}
			continue
		}
		pause = 0
		wg.Go(func() {
			log := n.log().With("address", c.RemoteAddr().String())
			log.Debug("connected")
			if err := n.Serve(ctx, c); err != nil {
				log.Warn("connection failed", "error", err)
			}
			log.Debug("disconnected")
		})
	}
}

// log is where to tell what happens.
func (n *Node) log() *slog.Logger {
	if n.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return n.Log
}

// Serve answers the requests of one connection until the peer closes it or ctx
// ends, and closes it. A request that fails is answered with its error; what
// breaks the protocol ends the connection.
func (n *Node) Serve(ctx context.Context, c net.Conn) error {
	conn := transport.NewConn(c, n.Transport.Limits)
	defer conn.Close()
	if most := cmp.Or(n.MaxHandshakes, DefaultMaxHandshakes); !n.conns.greet(most) {
		return fmt.Errorf("run: refused: %w: %d connections have not said who they are, as many as allowed", ErrBusy, most)
	}
	hello, err := conn.Handshake(ctx, transport.Hello{Meta: encodeMeta(n.greeting())})
	s := n.newSession(conn)
	if err == nil {
		err = decodeMeta(&transport.Message{Meta: hello.Meta}, &s.client)
	}
	if err != nil {
		n.conns.dismiss()
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	n.work.join(s)
	defer n.work.leave(s)
	defer s.close()
	defer stop()
	s.admit()
	if s.busy = n.conns.enter(s.identity, n.maxConns(), cmp.Or(n.MaxPeerConns, DefaultMaxPeerConns)); s.busy == nil {
		defer n.conns.leave(s.identity)
	} else {
		// It has as long as a handshake for its request, which is refused.
		defer n.conns.dismiss()
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, n.handshakeTime())
		defer cancel()
	}
	s.stop = stop
	if err = s.read(ctx); err == errRelieved {
		err = <-s.over
	}
	return err
}

// read takes messages until the connection ends, or another goroutine reads,
// which it tells by errRelieved.
func (s *session) read(ctx context.Context) error {
	for {
		m, stats, err := s.conn.ReceiveInto(ctx, &s.next.inbox)
		switch {
		case err == nil:
			err = s.take(ctx, m, stats)
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, transport.ErrIdle) && s.working():
			err = nil // it is not the client who is idle
		}
		if err == errRelieved {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if s.busy != nil {
			return s.busy
		}
	}
}

// session is one connection that is served.
type session struct {
	node   *Node
	conn   *transport.Conn
	client greeting
	busy   error // why there is no room for it; nil if there is

	identity string     // name of the client's certificate; empty without TLS
	roles    keys.Roles // what the client may do

	runner  *served
	next    *job          // for the next message
	credits *credits      // that the client has
	flow    *flow         // of the runner, from its first run on
	sent    chan struct{} // closed when the flow's answers were sent
	upload  *upload
	echo    *tensor.Tensor
	tensors []*tensor.Tensor // of the answer
	pick    picker           // of the answer

	relief relief
	brief  atomic.Bool // the last run was so
	stop   func()      // ends all that the session does
	over   chan error  // how reading ended, of a goroutine that has relieved another one

	mu      sync.Mutex
	running map[uint64]context.CancelFunc // of the runs in flight
}

func (n *Node) newSession(conn *transport.Conn) *session {
	s := &session{node: n, conn: conn, over: make(chan error, 1), credits: newCredits(cmp.Or(n.InFlight, DefaultInFlight), cmp.Or(n.InFlightBytes, DefaultInFlightBytes))}
	s.next = s.newJob()
	return s
}

// served is an open deployment and what it holds.
type served struct {
	pipeline
	model io.Closer
	codec *choice // of the results
}

func (s *session) close() {
	s.conn.Close() // first, since layers that run are not interrupted
	s.endUpload()
	s.drain()
	s.endRunner()
}

// endRunner closes what is open, which must be idle.
func (s *session) endRunner() {
	if s.runner == nil {
		return
	}
	s.node.load.deployments.Add(-1)
	s.runner.Close()
	s.runner.model.Close()
	s.runner = nil
}

// working says that there are runs in flight, or answers on their way.
func (s *session) working() bool {
	return s.flow != nil && len(s.flow.free.there) < cap(s.flow.free.there)-1
}

// newJob returns a job that takes a run only as far as the client has credit.
func (s *session) newJob() *job {
	j := newJob()
	j.inbox.Admit = func(kind uint8, bytes int) error {
		if kind == kindRun && s.runner != nil && !s.credits.try(bytes) {
			return fmt.Errorf("run: %w: more runs in flight than %d, or than have %d bytes", ErrBusy, s.credits.depth, s.credits.bytes)
		}
		return nil
	}
	return j
}

// take handles a message. The error is one after which the connection cannot
// go on.
func (s *session) take(ctx context.Context, m *transport.Message, stats transport.Stats) error {
	switch {
	case m.Kind == kindRun && s.runner != nil:
		return s.run(ctx, m, stats)
	case m.Kind == kindCancel:
		s.mu.Lock()
		defer s.mu.Unlock()
		if cancel, ok := s.running[m.ID]; ok {
			cancel()
		}
		return nil
	}
	return s.answer(ctx, m, stats)
}

// run sends a run, which is in s.next, on its way, or carries it.
func (s *session) run(ctx context.Context, m *transport.Message, stats transport.Stats) error {
	arrived := time.Now().Add(-stats.Code)
	var r runRequest
	if len(m.Meta) > 0 {
		if err := decodeMeta(m, &r); err != nil {
			return err
		}
	}
	if s.flow == nil {
		s.start(ctx)
	}
	l := label{
		id: r.ID, epoch: r.Epoch, reply: m.ID, size: bytesOf(m.Tensors),
		deadline: arrived.Add(s.node.allowed(m.Deadline)), answered: s.node.load.answering(m.Kind),
	}
	l.refusal = s.node.work.take(s, cmp.Or(s.node.MaxRuns, DefaultMaxRuns))
	s.next.tensors, s.next.stats = m.Tensors, stats
	if r.Ahead == 0 && s.brief.Load() && !s.working() {
		if relieved := s.carry(ctx, l, arrived); relieved {
			return errRelieved
		}
	} else {
		s.mu.Lock()
		s.running[m.ID], _ = s.flow.submit(s.flow.ctx, s.next, l, arrived, len(s.runner.pipeline))
		s.mu.Unlock()
	}
	return s.renew()
}

// carry does a run, which is in s.next, and answers it. If that takes long,
// another goroutine reads meanwhile, and so in place of the caller.
func (s *session) carry(ctx context.Context, l label, arrived time.Time) (relieved bool) {
	f, j := s.flow, s.next
	s.mu.Lock()
	s.running[l.reply] = f.begin(f.ctx, j, l, arrived, len(s.runner.pipeline))
	s.mu.Unlock()
	f.wg.Add(1)
	defer f.wg.Done()
	f.alone.Lock()
	defer f.alone.Unlock()
	s.relief.begin(func(answering bool) {
		if !answering {
			f.pending <- j
		}
		go func() {
			err := s.renew()
			if err == nil {
				err = s.read(ctx)
			}
			if err != errRelieved {
				s.stop()
				s.over <- err
			}
		}()
	})
	f.carry(j)
	if s.relief.answer() {
		if j.err == nil {
			last := &j.parts[len(j.parts)-1]
			last.results = copyTensors(last.results, j.tensors)
			j.tensors = last.results
		}
		f.finish(j)
		return true
	}
	s.sendAnswer(f, j.outcome())
	return s.relief.end()
}

// renew waits for a job for the next message.
func (s *session) renew() error {
	select {
	case <-s.flow.free.there:
		s.next = s.flow.free.pop()
		return nil
	case <-s.flow.ctx.Done():
		return fmt.Errorf("run: %w", s.flow.ctx.Err())
	}
}

// start makes the runner ready for runs.
func (s *session) start(ctx context.Context) {
	// One job is for the next message, and one whose answer is being sent has no credit any more.
	slots := s.credits.depth + 2
	s.flow, s.sent, s.running = newFlow(ctx, s.runner.pipeline, slots), make(chan struct{}), map[uint64]context.CancelFunc{}
	for range slots - 1 {
		s.flow.free.put(s.newJob())
	}
	go s.sendAnswers(s.flow)
}

// drain waits until all runs are answered.
func (s *session) drain() {
	if s.flow != nil {
		s.flow.end()
		<-s.sent
		s.flow.giveWay() // an answer of a carried run may be on its way
		s.flow.close()
		for o, err := s.flow.next(context.Background()); err == nil; o, err = s.flow.next(context.Background()) {
			o.answered(true) // or rather not, since the connection ends
		}
		s.flow = nil
	}
}

// sendAnswers answers the runs of a flow.
func (s *session) sendAnswers(f *flow) {
	defer close(s.sent)
	for {
		o, err := f.next(f.ctx)
		if err != nil || !s.sendAnswer(f, o) {
			return
		}
	}
}

// sendAnswer answers a run. If it cannot, the session ends.
func (s *session) sendAnswer(f *flow, o outcome) bool {
	s.mu.Lock()
	delete(s.running, o.reply)
	s.mu.Unlock()
	s.credits.give(o.size)
	o.answered(counts(o.err))
	reply := &transport.Message{Kind: kindOK, ID: o.reply}
	s.brief.Store(o.err == nil && time.Since(o.job.start) < briefRun)
	if o.err != nil {
		reply.Kind, reply.Meta = kindError, encodeMeta(s.failed(kindRun, o.err))
	} else {
		reply.Tensors = o.job.tensors
		rep := report{Transfer: o.job.stats.Transfer, Decode: o.job.stats.Code, Held: time.Since(o.job.start), Spans: o.job.spans}
		reply.Seal = func(code time.Duration) []byte {
			rep.Encode = code
			return rep.encode()
		}
	}
	_, err := s.conn.Send(f.ctx, reply, s.runner.codec.pick)
	s.node.work.answered(s, o.refusal == nil)
	if o.job != nil {
		f.recycle(o.job)
	}
	if err != nil {
		if f.ctx.Err() == nil {
			s.log().Warn("cannot answer", "error", err)
		}
		s.conn.Close() // which ends the session
		f.cancel()
	}
	return err == nil
}

// answer handles one request that is not a run in flight. The error is one
// after which the connection cannot go on.
func (s *session) answer(ctx context.Context, m *transport.Message, stats transport.Stats) error {
	received := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.node.allowed(m.Deadline))
	defer cancel()
	if m.Kind == kindChunk {
		return s.chunk(ctx, m)
	}
	s.tensors, s.pick = nil, nil
	end := s.node.load.answering(m.Kind)
	var meta any
	err := s.node.work.take(s, math.MaxInt)
	taken := err == nil
	if taken {
		meta, err = s.attended(ctx, m)
	}
	end(counts(err))
	reply := &transport.Message{Kind: kindOK, ID: m.ID, Tensors: s.tensors}
	switch {
	case err != nil:
		reply.Kind, reply.Tensors = kindError, nil
		meta = s.failed(m.Kind, err)
	case m.Kind == kindEcho:
		rep, _ := meta.(report)
		rep.Transfer, rep.Decode = stats.Transfer, stats.Code
		rep.Held = stats.Code + time.Since(received)
		reply.Seal = func(code time.Duration) []byte {
			rep.Encode = code
			return rep.encode()
		}
		meta = nil
	}
	if meta != nil {
		reply.Meta = encodeMeta(meta)
	}
	_, err = s.conn.Send(ctx, reply, s.pick)
	s.node.work.answered(s, taken)
	return err
}

// attended handles a request for as long as the client is there. One that takes
// no time, such as an echo, which measures the link, is answered at once.
func (s *session) attended(ctx context.Context, m *transport.Message) (any, error) {
	if m.Kind == kindEcho || m.Kind == kindStatus {
		return s.handle(ctx, m)
	}
	ctx, cancel := context.WithCancel(ctx)
	watch, end := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if err := s.conn.Await(watch); err != nil && watch.Err() == nil {
			cancel()
		}
	}()
	meta, err := s.handle(ctx, m)
	end()
	<-watched
	cancel()
	return meta, err
}

// counts says whether an error is a failure of a request: that there is no model
// is how an upload begins.
func counts(err error) bool { return err != nil && !errors.Is(err, ErrNoModel) }

// failed is failure for a request of the given kind, which it logs.
func (s *session) failed(kind uint8, err error) failure {
	if counts(err) {
		s.log().Warn("request failed", "kind", kind, "error", err)
	}
	return s.failure(err)
}

// failure hides where the store and other hosts are, and what follows the first
// line, the stack of a panic, and keeps the text short.
func (s *session) failure(err error) failure {
	f := failureOf(err)
	f.Text, _, _ = strings.Cut(f.Text, "\n")
	if s.node.Store != nil {
		f.Text = strings.ReplaceAll(f.Text, s.node.Store.dir, "store")
	}
	var network *net.OpError
	if errors.As(err, &network) {
		reason := "failed"
		var system syscall.Errno
		if errors.As(network.Err, &system) {
			reason = system.Error()
		}
		f.Text = strings.ReplaceAll(f.Text, network.Error(), network.Op+": "+reason)
	}
	for host, addr := range s.node.Peers {
		f.Text = strings.ReplaceAll(f.Text, addr, host)
	}
	f.Text = f.Text[:min(len(f.Text), maxTextError)]
	return f
}

// log is where to tell what this client does: who it is, and what it calls
// itself.
func (s *session) log() *slog.Logger {
	log := s.node.log().With("client", printable(s.client.Name))
	if s.identity != "" {
		log = log.With("certificate", s.identity)
	}
	return log
}

func (s *session) handle(ctx context.Context, m *transport.Message) (meta any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("run: request of kind %d panicked: %v\n%s", m.Kind, r, debug.Stack())
		}
	}()
	if s.busy != nil && m.Kind != kindStatus {
		return nil, s.busy
	}
	if err := s.authorise(m.Kind); err != nil {
		return nil, err
	}
	s.drain()
	switch m.Kind {
	case kindOpen:
		var r openRequest
		if err := decodeMeta(m, &r); err != nil {
			return nil, err
		}
		return s.open(ctx, r)
	case kindPut:
		var r putRequest
		if err := decodeMeta(m, &r); err != nil {
			return nil, err
		}
		return nil, s.put(r, m.Tensors)
	case kindRun:
		return nil, errors.New("run: nothing is open on this connection")
	case kindEcho:
		var r echoRequest
		if err := decodeMeta(m, &r); err != nil {
			return nil, err
		}
		return report{}, s.reply(r.Reply)
	case kindProfile:
		var r profileRequest
		if err := decodeMeta(m, &r); err != nil {
			return nil, err
		}
		return nil, s.profile(ctx, m.ID, r, m.Tensors)
	case kindStatus:
		status := s.node.status()
		if !s.roles.Has(keys.Admin) {
			status.Of = nil
		}
		return status, nil
	}
	return nil, fmt.Errorf("run: request of unknown kind %d", m.Kind)
}

// reply sets the answer to n bytes.
func (s *session) reply(n int) error {
	if n < 0 || n > maxEcho {
		return fmt.Errorf("run: echo of %d bytes, want 0 to %d", n, maxEcho)
	}
	if s.echo == nil || len(s.echo.Raw) != n {
		s.echo = tensor.New(tensor.Uint8, n)
	}
	s.tensors = []*tensor.Tensor{s.echo}
	return nil
}

func (s *session) open(ctx context.Context, r openRequest) (opened, error) {
	s.endRunner()
	n := s.node
	var own []split.Segment
	for _, st := range r.Stages {
		if st.Host == r.Stages[0].Host {
			own = append(own, st.Segment)
		}
	}
	l, err := n.model(r.modelRequest, own)
	if err != nil {
		return opened{}, err
	}
	s.runner = &served{model: l}
	n.load.deployments.Add(1)
	taken, err := s.stages(ctx, r, l)
	if err != nil {
		s.endRunner()
		return opened{}, err
	}
	s.log().Info("deployment opened", "model", r.Model, "stages", taken, "first_layer", r.Stages[0].Segment.From)
	return opened{taken, s.credits.depth, s.credits.bytes}, nil
}

// stages opens the stages of r that this host runs or can hand on.
func (s *session) stages(ctx context.Context, r openRequest, model *loaded) (taken int, err error) {
	g := model.graph
	if err := checkRow(r.Stages, len(g.Nodes)); err != nil {
		return 0, err
	}
	n, self := s.node, r.Stages[0].Host
	memory := n.memory()
	d := Deployment{
		Model:  Model{Name: r.Model, Digest: r.Model, Graph: g, Shapes: r.Shapes, Content: model.content()},
		Codecs: codecMap(r.Codecs), Alternatives: r.Alternatives, Lossy: r.Lossy,
		Layers: r.Layers,
	}
	if r.Tile != nil {
		return 1, s.tile(d, r)
	}
	for taken < len(r.Stages) {
		next := r.Stages[taken].Host
		if _, known := n.Peers[next]; next != self && !known {
			break
		}
		if next == self {
			l, err := n.openLocal(d, r.Stages[taken], &memory)
			if err != nil {
				return 0, err
			}
			s.runner.pipeline = append(s.runner.pipeline, l)
			taken++
			continue
		}
		remote, k, err := n.openRemote(ctx, d, self, r.Stages[taken:])
		if err != nil {
			return 0, err
		}
		s.runner.pipeline = append(s.runner.pipeline, remote)
		taken += k
		break
	}
	n.widen(s.runner.pipeline, memory)
	end := r.Stages[taken-1].Segment.To
	back := split.Hop{From: self, To: s.client.Name, Position: end, Back: end == len(g.Nodes)}
	s.runner.codec, err = d.choiceFor(back)
	return taken, err
}

// checkRow checks stages that need not begin or end with the model.
func checkRow(stages []split.Stage, layers int) error {
	if len(stages) == 0 || len(stages) > split.MaxStages {
		return fmt.Errorf("run: %d stages, want 1 to %d", len(stages), split.MaxStages)
	}
	for i, st := range stages {
		s := st.Segment
		if st.Tiled() {
			return fmt.Errorf("run: stage %d is %v, want one host: workers are opened by who gives them their rows", i, st)
		}
		if s.From < 0 || s.To > layers || s.From >= s.To || i > 0 && s.From != stages[i-1].Segment.To {
			return fmt.Errorf("run: stage %d is %v, want stages in a row within layers 0 to %d", i, st, layers-1)
		}
	}
	return nil
}
