package ops

// Hardmax is 1 for the first of the largest elements, 0 for the others; see
// softmax. A NaN counts as the largest.
//
// Source: ONNX Hardmax-1, -11, -13.
func init() {
	registerRows(softmax{name: "Hardmax", f32: hardmaxRow[float32], f64: hardmaxRow[float64]})
}

func hardmaxRow[T float32 | float64](dst, x []T) {
	best := 0
	for i, v := range x {
		if v > x[best] || v != v && x[best] == x[best] {
			best = i
		}
	}
	clear(dst)
	dst[best] = 1
}
