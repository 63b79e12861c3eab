package transport

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"scission/engine/tensor"
)

// Version is the version of the frame format that this package writes, and
// the only one that it reads.
const Version = 1

// Sizes of SPEC.md, in bytes.
const (
	preludeSize = 44
	entrySize   = 24 // without dimensions
	dimSize     = 8
)

// maxExpansion bounds raw length / wire length of an encoded tensor, so that a
// few bytes cannot ask for much memory. Zstandard reaches 2^17 bytes from a
// block of 4 and no more.
const maxExpansion = 1 << 15

const (
	frameMagic = "SCIF"
	helloMagic = "SCIS"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var le = binary.LittleEndian

// prelude is the fixed part of a frame: SPEC.md, section 3.
type prelude struct {
	kind     uint8
	id       uint64
	deadline time.Duration
	table    int // bytes of the tensor table
	meta     int // bytes of the meta
	count    int // tensors
	crc      uint32
}

func (p prelude) append(b []byte) []byte {
	start := len(b)
	b = append(b, frameMagic...)
	b = append(b, Version, p.kind, 0, 0)
	b = le.AppendUint64(b, p.id)
	b = le.AppendUint64(b, uint64(p.deadline))
	b = le.AppendUint32(b, uint32(p.table))
	b = le.AppendUint32(b, uint32(p.meta))
	b = le.AppendUint32(b, uint32(p.count))
	b = le.AppendUint32(b, p.crc)
	return le.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parsePrelude checks b, which is preludeSize bytes, against SPEC.md and l.
func parsePrelude(b []byte, l *Limits) (prelude, error) {
	if string(b[:4]) != frameMagic {
		return prelude{}, fmt.Errorf("%w: magic %q, want %q", ErrFormat, b[:4], frameMagic)
	}
	if b[4] != Version {
		return prelude{}, fmt.Errorf("%w: frame of version %d, want %d", ErrVersion, b[4], Version)
	}
	if got, want := crc32.Checksum(b[:preludeSize-4], castagnoli), le.Uint32(b[preludeSize-4:]); got != want {
		return prelude{}, fmt.Errorf("%w: prelude has crc32c %08x, want %08x", ErrChecksum, got, want)
	}
	if flags := le.Uint16(b[6:]); flags != 0 {
		return prelude{}, fmt.Errorf("%w: flags %#x, want 0", ErrFormat, flags)
	}
	deadline, table, meta, count := le.Uint64(b[16:]), le.Uint32(b[24:]), le.Uint32(b[28:]), le.Uint32(b[32:])
	if deadline > math.MaxInt64 {
		return prelude{}, fmt.Errorf("%w: deadline %d ns, want at most %d", ErrFormat, deadline, int64(math.MaxInt64))
	}
	if uint64(meta) > uint64(l.Meta) {
		return prelude{}, fmt.Errorf("%w: meta of %d bytes, limit is %d", ErrTooLarge, meta, l.Meta)
	}
	if uint64(count) > uint64(l.Count) {
		return prelude{}, fmt.Errorf("%w: %d tensors, limit is %d", ErrTooLarge, count, l.Count)
	}
	if table < count*entrySize || table > count*(entrySize+MaxRank*dimSize) {
		return prelude{}, fmt.Errorf("%w: table of %d bytes for %d tensors, want %d to %d", ErrFormat,
			table, count, count*entrySize, count*(entrySize+MaxRank*dimSize))
	}
	return prelude{b[5], le.Uint64(b[8:]), time.Duration(deadline), int(table), int(meta), int(count), le.Uint32(b[36:])}, nil
}

// entry is a tensor's place in the table: SPEC.md, section 4.
type entry struct {
	dtype tensor.DType
	codec uint8
	crc   uint32 // of the wire bytes
	raw   int    // bytes, decoded
	wire  int    // bytes in the frame
	shape tensor.Shape
}

func (e *entry) append(b []byte) []byte {
	b = append(b, byte(e.dtype), byte(len(e.shape)), e.codec, 0)
	b = le.AppendUint32(b, e.crc)
	b = le.AppendUint64(b, uint64(e.raw))
	b = le.AppendUint64(b, uint64(e.wire))
	for _, d := range e.shape {
		b = le.AppendUint64(b, uint64(d))
	}
	return b
}

// parse sets e, whose shape keeps its memory, from the start of b and returns
// the rest of b. The tensor has at most limit bytes and one of the codecs.
func (e *entry) parse(b []byte, limit int, codecs codecSet) ([]byte, error) {
	if len(b) < entrySize {
		return nil, fmt.Errorf("%w: table ends within an entry", ErrFormat)
	}
	rank, raw, wire := int(b[1]), le.Uint64(b[8:]), le.Uint64(b[16:])
	e.dtype, e.codec, e.crc = tensor.DType(b[0]), b[2], le.Uint32(b[4:])
	switch {
	case rank > MaxRank:
		return nil, fmt.Errorf("%w: rank %d, want at most %d", ErrFormat, rank, MaxRank)
	case b[3] != 0:
		return nil, fmt.Errorf("%w: reserved byte is %d, want 0", ErrFormat, b[3])
	case len(b) < entrySize+rank*dimSize:
		return nil, fmt.Errorf("%w: table ends within an entry", ErrFormat)
	case raw > uint64(limit):
		return nil, fmt.Errorf("%w: %d bytes, limit is %d", ErrTooLarge, raw, limit)
	case !codecs.has(e.codec):
		return nil, fmt.Errorf("%w: id %d", ErrCodec, e.codec)
	case e.codec == Raw.ID() && wire != raw:
		return nil, fmt.Errorf("%w: %d raw bytes take %d on the wire", ErrFormat, raw, wire)
	case e.codec != Raw.ID() && wire >= raw:
		return nil, fmt.Errorf("%w: %d bytes encoded as %d, want fewer", ErrFormat, raw, wire)
	case e.codec != Raw.ID() && (raw-1)/maxExpansion >= wire:
		return nil, fmt.Errorf("%w: %d bytes encoded as %d, want at least 1/%d of it", ErrFormat, raw, wire, maxExpansion)
	}
	e.raw, e.wire, e.shape = int(raw), int(wire), e.shape[:0]
	for i := range rank {
		d := le.Uint64(b[entrySize+i*dimSize:])
		if d > math.MaxInt {
			return nil, fmt.Errorf("%w: dimension %d is %d, want at most %d", ErrFormat, i, d, math.MaxInt)
		}
		e.shape = append(e.shape, int(d))
	}
	t, err := tensor.CheckType(e.dtype, e.shape, e.raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if t.Bytes() != e.raw {
		return nil, fmt.Errorf("%w: %v takes %d bytes, header says %d", ErrFormat, t, t.Bytes(), e.raw)
	}
	return b[entrySize+rank*dimSize:], nil
}

// checkTensor reports why t cannot be an entry of a frame.
func checkTensor(t *tensor.Tensor, limit int) error {
	if len(t.Shape) > MaxRank {
		return fmt.Errorf("%w: rank %d, want at most %d", ErrFormat, len(t.Shape), MaxRank)
	}
	if len(t.Raw) > limit {
		return fmt.Errorf("%w: %d bytes, limit is %d", ErrTooLarge, len(t.Raw), limit)
	}
	if _, err := tensor.CheckType(t.DType, t.Shape, len(t.Raw)); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if t.Bytes() != len(t.Raw) {
		return fmt.Errorf("%w: %v takes %d bytes, has %d", ErrFormat, t.Type, t.Bytes(), len(t.Raw))
	}
	return nil
}

// checkElements refuses bytes that no tensor of d holds: a bool is 0 or 1, and
// Go code may rely on that.
func checkElements(d tensor.DType, raw []byte) error {
	if d == tensor.Bool {
		for i, b := range raw {
			if b > 1 {
				return fmt.Errorf("%w: bool at index %d is %d, want 0 or 1", ErrFormat, i, b)
			}
		}
	}
	return nil
}
