// Package transport moves tensors over a network connection, in the frames
// that SPEC.md describes field by field.
//
// A Conn sends and receives Messages: a kind, a request id and some bytes that
// belong to the caller, and tensors, each encoded by a Codec. The package knows
// neither graphs nor plans nor what a message means; of the project it imports
// engine/tensor only. It does not encrypt: Dial and Listen keep to the loopback
// interface unless told otherwise, and NewConn takes any net.Conn, a *tls.Conn
// included.
//
// What a peer sends is never trusted. Every length is checked against Limits
// before memory is allocated, memory grows only as bytes arrive, and every byte
// of a frame is under a checksum.
package transport

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"scission/engine/tensor"
)

// The reasons for which a call fails, for errors.Is. A call whose context ended
// fails with the context's error as well, and one on a connection that the peer
// closed with io.EOF (between frames) or io.ErrUnexpectedEOF (within one).
var (
	// ErrFormat: what arrived, or what is to be sent, is not a frame of SPEC.md.
	ErrFormat = errors.New("bad frame")
	// ErrTooLarge: a length is past the Limits of the side that would hold it.
	ErrTooLarge = errors.New("too large")
	// ErrChecksum: bytes changed on their way.
	ErrChecksum = errors.New("checksum mismatch")
	// ErrVersion: the peer speaks no version of the protocol that this side does.
	ErrVersion = errors.New("protocol version mismatch")
	// ErrCodec: a codec that this package, or the peer, does not know.
	ErrCodec = errors.New("unknown codec")
	// ErrPlaintext: an address that is not loopback, without Options.Keys or Options.Insecure.
	ErrPlaintext = errors.New("plaintext off the loopback interface")
	// ErrEncryption: one side uses TLS and the other does not.
	ErrEncryption = errors.New("TLS on one side only")
	// ErrTimeout: the peer was too slow or silent, or the context's deadline passed.
	ErrTimeout = errors.New("timeout")
	// ErrIdle: no frame began within Limits.Idle. It is an ErrTimeout after
	// which the Conn is still usable.
	ErrIdle = fmt.Errorf("%w: idle", ErrTimeout)
)

// Message is what one frame carries.
type Message struct {
	Kind     uint8            // the caller's
	ID       uint64           // the request that the message belongs to; the caller's
	Deadline time.Duration    // time left for the request, counted from arrival; 0 is none
	Meta     []byte           // the caller's; part of the header, so small
	Tensors  []*tensor.Tensor // rank at most MaxRank, row-major

	// Seal, if not nil, gives the Meta in place of the field: Send calls it
	// when the tensors are encoded, with the time that took, so that a message
	// can say what it cost its sender. It is not sent.
	Seal func(code time.Duration) []byte
}

// MaxRank is the largest number of dimensions of a tensor in a frame.
const MaxRank = 8

// Limits bounds what a peer can make this side hold and how long it can keep
// it waiting. NewConn takes a zero field from DefaultLimits, a negative size
// as 0 and a size beyond math.MaxInt/4 as that.
type Limits struct {
	Meta    int // bytes of a message's Meta
	Tensor  int // bytes of one tensor, decoded
	Tensors int // bytes of all tensors of a message, decoded
	Count   int // tensors of a message, at most 65535

	// A frame has Grace, from its first byte, plus the time that its bytes up
	// to the current step of 256 KiB (receiving) or 1 MiB (sending) take at
	// MinRate bytes a second.
	Grace   time.Duration
	MinRate int

	Idle      time.Duration // wait for a frame's first byte; 0 is as long as the context allows
	Handshake time.Duration // the whole of Handshake

	// A side that has sent nothing for a Beat, or for less than two, sends a
	// beat; at most MaxBeat, on which the peer counts. Negative is never, and
	// then the peer sends none either.
	Beat time.Duration
	// A peer of which nothing arrives for Silence, which is to be longer than
	// two of its Beats, is taken for dead, up to a Beat later. Negative is never.
	Silence time.Duration
}

// MaxBeat is the longest Limits.Beat.
const MaxBeat = time.Second

// DefaultLimits fits the activations of image models at small batch sizes. It
// is not to be changed.
var DefaultLimits = Limits{
	Meta:      1 << 20,
	Tensor:    256 << 20,
	Tensors:   512 << 20,
	Count:     256,
	Grace:     5 * time.Second,
	MinRate:   64 << 10,
	Handshake: 5 * time.Second,
	Beat:      MaxBeat,
	Silence:   5 * time.Second,
}

// withDefaults returns l with its zero fields filled in.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits
	l.Meta = cmp.Or(l.Meta, d.Meta)
	l.Tensor = cmp.Or(l.Tensor, d.Tensor)
	l.Tensors = cmp.Or(l.Tensors, d.Tensors)
	l.Count = cmp.Or(l.Count, d.Count)
	l.Grace = cmp.Or(l.Grace, d.Grace)
	l.MinRate = cmp.Or(l.MinRate, d.MinRate)
	l.Handshake = cmp.Or(l.Handshake, d.Handshake)
	l.Beat = min(cmp.Or(l.Beat, d.Beat), MaxBeat)
	l.Silence = cmp.Or(l.Silence, d.Silence)
	return l.clamp()
}

// clamp returns l with sizes that the wire format and arithmetic on offsets
// can bear.
func (l Limits) clamp() Limits {
	l.Meta = min(max(l.Meta, 0), maxSize, math.MaxInt32)
	l.Tensor = min(max(l.Tensor, 0), maxSize)
	l.Tensors = min(max(l.Tensors, 0), maxSize)
	l.Count = min(max(l.Count, 0), math.MaxUint16)
	return l
}

// maxSize leaves room for twice a message's tensors and their alignment in an int.
const maxSize = math.MaxInt / 4

// Stats is what one frame cost.
type Stats struct {
	WireBytes int // the whole frame
	RawBytes  int // its tensors before encoding

	// Code is the time for encoding and checksums before the first byte is
	// written (Send), or for decoding after the last byte was read (Receive).
	Code time.Duration
	// Transfer is the time from the first byte to the last. Send's ends when
	// the last byte is in the socket's buffer, so it says little about the
	// link. Receive's starts when Receive sees the first byte: what the
	// system had buffered by then took no time.
	Transfer time.Duration
}
