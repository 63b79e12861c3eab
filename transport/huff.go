package transport

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/klauspost/compress/huff0"

	"scission/transport/internal/plane"
)

const (
	blockPrefix = 3 // bytes that state the length of a block
	blockRun    = 1 // the length of a block of one byte, repeated
)

// reserve returns dst with room for n bytes more.
func reserve(dst []byte, n int) []byte {
	if cap(dst)-len(dst) >= n {
		return dst
	}
	return append(make([]byte, 0, len(dst)+n), dst...)
}

// appendBlock appends a block with its length.
func appendBlock(dst, coded []byte) []byte {
	dst = append(dst, byte(len(coded)), byte(len(coded)>>8), byte(len(coded)>>16))
	return append(dst, coded...)
}

// cutBlock cuts the first block off src. It is not longer than most, which is
// what it decodes to.
func cutBlock(src []byte, most int) (coded, rest []byte, err error) {
	if len(src) < blockPrefix {
		return nil, nil, fmt.Errorf("%w: %d bytes, want the length of a block", ErrFormat, len(src))
	}
	n := int(src[0]) | int(src[1])<<8 | int(src[2])<<16
	src = src[blockPrefix:]
	if n < 1 || n > most || n > len(src) {
		return nil, nil, fmt.Errorf("%w: block of %d bytes, want 1 to %d", ErrFormat, n, min(most, len(src)))
	}
	return src[:n], src[n:], nil
}

// huffState is what one encoding or decoding with Huffman's code works with: as
// many heads, the bytes that are compressed, as there are elements.
type huffState struct {
	scratch huff0.Scratch
	out     []byte // for a block's encoding: what the library allocates it gives up if it finds nothing to shrink
	heads   []byte
	words   []byte // elements in 16 bits
}

// appendBlocks appends values in blocks of size, the last one shorter.
func (h *huffState) appendBlocks(dst, values []byte, size int) ([]byte, error) {
	for len(values) > 0 {
		block := values[:min(size, len(values))]
		values = values[len(block):]
		h.scratch.Out = h.out[:0]
		coded, _, err := huff0.Compress4X(block, &h.scratch)
		switch {
		case errors.Is(err, huff0.ErrUseRLE):
			coded = block[:blockRun]
		case errors.Is(err, huff0.ErrIncompressible):
			coded = block
		case err != nil:
			return dst, fmt.Errorf("transport: huff0: %w", err)
		}
		dst = appendBlock(dst, coded)
	}
	return dst, nil
}

// decodeBlocks fills values from blocks of size and returns what is behind
// them in src.
func (h *huffState) decodeBlocks(values, src []byte, size int) (rest []byte, err error) {
	for len(values) > 0 {
		block := values[:min(size, len(values))]
		values = values[len(block):]
		var coded []byte
		if coded, src, err = cutBlock(src, len(block)); err != nil {
			return nil, err
		}
		switch len(coded) {
		case len(block):
			copy(block, coded)
		case blockRun:
			for i := range block {
				block[i] = coded[0]
			}
		default:
			s, data, err := huff0.ReadTable(coded, &h.scratch)
			if err != nil {
				return nil, fmt.Errorf("%w: huff0: %v", ErrFormat, err)
			}
			got, err := s.Decoder().Decompress4X(block[:0:len(block)], data)
			if err != nil {
				return nil, fmt.Errorf("%w: huff0: %v", ErrFormat, err)
			}
			if len(got) != len(block) {
				return nil, fmt.Errorf("%w: huff0 gave %d bytes, want %d", ErrFormat, len(got), len(block))
			}
		}
	}
	return src, nil
}

// reserveWords makes h.words n bytes long; what they hold is lost.
func (h *huffState) reserveWords(n int) {
	if cap(h.words) < n {
		h.words = make([]byte, n)
	}
	h.words = h.words[:n]
}

// idleHuff holds the states not in use, see idle.
var idleHuff struct {
	sync.Mutex
	states []*huffState
}

// getHuff returns a state for n heads.
func getHuff(n int) *huffState {
	idleHuff.Lock()
	var h *huffState
	if n := len(idleHuff.states); n > 0 {
		h = idleHuff.states[n-1]
		idleHuff.states = idleHuff.states[:n-1]
	}
	idleHuff.Unlock()
	if h == nil {
		h = &huffState{scratch: huff0.Scratch{Reuse: huff0.ReusePolicyNone}, out: make([]byte, 0, 2*headsBlock)}
	}
	if cap(h.heads) < n+plane.Slack {
		h.heads = make([]byte, n+plane.Slack)
	}
	h.heads = h.heads[:n+plane.Slack]
	return h
}

func putHuff(h *huffState) {
	if cap(h.heads) > retain {
		h.heads = nil
	}
	if cap(h.words) > retain {
		h.words = nil
	}
	idleHuff.Lock()
	if len(idleHuff.states) < runtime.GOMAXPROCS(0) {
		idleHuff.states = append(idleHuff.states, h)
	}
	idleHuff.Unlock()
}
