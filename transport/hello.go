package transport

import (
	"context"
	"fmt"
	"hash/crc32"
	"time"
)

// MaxHelloMeta is the largest Hello.Meta, in bytes.
const MaxHelloMeta = 4096

// helloSize is the size of a hello without its meta, in bytes.
const helloSize = 52

// Hello is what the two sides tell each other before the first frame.
type Hello struct {
	MinVersion, MaxVersion uint8   // versions of the protocol
	Limits                 Limits  // only the sizes and the count
	Codecs                 []uint8 // ids of the codecs that the side takes; Raw is always one
	Meta                   []byte  // the caller's, such as name and build
}

// Handshake sends mine and returns what the peer sent. Both sides call it
// once, before the first frame, and it takes at most Limits.Handshake. Of mine
// it sends the codecs and the meta, and versions and limits as they are: a
// zero version range is this package's, nil codecs are Codecs, and the limits
// are always the Conn's own.
//
// With TLS that is made first, within the same time, and the peer that it finds
// must be one that Options wants; errors about its certificate, or from it about
// this side's, are keys.ErrUntrusted.
//
// From then on Send keeps to the peer's limits and codecs, and Receive refuses
// codecs that mine does not name. Handshake fails with ErrVersion if the ranges
// have no version in common that this package speaks, on both sides.
func (c *Conn) Handshake(ctx context.Context, mine Hello) (Hello, error) {
	if mine.MinVersion == 0 && mine.MaxVersion == 0 {
		mine.MinVersion, mine.MaxVersion = Version, Version
	}
	mine.Limits = c.limits
	accept := codecSet(1) << Raw.ID()
	if mine.Codecs == nil {
		accept = allCodecs()
	}
	for _, id := range mine.Codecs {
		if !allCodecs().has(id) {
			return Hello{}, fmt.Errorf("transport: handshake: %w: id %d", ErrCodec, id)
		}
		accept |= 1 << id
	}
	if len(mine.Meta) > MaxHelloMeta {
		return Hello{}, fmt.Errorf("transport: handshake: %w: meta of %d bytes, limit is %d", ErrTooLarge, len(mine.Meta), MaxHelloMeta)
	}
	ctx, cancel := context.WithTimeout(ctx, c.limits.Handshake)
	defer cancel()
	if c.tls != nil {
		if err := c.secure(ctx); err != nil {
			return Hello{}, err
		}
	}

	sent := make(chan error, 1)
	told := accept
	if c.limits.Beat > 0 {
		told |= 1 << beatBit
	}
	go func() { sent <- c.sendHello(ctx, mine.append(nil, told)) }()
	peer, codecs, err := c.receiveHello(ctx)
	// Even a peer that is refused is told with whom it was speaking.
	sendErr := <-sent
	if err == nil {
		err = sendErr
	}
	if err != nil {
		if said := refused(err); said != nil {
			err = fmt.Errorf("transport: handshake: TLS: %w", said)
		}
		return Hello{}, err
	}
	low, high := max(mine.MinVersion, peer.MinVersion), min(mine.MaxVersion, peer.MaxVersion)
	if Version < low || Version > high {
		return Hello{}, fmt.Errorf("transport: handshake: %w: peer speaks %d to %d, want %d to %d", ErrVersion,
			peer.MinVersion, peer.MaxVersion, mine.MinVersion, mine.MaxVersion)
	}
	c.peer, c.peerCodecs, c.accept = peer.Limits, codecs&^(1<<beatBit), accept
	if c.limits.Beat > 0 && codecs.has(beatBit) {
		c.beats = true
		c.live()
	}
	return peer, nil
}

// append encodes h as in SPEC.md, section 2.
func (h Hello) append(b []byte, codecs codecSet) []byte {
	b = append(b, helloMagic...)
	b = append(b, h.MinVersion, h.MaxVersion)
	b = le.AppendUint16(b, uint16(len(h.Meta)))
	for _, v := range []int{h.Limits.Meta, h.Limits.Tensor, h.Limits.Tensors, h.Limits.Count} {
		b = le.AppendUint64(b, uint64(v))
	}
	b = le.AppendUint64(b, uint64(codecs))
	crc := crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, h.Meta)
	return append(le.AppendUint32(b, crc), h.Meta...)
}

func (c *Conn) sendHello(ctx context.Context, b []byte) error {
	d := &c.out
	if err := d.begin(ctx); err != nil {
		return err
	}
	defer d.end()
	d.started, d.bytes = time.Now(), len(b)
	if err := d.pace(); err != nil {
		return d.fail(err)
	}
	if _, err := c.nc.Write(b); err != nil {
		return d.fatal(err)
	}
	return nil
}

func (c *Conn) receiveHello(ctx context.Context) (Hello, codecSet, error) {
	d := &c.in
	if err := d.begin(ctx); err != nil {
		return Hello{}, 0, err
	}
	defer d.end()
	if err := c.await(); err != nil {
		return Hello{}, 0, d.fail(err)
	}
	h, codecs, err := c.readHello()
	if err != nil {
		return Hello{}, 0, d.fatal(err)
	}
	return h, codecs, nil
}

func (c *Conn) readHello() (Hello, codecSet, error) {
	var b [helloSize]byte
	if err := c.read(b[:4]); err != nil {
		return Hello{}, 0, err
	}
	if speaksTLS(b[:]) {
		return Hello{}, 0, fmt.Errorf("%w: the peer speaks TLS, and this side does not", ErrEncryption)
	}
	if got := string(b[:4]); got != helloMagic {
		return Hello{}, 0, fmt.Errorf("%w: magic of the hello is %q, want %q", ErrFormat, got, helloMagic)
	}
	if err := c.read(b[4:]); err != nil {
		return Hello{}, 0, err
	}
	n := le.Uint16(b[6:])
	if n > MaxHelloMeta {
		return Hello{}, 0, fmt.Errorf("%w: meta of the hello has %d bytes, limit is %d", ErrTooLarge, n, MaxHelloMeta)
	}
	h := Hello{MinVersion: b[4], MaxVersion: b[5], Meta: make([]byte, n)}
	if err := c.read(h.Meta); err != nil {
		return Hello{}, 0, err
	}
	crc := crc32.Update(crc32.Checksum(b[:helloSize-4], castagnoli), castagnoli, h.Meta)
	if want := le.Uint32(b[helloSize-4:]); crc != want {
		return Hello{}, 0, fmt.Errorf("%w: hello has crc32c %08x, want %08x", ErrChecksum, crc, want)
	}
	for i, v := range []*int{&h.Limits.Meta, &h.Limits.Tensor, &h.Limits.Tensors, &h.Limits.Count} {
		*v = int(min(le.Uint64(b[8+8*i:]), maxSize))
	}
	h.Limits = h.Limits.clamp()
	set := codecSet(le.Uint64(b[40:]))
	for _, codec := range codecs {
		if set.has(codec.ID()) {
			h.Codecs = append(h.Codecs, codec.ID())
		}
	}
	return h, set | 1<<Raw.ID(), nil
}
