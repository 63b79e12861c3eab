package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
	"unicode"

	"scission/engine/tensor"
	"scission/split"
	"scission/split/cut"
	"scission/transport"
)

// peer is a connection to another host as its client.
type peer struct {
	host     string // as this side calls it
	conn     *transport.Conn
	greeting greeting
	id       uint64
	progress func(progressReport) // of the request under way; nil does not take any
}

// dial connects to a host and greets it.
func (n *Node) dial(ctx context.Context, host string) (*peer, error) {
	return n.dialAs(ctx, n.Name, host, false)
}

// transportTo is how to reach a host. Its certificate has its name, except that
// one which is called by its address may have any.
func (n *Node) transportTo(host, addr string) transport.Options {
	o := n.Transport
	if host != addr {
		o.Peer = host
	}
	return o
}

// dialAs is dial under the name that this host has in the stages, which are
// written by another one. Without lossy it takes nothing that a lossy codec has
// changed.
func (n *Node) dialAs(ctx context.Context, self, host string, lossy bool) (*peer, error) {
	addr, ok := n.Peers[host]
	if !ok {
		return nil, fmt.Errorf("run: %w %q: no address is given for it", ErrUnknownHost, host)
	}
	var conn *transport.Conn
	var err error
	if n.DialConn != nil {
		c, dialErr := n.DialConn(ctx, host, addr)
		if dialErr != nil {
			return nil, &HostError{host, fmt.Errorf("run: host %s: %w", host, dialErr)}
		}
		conn = transport.Client(c, addr, n.transportTo(host, addr))
	} else if conn, err = transport.Dial(ctx, addr, n.transportTo(host, addr)); err != nil {
		return nil, &HostError{host, fmt.Errorf("run: host %s: %w", host, err)}
	}
	p := &peer{host: host, conn: conn}
	g := n.greeting()
	g.Name = self
	hello, err := conn.Handshake(ctx, transport.Hello{Meta: encodeMeta(g), Codecs: accepted(lossy)})
	if err == nil {
		err = decodeMeta(&transport.Message{Meta: hello.Meta}, &p.greeting)
	}
	if err != nil {
		conn.Close()
		return nil, &HostError{host, fmt.Errorf("run: host %s at %s: %w", host, addr, err)}
	}
	return p, nil
}

// exchange is one request and its answer. The answer is valid until the next.
type exchange struct {
	answer    *transport.Message
	sent, got transport.Stats
	took      time.Duration // from before the request's encoding to after the answer's decoding
}

// call sends a request and receives the answer. An answer that is a failure
// becomes an error.
func (p *peer) call(ctx context.Context, kind uint8, meta []byte, tensors []*tensor.Tensor, pick picker) (exchange, error) {
	var x exchange
	p.id++
	start := time.Now()
	m := &transport.Message{Kind: kind, ID: p.id, Meta: meta, Tensors: tensors}
	if deadline, ok := ctx.Deadline(); ok {
		m.Deadline = max(time.Until(deadline), 1)
	}
	var err error
	if x.sent, err = p.conn.Send(ctx, m, pick); err != nil {
		return x, p.wrap(err)
	}
	for {
		if x.answer, x.got, err = p.conn.Receive(ctx); err != nil {
			return x, p.wrap(err)
		}
		if x.answer.Kind != kindProgress || p.progress == nil {
			break
		}
		var report progressReport
		if err := decodeMeta(x.answer, &report); err != nil {
			return x, p.wrap(err)
		}
		p.progress(report)
	}
	x.took = time.Since(start)
	if x.answer.ID != p.id {
		return x, p.wrap(fmt.Errorf("answer to request %d, want %d", x.answer.ID, p.id))
	}
	switch x.answer.Kind {
	case kindOK:
		return x, nil
	case kindError:
		return x, p.failed(x.answer)
	}
	return x, p.wrap(fmt.Errorf("answer of kind %d, want %d or %d", x.answer.Kind, kindOK, kindError))
}

// failed is the error that answer, of kindError, stands for.
func (p *peer) failed(answer *transport.Message) error {
	var f failure
	if err := decodeMeta(answer, &f); err != nil {
		return p.wrap(err)
	}
	f.Text = printable(f.Text)
	return &HostError{cmp.Or(printable(f.Host), p.host), remoteError{p.host, f}}
}

// printable is a peer's text as it may be shown on a terminal, where control
// characters do things.
func printable(text string) string {
	if len(text) > maxTextError {
		text = text[:maxTextError] + "..."
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

func (p *peer) wrap(err error) error {
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("it closed the connection: %w", err)
	}
	return &HostError{p.host, fmt.Errorf("run: %w: %s: %w", ErrRemote, p.host, err)}
}

// lastWords is how long the peer's reason for a connection that ended is awaited.
const lastWords = time.Second

// reason is why sending failed with err: what the peer said before it closed
// the connection, if it did.
func (p *peer) reason(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	if answer, _, receiveErr := p.conn.Receive(ctx); receiveErr == nil && answer.Kind == kindError {
		return p.failed(answer)
	}
	return p.wrap(err)
}

// remote runs a row of stages, the first on the peer and the others behind it.
type remote struct {
	peer        *peer
	there, back split.Hop
	codec       *choice // there
	backCodec   transport.Codec
	taken       split.Partition // the stages
	results     []tensor.Type   // of the last one
	credits     *credits        // that the peer gives
	own         visit           // of Run

	mu     sync.Mutex
	broken error // why there can be no more visits
	end    *time.Timer
}

// openRemote opens stages on the host of the first one, which hands on what is
// behind it. It returns how many of the stages were taken.
func (n *Node) openRemote(ctx context.Context, d Deployment, self string, stages split.Partition) (*remote, int, error) {
	p, err := n.dialAs(ctx, self, stages[0].Host, d.Lossy)
	if err != nil {
		return nil, 0, err
	}
	r := &remote{peer: p}
	var o opened
	err = n.withModel(ctx, p, d.Model, self, stages, func() error {
		o, err = p.open(ctx, d, stages)
		return err
	})
	if err == nil && (o.Taken < 1 || o.Taken > len(stages)) {
		err = p.wrap(fmt.Errorf("took %d of %d stages", o.Taken, len(stages)))
	}
	if err != nil {
		p.conn.Close()
		return nil, 0, err
	}
	r.credits = newCredits(max(o.Depth, 1), max(o.Bytes, 0))
	if err := r.route(d, self, stages[:o.Taken]); err != nil {
		p.conn.Close()
		return nil, 0, err
	}
	return r, o.Taken, nil
}

func (p *peer) open(ctx context.Context, d Deployment, stages split.Partition) (opened, error) {
	return p.openPart(ctx, d, stages, nil)
}

// openPart is open for one stage of which the peer runs a part, or all of it
// without one.
func (p *peer) openPart(ctx context.Context, d Deployment, stages split.Partition, part *tileRequest) (o opened, err error) {
	model, err := d.Model.request()
	if err != nil {
		return o, err
	}
	codecs := codecList(d.Codecs)
	sort.Slice(codecs, func(i, j int) bool { return codecs[i].Hop.String() < codecs[j].Hop.String() })
	x, err := p.call(ctx, kindOpen, encodeMeta(openRequest{
		modelRequest: model, Stages: stages, Codecs: codecs, Alternatives: d.Alternatives, Lossy: d.Lossy, Layers: d.Layers, Tile: part,
	}), nil, nil)
	if err != nil {
		return o, err
	}
	return o, decodeMeta(x.answer, &o)
}

// route sets what is known before any run of the stages taken: the hops between
// this host and the peer, and what comes back.
func (r *remote) route(d Deployment, self string, taken split.Partition) error {
	end := taken[len(taken)-1].Segment.To
	r.there = split.Hop{From: self, To: r.peer.host, Position: taken[0].Segment.From}
	r.back = split.Hop{From: r.peer.host, To: self, Position: end, Back: end == len(d.Model.Graph.Nodes)}
	last, err := cut.Extract(d.Model.Graph, taken[len(taken)-1].Segment)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	r.taken = taken
	for _, v := range last.Outputs {
		r.results = append(r.results, v.Type)
	}
	return r.choose(d)
}

// choose sets the codecs of the hops.
func (r *remote) choose(d Deployment) (err error) {
	if r.codec, err = d.choiceFor(r.there); err == nil {
		r.backCodec, err = d.codecFor(r.back)
	}
	return err
}

// visit is one request to a peer: that it run its stages.
type visit struct {
	ctx       context.Context // the request's
	id, epoch uint64          // the source's
	in        []*tensor.Tensor

	seq     uint64 // id of the message
	size    int    // bytes of in
	start   time.Time
	sent    transport.Stats
	codec   string // with which it was sent
	message transport.Message
	inbox   transport.Inbox // of the answer
	stay    func() bool     // stops watching ctx
}

func (r *remote) Run(ctx context.Context, in []*tensor.Tensor) ([]*tensor.Tensor, []Span, error) {
	v := &r.own
	v.ctx, v.in = ctx, in
	if err := r.send(ctx, v); err != nil {
		return nil, nil, err
	}
	return r.receive(ctx, v)
}

// send begins a visit. If it returns nil, receive must follow; the visits of
// one remote are received in the order in which they were sent.
func (r *remote) send(ctx context.Context, v *visit) error {
	if err := r.lost(); err != nil {
		return err
	}
	v.size = bytesOf(v.in)
	if err := r.credits.take(v.size, ctx, v.ctx); err != nil {
		return fmt.Errorf("run: wait for host %s: %w", r.peer.host, err)
	}
	err := r.write(ctx, v)
	if err != nil {
		r.credits.give(v.size)
	}
	return err
}

func (r *remote) write(ctx context.Context, v *visit) error {
	r.peer.id++
	v.seq, v.start = r.peer.id, time.Now()
	v.message = transport.Message{Kind: kindRun, ID: v.seq, Tensors: v.in}
	flying, _ := r.credits.used()
	if request := (runRequest{v.id, v.epoch, flying - 1}); request != (runRequest{}) {
		v.message.Meta = encodeMeta(request)
	}
	if deadline, ok := v.ctx.Deadline(); ok {
		v.message.Deadline = max(time.Until(deadline), 1)
	}
	if err := v.ctx.Err(); err != nil {
		return fmt.Errorf("run: host %s: %w", r.peer.host, err)
	}
	var err error
	v.sent, err = r.peer.conn.Send(ctx, &v.message, r.codec.pick)
	v.codec = r.codec.name()
	v.message.Tensors = nil // they are another's
	switch {
	case errors.Is(err, transport.ErrTooLarge), errors.Is(err, transport.ErrFormat), errors.Is(err, transport.ErrCodec):
		return r.peer.wrap(err) // nothing was sent
	case err != nil:
		return r.fail(err, lastWords)
	}
	return nil
}

// withdraw tells the peer that nobody waits for a visit any more. If that
// cannot be sent, no answer will come either.
func (r *remote) withdraw(ctx context.Context, seq uint64) {
	r.peer.conn.Send(ctx, &transport.Message{Kind: kindCancel, ID: seq}, nil)
}

// receive ends a visit. The results are valid until the next use of v. The
// spans begin at v.start.
func (r *remote) receive(ctx context.Context, v *visit) ([]*tensor.Tensor, []Span, error) {
	defer r.credits.give(v.size)
	answer, got, err := r.peer.conn.ReceiveInto(ctx, &v.inbox)
	if err != nil {
		return nil, nil, r.fail(err, 0)
	}
	x := exchange{answer: answer, sent: v.sent, got: got, took: time.Since(v.start)}
	if answer.ID != v.seq {
		return nil, nil, r.fail(fmt.Errorf("answer to request %d, want %d", answer.ID, v.seq), 0)
	}
	switch answer.Kind {
	case kindOK:
	case kindError:
		return nil, nil, r.peer.failed(answer)
	default:
		return nil, nil, r.fail(fmt.Errorf("answer of kind %d, want %d or %d", answer.Kind, kindOK, kindError), 0)
	}
	rep, err := decodeReport(answer.Meta)
	if err != nil {
		return nil, nil, r.peer.wrap(err)
	}
	if err := r.check(answer.Tensors, rep); err != nil {
		return nil, nil, r.peer.wrap(err)
	}
	r.codec.sent(x.sent.WireBytes, rep.Transfer)
	return answer.Tensors, r.spans(v, x, rep), nil
}

// spans are those of a visit, from the begin of its encoding.
func (r *remote) spans(v *visit, x exchange, rep report) []Span {
	there, back, skew := x.travel(rep)
	arrived := x.sent.Code + there // the last byte of the request
	answered := arrived + rep.Held
	to, from := r.there, r.back // a span that is kept must not keep the connection
	spans := make([]Span, 0, spansOfVisit+len(rep.Spans))
	spans = append(spans,
		Span{What: Encode, Host: to.From, Took: x.sent.Code, Hop: &to},
		Span{What: Travel, At: x.sent.Code, Took: there, Hop: &to, Codec: v.codec, Bytes: x.sent.WireBytes, Transfer: rep.Transfer},
		Span{What: Decode, Host: to.To, At: arrived, Skew: skew, Took: rep.Decode, Hop: &to},
	)
	spans = appendSpans(spans, rep.Spans, arrived, skew)
	return append(spans,
		Span{What: Encode, Host: from.From, At: answered, Skew: skew, Took: rep.Encode, Hop: &from},
		Span{What: Travel, At: answered + rep.Encode, Skew: skew, Took: back, Hop: &from, Codec: r.backCodec.Name(), Bytes: x.got.WireBytes, Transfer: x.got.Transfer},
		Span{What: Decode, Host: from.To, At: x.took - x.got.Code, Took: x.got.Code, Hop: &from},
	)
}

// brokenError is an error after which a deployment can only be closed.
type brokenError struct{ error }

func (e brokenError) Unwrap() error        { return e.error }
func (e brokenError) Is(target error) bool { return target == ErrBroken }

// lost returns why the connection cannot go on, or nil.
func (r *remote) lost() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken
}

// fail closes the connection after an error, later if there may be answers on
// their way, and returns the first such error.
func (r *remote) fail(err error, after time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken == nil {
		r.broken = brokenError{r.peer.wrap(err)}
	}
	if r.end == nil && after > 0 {
		r.end = time.AfterFunc(after, func() { r.peer.conn.Close() })
	}
	if after == 0 {
		r.peer.conn.Close()
	}
	return r.broken
}

// check verifies what the peer answers to a run: results of the right types,
// and the spans of the stages that it has taken, so that those of one run are
// those of the next.
func (r *remote) check(results []*tensor.Tensor, rep report) error {
	if len(results) != len(r.results) {
		return fmt.Errorf("got %d results, want %d", len(results), len(r.results))
	}
	for i, t := range results {
		if !t.Type.Equal(r.results[i]) {
			return fmt.Errorf("result %d is %v, want %v", i, t.Type, r.results[i])
		}
	}
	if err := rep.check(); err != nil {
		return err
	}
	want := len(r.taken)
	for i := range r.taken[1:] {
		if r.taken[i].Host != r.taken[i+1].Host {
			want += spansOfVisit
		}
	}
	if len(rep.Spans) != want {
		return fmt.Errorf("got %d spans, want %d", len(rep.Spans), want)
	}
	stages := r.taken
	for i, s := range rep.Spans {
		switch {
		case s.Bytes < 0 || slices.ContainsFunc([]time.Duration{s.At, s.Skew, s.Took, s.Transfer}, impossible):
			return fmt.Errorf("span %d takes %v at %v, skew %v, transfer %v, and has %d bytes", i, s.Took, s.At, s.Skew, s.Transfer, s.Bytes)
		case s.What == Compute:
			if len(stages) == 0 || s.Segment == nil || stages[0] != (split.Stage{Host: s.Host, Segment: *s.Segment}) {
				return fmt.Errorf("span %d is of %.80q, layers %v, want the stages %v in order", i, s.Host, s.Segment, r.taken)
			}
			if n := len(s.Layers); n != 0 && n != s.Segment.Len() {
				return fmt.Errorf("span %d has the times of %d layers, want %d", i, n, s.Segment.Len())
			}
			stages = stages[1:]
		case s.What != Encode && s.What != Travel && s.What != Decode || s.Hop == nil:
			return fmt.Errorf("span %d is of %.80q, want compute, or one of a hop", i, s.What)
		}
	}
	if len(stages) > 0 {
		return fmt.Errorf("no span is of stage %v", stages[0])
	}
	return nil
}

// spansOfVisit is how many spans remote.Run adds to those of the stages.
const spansOfVisit = 6

// travel splits the time on the network into both directions: what the two
// hosts did not spend themselves is, beside the transfers that each receiver
// saw from first to last byte, latency, half of it each way. By that half, the
// skew, each way may have taken less, and the other one more.
func (x exchange) travel(rep report) (there, back, skew time.Duration) {
	network := x.took - x.sent.Code - rep.Held - rep.Encode - x.got.Code
	skew = max(0, network-rep.Transfer-x.got.Transfer) / 2
	return skew + rep.Transfer, skew + x.got.Transfer, skew
}

func (r *remote) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end != nil {
		r.end.Stop()
	}
	if err := r.peer.conn.Close(); r.broken == nil {
		return err
	}
	return nil // it is closed already
}
