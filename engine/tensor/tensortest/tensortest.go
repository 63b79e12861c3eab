// Package tensortest makes tensors for tests and compares them with a stated
// tolerance.
package tensortest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"scission/engine/tensor"
)

// Random returns a float32 tensor of the given shape with elements uniform in
// [-1, 1), the same for the same seed on every machine.
func Random(seed uint64, shape ...int) *tensor.Tensor {
	t := tensor.New(tensor.Float32, shape...)
	r := rand.New(rand.NewPCG(seed, 0x5c15510))
	for i := range t.F32() {
		t.F32()[i] = 2*r.Float32() - 1
	}
	return t
}

// Diff compares got with want, element by element: it returns nil if both have
// the same type and |got-want| <= atol + rtol*|want| everywhere for floating
// point, or equality for other types. NaN equals NaN, and an infinity equals
// itself. Packed values must be of the same kind and as long, with items that
// compare so. The error names the worst element and counts the others.
func Diff(got, want *tensor.Tensor, rtol, atol float64) error {
	if got.DType == tensor.Packed && want.DType == tensor.Packed {
		return diffPacked(got, want, rtol, atol)
	}
	if !got.Type.Equal(want.Type) {
		return fmt.Errorf("got %v, want %v", got.Type, want.Type)
	}
	bad, worst, at := 0, -1.0, 0
	for i := range got.Shape.Elems() {
		g, w := At(got, i), At(want, i)
		if g == w || math.IsNaN(g) && math.IsNaN(w) {
			continue
		}
		excess := math.Inf(1)
		if got.DType.IsFloat() && !math.IsNaN(g) && !math.IsNaN(w) && !math.IsInf(g, 0) && !math.IsInf(w, 0) {
			excess = math.Abs(g-w) / (atol + rtol*math.Abs(w))
			if excess <= 1 {
				continue
			}
		}
		if bad++; excess > worst {
			worst, at = excess, i
		}
	}
	if bad == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d elements differ; worst at index %d: got %v, want %v (rtol %g, atol %g)",
		bad, got.Shape.Elems(), at, At(got, at), At(want, at), rtol, atol)
}

func diffPacked(got, want *tensor.Tensor, rtol, atol float64) error {
	g, err := got.Unpack()
	if err != nil {
		return err
	}
	w, err := want.Unpack()
	if err != nil {
		return err
	}
	if g.Kind != w.Kind || len(g.Items) != len(w.Items) || !g.Shape.Equal(w.Shape) {
		return fmt.Errorf("got %v%v of %d items, want %v%v of %d", g.Kind, g.Shape, len(g.Items), w.Kind, w.Shape, len(w.Items))
	}
	for i, s := range w.Strings {
		if g.Strings[i] != s {
			return fmt.Errorf("string %d is %q, want %q", i, g.Strings[i], s)
		}
	}
	for i := range w.Items {
		if err := Diff(g.Items[i], w.Items[i], rtol, atol); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
	}
	return nil
}

// At returns element i of t in row-major order as a float64; bool is 0 or 1.
// Integers beyond 2^53 lose their low bits.
func At(t *tensor.Tensor, i int) float64 {
	if t.DType.IsMini() || t.DType == tensor.Float8E8M0 {
		return float64(t.DType.MiniValues()[t.Raw[i]])
	}
	switch t.DType.Base() {
	case tensor.Float32:
		return float64(t.F32()[i])
	case tensor.Float64:
		return tensor.View[float64](t)[i]
	case tensor.Float16:
		return float64(tensor.Float16ToFloat32(tensor.View[uint16](t)[i]))
	case tensor.BFloat16:
		return float64(tensor.BFloat16ToFloat32(tensor.View[uint16](t)[i]))
	case tensor.Int8:
		return float64(tensor.View[int8](t)[i])
	case tensor.Int16:
		return float64(tensor.View[int16](t)[i])
	case tensor.Int32:
		return float64(tensor.View[int32](t)[i])
	case tensor.Int64:
		return float64(tensor.View[int64](t)[i])
	case tensor.Uint8, tensor.Bool:
		return float64(t.Raw[i])
	case tensor.Uint16:
		return float64(tensor.View[uint16](t)[i])
	case tensor.Uint32:
		return float64(tensor.View[uint32](t)[i])
	case tensor.Uint64:
		return float64(tensor.View[uint64](t)[i])
	}
	panic("tensortest: no such element type: " + t.DType.String())
}
