package run

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sort"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/split"
	"scission/transport"
)

// Sparer is what the closer that Node.Load returns may be: a model of which a host
// need not have all bytes.
type Sparer interface {
	io.Closer
	// Spare lists ranges of the file that the layers of the graph for which use is
	// true are not computed from, ascending and without overlap. They compute the
	// same whatever the bytes there are.
	Spare(use func(layer int) bool) []Range
}

// loaded is a graph of a model of the store.
type loaded struct {
	*stored
	graph *graph.Graph
	model io.Closer
}

// Close gives up the graph and lets the store remove the model.
func (l *loaded) Close() error {
	var err error
	if l.model != nil {
		err = l.model.Close()
	}
	l.release()
	return err
}

// build builds the graph of h. While chunks are missing that the layers in segments,
// or without any segment all layers, are computed from, it returns these instead. It
// is the only way to a graph of the store, so that no layer runs without its weights.
func (n *Node) build(h *stored, r modelRequest, segments []split.Segment) (l *loaded, missing bitset, err error) {
	rest := h.missing() // what comes while the model is read may come too late for it
	structure := rest.only(func(i int) bool { return i < h.structureChunks() })
	if structure.count() > 0 {
		return nil, structure, nil
	}
	g, model, err := n.Load(h.path(), r.Shapes)
	l = &loaded{h, g, model}
	switch {
	case err != nil:
	case len(g.Nodes) > split.MaxLayers:
		err = fmt.Errorf("run: model of %d layers, want at most %d", len(g.Nodes), split.MaxLayers)
	case wiring(g) != r.Wiring:
		err = fmt.Errorf("run: the graph of the model is another here: got %.12s, want %.12q", wiring(g), r.Wiring)
	default:
		spare, ok := model.(Sparer)
		if missing = rest; ok && len(segments) > 0 {
			ranges := spare.Spare(func(layer int) bool { return within(layer, segments) })
			missing = rest.only(func(i int) bool { return !covered(h.weight(i), ranges) })
		}
		if missing.count() == 0 {
			return l, nil, nil
		}
	}
	if model != nil {
		model.Close()
	}
	if err != nil && rest.count() > 0 {
		return nil, rest, nil // perhaps because the graph depends on what is missing
	}
	return nil, missing, err
}

func within(layer int, segments []split.Segment) bool {
	for _, s := range segments {
		if s.From <= layer && layer < s.To {
			return true
		}
	}
	return false
}

// covered reports whether r lies in one of ranges, which are in order.
func covered(r Range, ranges []Range) bool {
	i := sort.Search(len(ranges), func(i int) bool { return ranges[i].Offset > r.Offset }) - 1
	return i >= 0 && r.Offset+r.Length <= ranges[i].Offset+ranges[i].Length
}

// wiring is a digest of how a graph's layers are connected: their operators and the
// types of all values, without names. Hosts that have the same model and build another
// graph of it do not run it together.
func wiring(g *graph.Graph) string {
	h := sha256.New()
	number := map[*graph.Value]int{}
	define := func(vs []*graph.Value) {
		for _, v := range vs {
			if v == nil {
				fmt.Fprint(h, " -")
				continue
			}
			number[v] = len(number)
			fmt.Fprintf(h, " %v/%v", v.Type, v.Late)
		}
		fmt.Fprintln(h)
	}
	read := func(vs []*graph.Value) {
		for _, v := range vs {
			switch {
			case v == nil:
				fmt.Fprint(h, " -")
			case v.Const != nil:
				fmt.Fprintf(h, " %v", v.Type)
			default:
				fmt.Fprintf(h, " %d", number[v])
			}
		}
		fmt.Fprintln(h)
	}
	define(g.Inputs)
	for _, n := range g.Nodes {
		if n.Spec != nil {
			fmt.Fprintf(h, "%s.%s", n.Spec.Domain, n.Spec.Type)
		}
		read(n.In)
		define(n.Out)
	}
	read(g.Outputs)
	return hex.EncodeToString(h.Sum(nil))
}

// model loads a model of the store to run layers in segments, or without any segment
// all layers. It fails with ErrNoModel if it lacks what they need.
func (n *Node) model(r modelRequest, segments []split.Segment) (*loaded, error) {
	if n.Store == nil || n.Load == nil {
		return nil, errors.New("run: this host runs no models")
	}
	h, err := n.Store.use(r.Model)
	if err != nil {
		return nil, err
	}
	l, missing, err := n.build(h, r, segments)
	if err == nil && l == nil {
		err = fmt.Errorf("run: %w: %s: %d of %d chunks are missing that layers %v need", ErrNoModel, h.id, missing.count(), h.chunks(), segments)
	}
	if err != nil {
		h.release()
	}
	return l, err
}

// upload is chunks of a model on their way into a store.
type upload struct {
	*stored
	chunks []int // claimed
	next   int
}

// write takes the next chunk; with the last one the upload is done.
func (u *upload) write(b []byte) (done bool, err error) {
	if err := u.stored.write(u.chunks[u.next], b); err != nil {
		return false, err
	}
	if u.next++; u.next < len(u.chunks) {
		return false, nil
	}
	return true, u.save()
}

// sum is the number of bytes of the chunks.
func (u *upload) sum() (n int64) {
	for _, i := range u.chunks {
		n += u.length(i)
	}
	return n
}

// end keeps what has arrived.
func (u *upload) end() error {
	err := u.save()
	u.unclaim(u.chunks)
	u.release()
	return err
}

// put begins an upload of what is missing for a part of a model, which it answers.
func (s *session) put(r putRequest, in []*tensor.Tensor) error {
	s.endUpload()
	n := s.node
	if n.Store == nil || n.Load == nil {
		return errors.New("run: this host runs no models")
	}
	if len(in) != 1 || in[0].DType != tensor.Uint8 {
		return fmt.Errorf("run: %d tensors, want the manifest of a model", len(in))
	}
	m, err := readManifest(append([]byte(nil), in[0].Raw...)) // the message's memory is used again
	if err != nil {
		return err
	}
	if m.id != r.Model {
		return fmt.Errorf("run: %w: manifest has %s, want %.80q", ErrDigest, m.id, r.Model)
	}
	h, err := n.Store.take(m)
	if err != nil {
		return err
	}
	l, missing, err := n.build(h, r.modelRequest, r.Segments)
	switch {
	case l != nil:
		missing = newBitset(h.chunks())
		l.Close() // which releases h
	case err == nil:
		chunks := missing.list()
		if err = h.claim(chunks); err == nil {
			s.upload = &upload{stored: h, chunks: chunks}
		}
	}
	if err != nil {
		h.release()
		return err
	}
	s.tensors = []*tensor.Tensor{rawTensor(missing)}
	return nil
}

// rawTensor is a tensor of the bytes b, which it shares.
func rawTensor(b []byte) *tensor.Tensor {
	return &tensor.Tensor{Type: tensor.Type{DType: tensor.Uint8, Shape: tensor.Shape{len(b)}}, Raw: b}
}

func (s *session) endUpload() {
	if s.upload != nil {
		if err := s.upload.end(); err != nil {
			s.log().Warn("upload not kept", "model", s.upload.id, "error", err)
		}
		s.upload = nil
	}
}

// chunk takes a chunk of an upload; only the last one, or a failure, is answered.
// After a failure the rest that is on its way cannot be told from requests, so
// the connection ends.
func (s *session) chunk(ctx context.Context, m *transport.Message) error {
	err := errors.New("run: bytes of a model that were not announced")
	done := false
	if s.upload != nil && len(m.Tensors) == 1 && m.Tensors[0].DType == tensor.Uint8 {
		done, err = s.upload.write(m.Tensors[0].Raw)
	}
	switch {
	case err != nil:
		f := s.failure(err)
		if _, sendErr := s.conn.Send(ctx, &transport.Message{Kind: kindError, ID: m.ID, Meta: encodeMeta(f)}, nil); sendErr != nil {
			return sendErr
		}
		return err
	case done:
		s.log().Info("model received", "model", s.upload.id, "chunks", len(s.upload.chunks), "bytes", s.upload.sum())
		s.endUpload()
		_, err := s.conn.Send(ctx, &transport.Message{Kind: kindOK, ID: m.ID}, nil)
		return err
	}
	return nil
}

// maxPuts bounds how often a host is asked what it lacks: once for the structure,
// which it needs in order to tell the rest, once for what a part needs, and once for
// all if that turns out not to do.
const maxPuts = 4

// send sends the peer what it lacks of the model to run the layers in segments, or
// without any segment all layers.
func (n *Node) send(ctx context.Context, p *peer, m Model, segments []split.Segment) error {
	r, err := m.request()
	if err != nil {
		return err
	}
	man, err := m.Content.manifest()
	if err != nil {
		return err
	}
	raw := []*tensor.Tensor{rawTensor(man.raw)}
	var done, of int64
	progress := func() {
		if n.Progress != nil && of > 0 {
			n.Progress("send "+m.Name+" to "+p.host, done, of)
		}
	}
	quiet := false // the structure alone does not show how much there is to send
	buf := make([]byte, chunkSize)
	for range maxPuts {
		x, err := p.call(ctx, kindPut, encodeMeta(putRequest{r, segments}), raw, nil)
		if err != nil {
			return err
		}
		if len(x.answer.Tensors) != 1 || !bitset(x.answer.Tensors[0].Raw).fits(man.chunks()) {
			return p.wrap(fmt.Errorf("the answer to an upload is no set of the model's %d chunks", man.chunks()))
		}
		chunks := bitset(x.answer.Tensors[0].Raw).list()
		if len(chunks) == 0 {
			if quiet {
				progress()
			}
			return nil
		}
		for _, i := range chunks {
			of += man.length(i)
		}
		quiet = chunks[len(chunks)-1] < man.structureChunks()
		for _, i := range chunks {
			b := buf[:man.length(i)]
			if !m.Content.has(i) {
				return fmt.Errorf("run: send model %s to host %s: %w: chunk %d is not here either", m.Name, p.host, ErrNoModel, i)
			}
			if err := man.read(m.Content.file, i, b); err != nil {
				return fmt.Errorf("run: send model %s to host %s: %w", m.Name, p.host, err)
			}
			chunk := &transport.Message{Kind: kindChunk, ID: p.id, Tensors: []*tensor.Tensor{rawTensor(b)}}
			if _, err := p.conn.Send(ctx, chunk, nil); err != nil {
				return p.reason(ctx, err)
			}
			if done += int64(len(b)); !quiet {
				progress()
			}
		}
		answer, _, err := p.conn.Receive(ctx)
		if err != nil {
			return p.wrap(err)
		}
		if answer.Kind == kindError {
			return p.failed(answer)
		}
	}
	return p.wrap(fmt.Errorf("still lacks chunks of model %s after %d uploads", m.Name, maxPuts))
}

// request names the model to another host.
func (m Model) request() (modelRequest, error) {
	if m.Content == nil {
		return modelRequest{}, fmt.Errorf("run: there is no content of model %s for other hosts", m.Name)
	}
	man, err := m.Content.manifest()
	if err != nil {
		return modelRequest{}, err
	}
	return modelRequest{Model: man.id, Wiring: wiring(m.Graph), Shapes: m.Shapes}, nil
}

// supply sends the hosts of a row what they lack for their stages: to each host that
// this one, which stages call self, can reach its own part, and to the one before it
// that of a host which it cannot reach, for it to send it on. Unless apart is set, the
// first gets it all.
func (n *Node) supply(ctx context.Context, first *peer, m Model, self string, row split.Partition, apart bool) error {
	type share struct {
		peer     *peer
		segments []split.Segment
	}
	at := map[string]*share{first.host: {peer: first}}
	last := at[first.host]
	shares := []*share{last}
	for _, st := range row {
		s := at[st.Host]
		if s == nil && apart && st.Host != self {
			if p, err := n.dialAs(ctx, self, st.Host, false); err == nil {
				defer p.conn.Close()
				s = &share{peer: p}
				shares = append(shares, s)
			}
		}
		if s == nil {
			s = last
		}
		s.segments = append(s.segments, st.Segment)
		at[st.Host], last = s, s
	}
	for _, s := range shares {
		if err := n.send(ctx, s.peer, m, s.segments); err != nil {
			return err
		}
	}
	return nil
}

// withModel does f, which needs stages of the model on the hosts of a row, and again
// when they have been sent what they lack.
func (n *Node) withModel(ctx context.Context, p *peer, m Model, self string, row split.Partition, f func() error) error {
	err := f()
	for _, apart := range []bool{true, false} {
		if !errors.Is(err, ErrNoModel) {
			break
		}
		if err := n.supply(ctx, p, m, self, row, apart); err != nil {
			return err
		}
		err = f()
	}
	return err
}
