package picture

import (
	"bytes"
	"encoding/binary"
)

// EXIF orientations: what is to be done with the stored rows to see the picture
// upright. Flips come before the exchange of rows and columns.
//
// Source: Exif 2.32, 4.6.4, tag 274.
const (
	upright        = 1
	lastFlip       = 4 // from here on, rows and columns change places
	orientationMax = 8
)

// JPEG markers.
const (
	markerApp1 = 0xe1
	markerScan = 0xda // start of scan: the data of pixels follow
)

// orientation returns the EXIF orientation of a JPEG file, or upright where it
// has none that can be read.
func orientation(b []byte) int {
	if !bytes.HasPrefix(b, []byte("\xff\xd8")) {
		return upright
	}
	for b = b[2:]; len(b) >= 4 && b[0] == 0xff; {
		if b[1] == 0xff { // a fill byte
			b = b[1:]
			continue
		}
		marker, n := b[1], 2+int(binary.BigEndian.Uint16(b[2:])) // the length counts itself
		if marker == markerScan || n < 4 || n > len(b) {
			break
		}
		if exif, ok := bytes.CutPrefix(b[4:n], []byte("Exif\x00\x00")); ok && marker == markerApp1 {
			return tiffOrientation(exif)
		}
		b = b[n:]
	}
	return upright
}

// tiffOrientation finds the orientation in the first directory of a TIFF file.
func tiffOrientation(b []byte) int {
	const (
		head, entry    = 8, 12
		tagOrientation = 274
		typeShort      = 3
	)
	var order binary.ByteOrder
	switch {
	case len(b) < head:
		return upright
	case bytes.HasPrefix(b, []byte("II*\x00")):
		order = binary.LittleEndian
	case bytes.HasPrefix(b, []byte("MM\x00*")):
		order = binary.BigEndian
	default:
		return upright
	}
	at := uint64(order.Uint32(b[4:]))
	if at+2 > uint64(len(b)) {
		return upright
	}
	b = b[at:]
	n := int(order.Uint16(b))
	for b = b[2:]; n > 0 && len(b) >= entry; n, b = n-1, b[entry:] {
		if order.Uint16(b) == tagOrientation && order.Uint16(b[2:]) == typeShort && order.Uint32(b[4:]) == 1 {
			if o := int(order.Uint16(b[8:])); o >= upright && o <= orientationMax {
				return o
			}
		}
	}
	return upright
}

// upright turns a picture of the given EXIF orientation.
func (p *Picture) upright(orientation int) *Picture {
	if orientation == upright {
		return p
	}
	swap := orientation > lastFlip
	flipX := orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8
	flipY := orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7
	q := &Picture{Width: p.Width, Height: p.Height, Pix: make([]uint8, len(p.Pix))}
	if swap {
		q.Width, q.Height = p.Height, p.Width
	}
	i := 0
	for y := range q.Height {
		for x := range q.Width {
			sx, sy := x, y
			if swap {
				sx, sy = y, x
			}
			if flipX {
				sx = p.Width - 1 - sx
			}
			if flipY {
				sy = p.Height - 1 - sy
			}
			at := 3 * (sy*p.Width + sx)
			copy(q.Pix[i:i+3], p.Pix[at:at+3])
			i += 3
		}
	}
	return q
}
