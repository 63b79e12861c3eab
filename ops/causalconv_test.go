package ops

import (
	"fmt"
	"math"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// The expected values are the definition: y[t] = bias + sum over j of w[j] *
// all[t+j], with all the past and then x.
func TestCausalConvolutionSeesWhatWas(t *testing.T) {
	const batch, channels = 2, 3
	for _, length := range []int{1, 2, 7} {
		for _, k := range []int{1, 4} {
			for _, given := range []bool{false, true} {
				r := source(uint64(length*10 + k))
				x, w, bias, past := reals(r, batch, channels, length), reals(r, channels, 1, k), reals(r, channels), reals(r, batch, channels, k-1)
				in := []any{x, w, nil, nil}
				if given {
					in = []any{x, w, bias, past}
				}
				name := fmt.Sprintf("length %d, %d taps, past %v", length, k, given)
				plain := apply(t, build(t, "CausalConvWithState", 27), in...)
				silu := apply(t, build(t, "CausalConvWithState", 28, "activation", "silu"), in...)
				contrib := apply(t, contrib(t, "CausalConvWithState", "activation", "swish", "ndim", 1), in...)
				var want, active, magnitude []float64
				for p := range batch * channels {
					all := make([]float32, k-1)
					if given {
						copy(all, past.F32()[p*(k-1):])
					}
					all = append(all, x.F32()[p*length:][:length]...)
					for i := range length {
						sum, size := 0.0, 0.0
						if given {
							sum = float64(bias.F32()[p%channels])
							size = math.Abs(sum)
						}
						for j := range k {
							v := float64(w.F32()[p%channels*k+j]) * float64(all[i+j])
							sum, size = sum+v, size+math.Abs(v)
						}
						want, active, magnitude = append(want, sum), append(active, sum/(1+math.Exp(-sum))), append(magnitude, size+1)
					}
					for j := range k - 1 {
						if got := plain[1].F32()[p*(k-1)+j]; got != all[length+j] {
							t.Fatalf("%s: state %d of channel %d is %v, want %v", name, j, p, got, all[length+j])
						}
					}
				}
				checkClose(t, name, plain[0], want, magnitude, k+2)
				checkClose(t, name, silu[0], active, magnitude, k+8)
				if !contrib[0].Identical(silu[0]) || !contrib[1].Identical(silu[1]) {
					t.Errorf("%s: ONNX Runtime's operator gives other bits", name)
				}
			}
		}
	}
}

func TestCausalConvolutionRefusesWhatDoesNotFit(t *testing.T) {
	op := build(t, "CausalConvWithState", 27)
	checkShapes(t, []shapeCase{
		{"fits", op, []any{float(2, 3, 5), float(3, 1, 4), float(3), float(2, 3, 3)}, tensor.Shape{2, 3, 5}},
		{"no taps", op, []any{float(2, 3, 5), float(3, 1, 0)}, nil},
		{"weights", op, []any{float(2, 3, 5), float(3, 2, 4)}, nil},
		{"rank", op, []any{float(2, 3), float(3, 1, 4)}, nil},
		{"past", op, []any{float(2, 3, 5), float(3, 1, 4), nil, float(2, 3, 4)}, nil},
	})
	if _, err := New("", "CausalConvWithState", 27, []graph.Attr{{Name: "activation", Value: "relu"}}); err == nil {
		t.Error("an unknown activation is no error")
	}
}
