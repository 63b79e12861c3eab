package picture

import "image"

// studio is a picture of VP8, whose luma is from 16 to 235 and whose chroma is
// from 16 to 240, where image.YCbCr means 0 to 255.
type studio struct{ *image.YCbCr }

// studioRGB converts a pixel of VP8 as libwebp does: with factors in units of 2^-14, of whose
// products 6 bits are left behind the point.
//
// Source: ITU-R BT.601 (RFC 6386, 9.2); the fixed-point numbers are libwebp's.
func studioRGB(luma, cb, cr uint8) (r, g, b uint8) {
	const byLuma, redV, greenU, greenV, blueU = 19077, 26149, 6419, 13320, 33050 // 255/219 and so on
	const red, green, blue = 14234, 8708, 17685                                  // what the offsets 16 and 128 come to
	l, u, v := int(luma)*byLuma>>8, int(cb), int(cr)
	clip := func(c int) uint8 { return uint8(min(max(c>>6, 0), 255)) }
	return clip(l + v*redV>>8 - red), clip(l - u*greenU>>8 - v*greenV>>8 + green), clip(l + u*blueU>>8 - blue)
}

// colours returns the pixels of m in RGB, converted by rgb. Where chroma has
// half the width or height of luma, it is weighed 3 to 1 with its neighbour on
// the pixel's side, as libjpeg and libwebp do, up to rounding; with other ratios
// it is repeated.
func colours(m *image.YCbCr, rgb func(luma, cb, cr uint8) (r, g, b uint8)) func(x, y int) (r, g, b uint8) {
	var halfX, halfY bool
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio420:
		halfX, halfY = true, true
	case image.YCbCrSubsampleRatio422:
		halfX = true
	case image.YCbCrSubsampleRatio440:
		halfY = true
	default:
		return func(x, y int) (r, g, b uint8) {
			i, j := m.YOffset(x, y), m.COffset(x, y)
			return rgb(m.Y[i], m.Cb[j], m.Cr[j])
		}
	}
	return func(x, y int) (r, g, b uint8) {
		besideX, besideY := x, y
		if halfX {
			besideX = beside(x, m.Rect.Min.X, m.Rect.Max.X)
		}
		if halfY {
			besideY = beside(y, m.Rect.Min.Y, m.Rect.Max.Y)
		}
		near, across := m.COffset(x, y), m.COffset(besideX, y)
		below, corner := m.COffset(x, besideY), m.COffset(besideX, besideY)
		blend := func(c []uint8) uint8 {
			return uint8((9*uint32(c[near]) + 3*uint32(c[across]) + 3*uint32(c[below]) + uint32(c[corner]) + 8) >> 4)
		}
		return rgb(m.Y[m.YOffset(x, y)], blend(m.Cb), blend(m.Cr))
	}
}

// beside is a coordinate of the neighbour that is nearest to i among pairs of
// pixels, or i itself at the edge.
func beside(i, low, high int) int {
	step := 1
	if i%2 == 0 {
		step = -1
	}
	if j := i + step; j >= low && j < high {
		return j
	}
	return i
}
