package transport

import (
	"fmt"

	"github.com/klauspost/compress/s2"

	"scission/engine/tensor"
)

// s2Blocks is the codec S2. SPEC.md describes what it writes.
type s2Blocks struct{ exact }

func (s2Blocks) ID() uint8    { return 3 }
func (s2Blocks) Name() string { return "s2" }

// s2Block is how many bytes of a tensor are compressed together: so many that
// no encoding shrinks them more than maxExpansion allows.
const s2Block = 1 << 17

func (s2Blocks) Encode(dst, src []byte, t tensor.Type) ([]byte, error) {
	if err := checkType(src, t); err != nil {
		return dst, err
	}
	most := s2.MaxEncodedLen(s2Block)
	dst = reserve(dst, len(src)+(len(src)/s2Block+1)*blockPrefix+most)
	for len(src) > 0 {
		block := src[:min(s2Block, len(src))]
		src = src[len(block):]
		at := len(dst) + blockPrefix
		coded := s2.Encode(dst[at:at+most], block)
		if len(coded) >= len(block) {
			coded = block
		}
		dst = appendBlock(dst, coded)
	}
	return dst, nil
}

func (s2Blocks) Decode(dst, src []byte, t tensor.Type) error {
	if err := checkType(dst, t); err != nil {
		return err
	}
	for len(dst) > 0 {
		block := dst[:min(s2Block, len(dst))]
		dst = dst[len(block):]
		coded, rest, err := cutBlock(src, len(block))
		if err != nil {
			return err
		}
		src = rest
		if len(coded) == len(block) {
			copy(block, coded)
			continue
		}
		// What the encoding says of its length is believed only if it is right.
		if n, err := s2.DecodedLen(coded); err != nil || n != len(block) {
			return fmt.Errorf("%w: s2 block of %d bytes, want %d", ErrFormat, n, len(block))
		}
		if _, err := s2.Decode(block, coded); err != nil {
			return fmt.Errorf("%w: %v", ErrFormat, err)
		}
	}
	if len(src) > 0 {
		return fmt.Errorf("%w: %d bytes behind the last block", ErrFormat, len(src))
	}
	return nil
}
