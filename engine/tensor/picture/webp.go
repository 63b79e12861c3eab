package picture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/webp"
)

// Parts of a WebP file: a RIFF head, then chunks of a name, a length and data.
//
// Source: WebP Container Specification (RFC 9649).
const (
	riffHead  = 12
	chunkHead = 8
)

func isWebP(b []byte) bool {
	return len(b) >= riffHead && string(b[:4]) == "RIFF" && string(b[8:riffHead]) == "WEBP"
}

// checkWebP refuses chunks that are longer than the file, for which the decoder
// would allocate unseen. It checks the sizes of frames itself.
func checkWebP(b []byte) error {
	for b = b[riffHead:]; len(b) >= chunkHead; {
		name, n := b[:4], uint64(binary.LittleEndian.Uint32(b[4:]))
		b = b[chunkHead:]
		if n > uint64(len(b)) {
			return fmt.Errorf("chunk %q of %d bytes, %d are left", name, n, len(b))
		}
		b = b[min(n+n&1, uint64(len(b))):] // data have an even length
	}
	return nil
}

// decodeWebP is webp.Decode, with the colours of lossy files as they are meant.
func decodeWebP(r io.Reader) (image.Image, error) {
	m, err := webp.Decode(r)
	switch m := m.(type) {
	case nil:
		if err == nil {
			err = errors.New("no picture")
		}
		return nil, err
	case *image.YCbCr:
		return studio{m}, nil
	case *image.NYCbCrA:
		return studio{&m.YCbCr}, nil
	}
	return m, err
}
