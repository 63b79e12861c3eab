package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"slices"
	"time"

	"scission/engine/tensor"
	"scission/transport/keys"
)

const (
	readAhead = 4 << 10   // bytes of a frame's start that one read takes with its prelude
	readStep  = 256 << 10 // bytes read under one deadline
	writeStep = 1 << 20   // bytes written under one deadline
	joinSize  = 16 << 10  // bytes joined into one write where there is no writev: a TLS record
	firstGrow = 1 << 20   // bytes allocated for a frame before any arrived
)

// Conn sends and receives Messages over a net.Conn. One Send and one Receive
// can be in progress at a time; further calls wait for their turn. Close may
// be called at any time.
//
// A call that fails before the first byte of its frame (a bad message, a
// context that ends, an idle peer) leaves the Conn usable. After any other
// error that direction is over, and the Conn should be closed.
//
// A new Conn holds about 5 KB. It then keeps the memory of its largest
// frames, for lack of which Send and Receive would allocate: what one message
// takes raw and encoded when receiving, and what it takes encoded when
// sending. Each of these three buffers is let go when it exceeds 32 MiB.
// ReceiveInto uses an Inbox instead of the first. What codecs work with is not
// the Conn's: all share about 2 MB, and room for the largest tensor up to 32 MiB,
// for each processor.
type Conn struct {
	nc     net.Conn
	tcp    bool // net.Buffers become one writev
	limits Limits

	tls      *tls.Conn // nc, or nil if that is something else
	peerKeys keys.Peer

	out        direction
	peer       Limits   // sizes that the peer takes
	peerCodecs codecSet // codecs that the peer takes
	head       []byte   // prelude and table
	entries    []entry
	encoded    []byte
	pieces     [][]byte // of the frame
	batch      [][]byte // the pieces of one write
	vec        net.Buffers

	in      direction
	pulse   pulse
	beats   bool     // both sides send and take them
	accept  codecSet // codecs that this side takes
	reader  *bufio.Reader
	prelude [preludeSize]byte
	table   []byte
	wire    []byte // encoded tensors, one after the other
	own     Inbox  // of Receive
}

// Inbox is the memory of one received Message. The zero value is ready; one
// that was used keeps the memory of its largest message, up to 32 MiB, and is
// not to be copied.
type Inbox struct {
	// Admit, if not nil, is asked before memory is taken for tensors of so many
	// bytes in total, decoded. Its error ends the connection's receiving.
	Admit func(kind uint8, bytes int) error

	meta    []byte
	arena   []byte // tensors, each on a multiple of tensor.Align
	slots   []*slot
	tensors []*tensor.Tensor // of the slots
	msg     Message
}

// slot is the memory of a received tensor's description.
type slot struct {
	entry
	tensor tensor.Tensor
	dims   [MaxRank]int
	at     int // place in the arena
}

// NewConn returns a Conn on c, which it owns from now on and which may be a
// *tls.Conn. Whether c may carry plaintext is the caller's concern; Dial and
// Listen see to that.
func NewConn(c net.Conn, l Limits) *Conn {
	_, tcp := c.(*net.TCPConn)
	secure, _ := c.(*tls.Conn)
	conn := &Conn{nc: c, tcp: tcp, tls: secure, limits: l.withDefaults()}
	conn.reader = bufio.NewReaderSize(listening{conn}, readAhead)
	conn.peer, conn.peerCodecs, conn.accept = conn.limits, allCodecs(), allCodecs()
	conn.out.init("send", &conn.limits, c.SetWriteDeadline)
	conn.in.init("receive", &conn.limits, c.SetReadDeadline)
	conn.in.resumes, conn.out.resumes = true, tcp // a TLS connection is broken after a write that took too long
	return conn
}

// Close closes the connection. Calls in progress fail with net.ErrClosed or
// what the underlying connection has for it.
func (c *Conn) Close() error {
	c.pulse.close()
	c.out.close()
	c.in.close()
	if c.tls != nil {
		return c.closeTLS()
	}
	return c.nc.Close()
}

// LocalAddr is the address of this end.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr is the address of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Send writes m as one frame. pick chooses the codec of tensor i; a nil pick,
// or a nil choice, is Raw, and so is the codec of a tensor that its encoding
// would not shrink. m and its tensors are read until Send returns and not kept.
//
// The limits are the peer's after Handshake and this side's before it. Under
// the same context as the Send before, and with memory as large as it needs
// already held, Send allocates nothing.
func (c *Conn) Send(ctx context.Context, m *Message, pick func(i int, t *tensor.Tensor) Codec) (Stats, error) {
	d := &c.out
	if err := d.begin(ctx); err != nil {
		return Stats{}, err
	}
	defer d.end()
	start := time.Now()
	stats, err := c.encode(m, pick, start)
	if err != nil {
		return Stats{}, d.fail(err)
	}
	d.started = time.Now()
	stats.Code = d.started.Sub(start)
	n, err := c.flush()
	clear(c.pieces) // they are the caller's tensors
	if cap(c.encoded) > retain {
		c.encoded = nil
	}
	switch {
	case err != nil && n == 0:
		return Stats{}, d.fail(err)
	case err != nil:
		return Stats{}, d.fatal(err)
	}
	stats.Transfer = time.Since(d.started)
	return stats, nil
}

// encode sets c.pieces to the frame of m, on which work began at start.
func (c *Conn) encode(m *Message, pick func(i int, t *tensor.Tensor) Codec, start time.Time) (Stats, error) {
	if len(m.Tensors) > c.peer.Count {
		return Stats{}, fmt.Errorf("%w: %d tensors, limit is %d", ErrTooLarge, len(m.Tensors), c.peer.Count)
	}
	if m.Deadline < 0 {
		return Stats{}, fmt.Errorf("%w: deadline %v, want none or a positive one", ErrFormat, m.Deadline)
	}
	c.entries, c.encoded = c.entries[:0], c.encoded[:0]
	stats, table := Stats{}, 0
	for i, t := range m.Tensors {
		codec := Raw
		if pick != nil {
			if p := pick(i, t); p != nil {
				codec = p
			}
		}
		e, err := c.encodeTensor(t, codec)
		if err != nil {
			return Stats{}, fmt.Errorf("tensor %d: %w", i, err)
		}
		if e.raw > c.peer.Tensors-stats.RawBytes {
			return Stats{}, fmt.Errorf("%w: more than %d bytes of tensors", ErrTooLarge, c.peer.Tensors)
		}
		stats.RawBytes += e.raw
		stats.WireBytes += e.wire
		table += entrySize + len(e.shape)*dimSize
		c.entries = append(c.entries, e)
	}
	c.head = slices.Grow(c.head[:0], preludeSize+table)[:preludeSize]
	c.pieces = append(c.pieces[:0], nil, nil)
	encoded := c.encoded
	for i := range c.entries {
		e := &c.entries[i]
		piece := m.Tensors[i].Raw
		if e.codec != Raw.ID() {
			piece, encoded = encoded[:e.wire], encoded[e.wire:]
		}
		e.crc = crc32.Checksum(piece, castagnoli)
		c.head = e.append(c.head)
		e.shape = nil // it is the caller's
		c.pieces = append(c.pieces, piece)
	}
	meta := m.Meta
	if m.Seal != nil {
		meta = m.Seal(time.Since(start))
	}
	if len(meta) > c.peer.Meta {
		return Stats{}, fmt.Errorf("%w: meta of %d bytes, limit is %d", ErrTooLarge, len(meta), c.peer.Meta)
	}
	stats.WireBytes += preludeSize + table + len(meta)
	crc := crc32.Update(crc32.Checksum(c.head[preludeSize:], castagnoli), castagnoli, meta)
	prelude{m.Kind, m.ID, m.Deadline, table, len(meta), len(m.Tensors), crc}.append(c.head[:0])
	c.pieces[0], c.pieces[1] = c.head, meta
	return stats, nil
}

// encodeTensor checks t and appends it to c.encoded if codec shrinks it.
func (c *Conn) encodeTensor(t *tensor.Tensor, codec Codec) (entry, error) {
	if err := checkTensor(t, c.peer.Tensor); err != nil {
		return entry{}, err
	}
	if !c.peerCodecs.has(codec.ID()) {
		return entry{}, fmt.Errorf("%w to the peer: %s (id %d)", ErrCodec, codec.Name(), codec.ID())
	}
	e := entry{dtype: t.DType, codec: Raw.ID(), raw: len(t.Raw), wire: len(t.Raw), shape: t.Shape}
	if codec.ID() == Raw.ID() {
		return e, nil
	}
	start := len(c.encoded)
	encoded, err := codec.Encode(c.encoded, t.Raw, t.Type)
	if err != nil {
		return entry{}, fmt.Errorf("%s: %w", codec.Name(), err)
	}
	c.encoded = encoded
	if n := len(encoded) - start; n < e.raw {
		e.codec, e.wire = codec.ID(), n
	} else {
		c.encoded = encoded[:start]
	}
	return e, nil
}

// flush writes c.pieces, the first of which is c.head, and returns how many
// bytes it wrote.
func (c *Conn) flush() (written int64, err error) {
	if !c.tcp {
		c.join()
	}
	for rest := c.pieces; len(rest) > 0; {
		n := 0
		for c.batch = c.batch[:0]; len(rest) > 0 && n < writeStep; {
			p := rest[0]
			if room := writeStep - n; len(p) > room {
				p, rest[0] = p[:room], p[room:]
			} else {
				rest = rest[1:]
			}
			if n += len(p); len(p) > 0 {
				c.batch = append(c.batch, p)
			}
		}
		c.out.bytes += n
		if err := c.out.pace(); err != nil {
			return written, err
		}
		c.vec = c.batch // WriteTo consumes it, and clears c.batch
		for {
			k, err := c.vec.WriteTo(c.nc)
			written += k
			c.pulse.sent.Store(true)
			if err == nil {
				break
			}
			if !c.out.again(err) {
				return written, err
			}
		}
	}
	return written, nil
}

// join moves the frame's first bytes into c.head, for connections where each
// piece is a write, a record or a packet of its own.
func (c *Conn) join() {
	for i, p := range c.pieces[1:] {
		n := min(len(p), max(0, joinSize-len(c.head)))
		c.head = append(c.head, p[:n]...)
		c.pieces[1+i] = p[n:]
	}
	c.pieces[0] = c.head
}

// Receive is ReceiveInto an Inbox of the Conn, so that what it returns may be
// read and written until the next Receive.
func (c *Conn) Receive(ctx context.Context) (*Message, Stats, error) {
	return c.ReceiveInto(ctx, &c.own)
}

// ReceiveInto reads one frame. The Message, its Meta and its tensors are in
// memory of the Inbox: they may be read and written until its next use, which
// may be with another Conn.
//
// It fails with io.EOF when the peer has closed the connection between frames.
// Under the same context as the call before, and with memory as large as it
// needs already held, it allocates nothing. Otherwise it allocates at most
// 1 MiB for a frame of which nothing arrived yet, then at most twice what
// arrived, and an encoded tensor's decoded size, within Limits, once its bytes
// are there.
func (c *Conn) ReceiveInto(ctx context.Context, in *Inbox) (*Message, Stats, error) {
	d := &c.in
	if err := d.begin(ctx); err != nil {
		return nil, Stats{}, err
	}
	defer d.end()
	if cap(in.arena) > retain {
		in.arena = nil
	}
	if cap(c.wire) > retain {
		c.wire = nil
	}
	if err := c.await(); err != nil {
		return nil, Stats{}, d.fail(err)
	}
	stats, err := c.readFrame(in)
	if err != nil {
		return nil, Stats{}, d.fatal(err)
	}
	return &in.msg, stats, nil
}

// Await waits until the first byte of a frame is there, which the next Receive
// then reads, and fails with io.EOF when the peer has closed the connection
// before. It leaves alone what the last Receive returned.
func (c *Conn) Await(ctx context.Context) error {
	d := &c.in
	if err := d.begin(ctx); err != nil {
		return err
	}
	defer d.end()
	if err := d.until(time.Time{}); err != nil {
		return d.fail(err)
	}
	if err := c.next(time.Time{}); err != nil {
		return d.fail(err)
	}
	return nil
}

// await returns when the first byte of a frame is there.
func (c *Conn) await() error {
	var t time.Time
	if c.limits.Idle > 0 {
		t = time.Now().Add(c.limits.Idle)
	}
	return c.next(t)
}

// readFrame sets in.msg.
func (c *Conn) readFrame(in *Inbox) (Stats, error) {
	if err := c.read(c.prelude[:]); err != nil {
		return Stats{}, err
	}
	p, err := parsePrelude(c.prelude[:], &c.limits)
	if err != nil {
		return Stats{}, err
	}
	crc, err := c.fill(&c.table, 0, p.table, p.table, 0)
	if err != nil {
		return Stats{}, err
	}
	if crc, err = c.fill(&in.meta, 0, p.meta, p.meta, crc); err != nil {
		return Stats{}, err
	}
	if crc != p.crc {
		return Stats{}, fmt.Errorf("%w: header has crc32c %08x, want %08x", ErrChecksum, crc, p.crc)
	}
	in.msg = Message{Kind: p.kind, ID: p.id, Deadline: p.deadline}
	if p.meta > 0 {
		in.msg.Meta = in.meta[:p.meta]
	}
	stats, err := c.parseTable(in, c.table[:p.table], p.count)
	if err != nil {
		return Stats{}, err
	}
	stats.WireBytes += preludeSize + p.table + p.meta
	if in.Admit != nil {
		if err := in.Admit(p.kind, stats.RawBytes); err != nil {
			return Stats{}, err
		}
	}
	if err := c.readTensors(in, in.slots[:p.count]); err != nil {
		return Stats{}, err
	}
	last := time.Now()
	stats.Transfer = last.Sub(c.in.started)
	if err := c.decode(in, in.slots[:p.count]); err != nil {
		return Stats{}, err
	}
	stats.Code = time.Since(last)
	return stats, nil
}

// parseTable sets the first count slots.
func (c *Conn) parseTable(in *Inbox, b []byte, count int) (Stats, error) {
	var stats Stats
	at := 0
	for i := range count {
		if i == len(in.slots) {
			s := new(slot)
			s.shape = s.dims[:0]
			in.slots = append(in.slots, s)
		}
		s := in.slots[i]
		var err error
		if b, err = s.parse(b, c.limits.Tensor, c.accept); err != nil {
			return Stats{}, fmt.Errorf("tensor %d: %w", i, err)
		}
		if s.raw > c.limits.Tensors-stats.RawBytes {
			return Stats{}, fmt.Errorf("%w: more than %d bytes of tensors", ErrTooLarge, c.limits.Tensors)
		}
		s.at = at
		at += (s.raw + tensor.Align - 1) &^ (tensor.Align - 1)
		stats.RawBytes += s.raw
		stats.WireBytes += s.wire
	}
	if len(b) != 0 {
		return Stats{}, fmt.Errorf("%w: %d bytes behind the table's last entry", ErrFormat, len(b))
	}
	return stats, nil
}

// readTensors reads raw tensors to their place in the arena and encoded ones,
// in order, to c.wire.
func (c *Conn) readTensors(in *Inbox, slots []*slot) error {
	size, encoded := 0, 0
	for _, s := range slots {
		size = s.at + s.raw
		if s.codec != Raw.ID() {
			encoded += s.wire
		}
	}
	at := 0
	for i, s := range slots {
		crc, err := uint32(0), error(nil)
		if s.codec == Raw.ID() {
			crc, err = c.fill(&in.arena, s.at, s.raw, size, 0)
		} else {
			crc, err = c.fill(&c.wire, at, s.wire, encoded, 0)
			at += s.wire
		}
		if err == nil && crc != s.crc {
			err = fmt.Errorf("%w: crc32c %08x, want %08x", ErrChecksum, crc, s.crc)
		}
		if err != nil {
			return fmt.Errorf("tensor %d: %w", i, err)
		}
	}
	if size > 0 {
		grow(&in.arena, len(in.arena), size, size)
	}
	return nil
}

// decode decodes the encoded tensors and puts all into in.msg.
func (c *Conn) decode(in *Inbox, slots []*slot) error {
	wire := c.wire
	in.tensors = in.tensors[:0]
	for i, s := range slots {
		raw := in.arena[s.at : s.at+s.raw : s.at+s.raw]
		var err error
		if s.codec != Raw.ID() {
			err = codecs[s.codec].Decode(raw, wire[:s.wire], tensor.Type{DType: s.dtype, Shape: s.shape})
			wire = wire[s.wire:]
		}
		if err == nil {
			err = checkElements(s.dtype, raw)
		}
		if err != nil {
			return fmt.Errorf("tensor %d: %w", i, err)
		}
		s.tensor = tensor.Tensor{Type: tensor.Type{DType: s.dtype, Shape: s.shape}, Raw: raw}
		in.tensors = append(in.tensors, &s.tensor)
	}
	in.msg.Tensors = in.tensors
	return nil
}

// fill reads n bytes to (*buf)[off:], of which total bytes are to be used in
// the end, and returns their checksum, continued from crc.
func (c *Conn) fill(buf *[]byte, off, n, total int, crc uint32) (uint32, error) {
	for end := off + n; off < end; {
		next := min(off+readStep, end)
		grow(buf, off, next, total)
		b := (*buf)[off:next]
		if err := c.read(b); err != nil {
			return 0, err
		}
		crc = crc32.Update(crc, castagnoli, b)
		off = next
	}
	return crc, nil
}

// read fills b, at most readStep bytes of a frame.
func (c *Conn) read(b []byte) error {
	c.in.bytes += len(b)
	if c.reader.Buffered() < len(b) {
		if err := c.in.pace(); err != nil {
			return err
		}
	}
	n, err := io.ReadFull(c.reader, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("frame ends at byte %d: %w", c.in.bytes-len(b)+n, io.ErrUnexpectedEOF)
	}
	return err
}

// grow makes buf at least need bytes long and keeps its first used bytes. It
// allocates no more than firstGrow or twice need, and not past total.
func grow(buf *[]byte, used, need, total int) {
	if len(*buf) >= need {
		return
	}
	b := tensor.Alloc(min(total, max(firstGrow, 2*need)))
	copy(b, (*buf)[:min(used, len(*buf))])
	*buf = b
}
