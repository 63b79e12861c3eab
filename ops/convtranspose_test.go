package ops

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

func TestConvTransposeIsItsDefinition(t *testing.T) {
	atEachLevel(t, "TestConvTransposeIsItsDefinition", func(t *testing.T) {
		for seed := range 60 {
			r := source(uint64(seed))
			rank, groups := 1+r.IntN(3), 1+r.IntN(3)
			batch, inC, outC := 1+r.IntN(2), groups*(1+r.IntN(5)), groups*(1+r.IntN(20))
			xs, ws, ys := []int{batch, inC}, []int{inC, outC / groups}, []int{batch, outC}
			s := slow{}
			before, behind, extra := []int{}, []int{}, []int{}
			mode := r.IntN(5) // pads, output_shape, output_shape and SAME_UPPER, SAME_LOWER, VALID
			for range rank {
				in, kernel, stride, dilation := 1+r.IntN(5), 1+r.IntN(4), 1+r.IntN(3), 1+r.IntN(2)
				add := r.IntN(stride)
				reach := (in-1)*stride + (kernel-1)*dilation + 1 + add
				b, e := 0, 0
				switch mode {
				case 0:
					b = r.IntN(min(3, reach))
					e = r.IntN(min(3, reach-b))
				case 1, 2:
					all := r.IntN(min(4, reach))
					if e = all / 2; mode == 2 {
						e = all - e
					}
					b = all - e
				case 3:
					all := max(0, reach-in*stride)
					e = all / 2
					b = all - e
					if reach < in*stride {
						e = reach - in*stride // y is longer than what the kernel reaches
					}
				}
				xs, ws, ys = append(xs, in), append(ws, kernel), append(ys, reach-b-e)
				before, behind, extra = append(before, b), append(behind, e), append(extra, add)
				s.kernel, s.stride, s.dilation = append(s.kernel, kernel), append(s.stride, stride), append(s.dilation, dilation)
			}
			attrs := []any{"group", groups, "strides", s.stride, "dilations", s.dilation, "output_padding", extra}
			switch mode {
			case 0:
				attrs = append(attrs, "pads", slices.Concat(before, behind), "kernel_shape", s.kernel)
			case 1:
				attrs = append(attrs, "output_shape", ys[2:])
			case 2:
				attrs = append(attrs, "output_shape", ys[2:], "auto_pad", "SAME_UPPER")
			case 3:
				attrs = append(attrs, "auto_pad", "SAME_LOWER")
			case 4:
				attrs = append(attrs, "auto_pad", "VALID")
			}
			x, w, bias := reals(r, xs...), reals(r, ws...), reals(r, outC)
			want := make([]float64, tensor.Shape(ys).Elems())
			magnitude := make([]float64, len(want))
			for i, at := range coordinates(ys) {
				want[i] = tensortest.At(bias, at[1])
				magnitude[i] = math.Abs(want[i])
			}
			for i, at := range coordinates(xs) {
				for m := range outC / groups {
					for _, k := range coordinates(s.kernel) {
						channel := at[1]/(inC/groups)*(outC/groups) + m
						to, inside := []int{at[0], channel}, true
						for d := range k {
							p := at[2+d]*s.stride[d] + k[d]*s.dilation[d] - before[d]
							to, inside = append(to, p), inside && p >= 0 && p < ys[2+d]
						}
						if inside {
							v := tensortest.At(x, i) * tensortest.At(w, index(ws, join([]int{at[1], m}, k)...))
							j := index(ys, to...)
							want[j], magnitude[j] = want[j]+v, magnitude[j]+math.Abs(v)
						}
					}
				}
			}
			op := build(t, "ConvTranspose", 11, attrs...)
			name := fmt.Sprint("case ", seed, ": ", op, attrs)
			live := apply(t, op, x, w, bias)[0]
			if !live.Shape.Equal(ys) {
				t.Fatalf("%s: got %v, want %v", name, live.Shape, ys)
			}
			terms := inC * tensor.Shape(s.kernel).Elems()
			checkClose(t, name, live, want, magnitude, terms+2)
			checkClose(t, name+" in float64", apply(t, op, wide(x), known{wide(w)}, wide(bias))[0], want, magnitude, terms+2)
			if packed := apply(t, op, x, known{w}, known{bias})[0]; !packed.Identical(live) {
				t.Errorf("%s: constant weights change bits", name)
			}
		}
	})
}

func TestConvTransposeInBlocksOfChannels(t *testing.T) {
	r := source(5)
	x, w := reals(r, 1, 3, 100, 150), reals(r, 3, 40, 2, 2)
	y := apply(t, build(t, "ConvTranspose", 11, "strides", []int{2, 2}), x, known{w})[0]
	for range 200 {
		c, h, v := r.IntN(40), r.IntN(200), r.IntN(300)
		sum := 0.0
		for i := range 3 {
			sum += tensortest.At(x, index(x.Shape, 0, i, h/2, v/2)) * tensortest.At(w, index(w.Shape, i, c, h%2, v%2))
		}
		if got := tensortest.At(y, index(y.Shape, 0, c, h, v)); math.Abs(got-sum) > 1e-5 {
			t.Fatalf("channel %d at %d, %d: got %v, want %v", c, h, v, got, sum)
		}
	}
}

func TestConvTransposeRefusesWhatDoesNotFit(t *testing.T) {
	with := func(attrs ...any) graph.Op { return build(t, "ConvTranspose", 11, attrs...) }
	x, w := float(1, 4, 5, 5), float(4, 3, 3, 3)
	const huge = 1<<31 - 1
	checkShapes(t, []shapeCase{
		{"fits", with(), []any{x, w, float(3)}, tensor.Shape{1, 3, 7, 7}},
		{"groups", with("group", 2), []any{x, w}, tensor.Shape{1, 6, 7, 7}},
		{"whole shape", with("output_shape", []int{1, 3, 9, 8}, "strides", []int{2, 2}), []any{x, w}, tensor.Shape{1, 3, 9, 8}},
		{"channels", with(), []any{float(1, 3, 5, 5), w}, nil},
		{"groups do not divide", with("group", 3), []any{x, w}, nil},
		{"rank", with(), []any{float(1, 4, 5), w}, nil},
		{"no dimensions", with(), []any{float(1, 4), float(4, 3)}, nil},
		{"bias", with(), []any{x, w, float(4)}, nil},
		{"kernel", with("kernel_shape", []int{2, 3}), []any{x, w}, nil},
		{"pads", with("pads", []int{9, 9, 9, 9}), []any{x, w}, nil},
		{"stride", with("strides", []int{0, 1}), []any{x, w}, nil},
		{"too far", with("strides", []int{huge, 1}), []any{x, w}, nil},
		{"output_padding", with("output_padding", []int{-1, 0}), []any{x, w}, nil},
		{"output_padding length", with("output_padding", []int{1}), []any{x, w}, nil},
		{"output_shape length", with("output_shape", []int{1}), []any{x, w}, nil},
		{"output_shape", with("output_shape", []int{0, 7}), []any{x, w}, nil},
		{"empty", with(), []any{float(1, 4, 0, 5), w}, nil},
		{"no images", with(), []any{float(0, 4, 5, 5), w}, tensor.Shape{0, 3, 7, 7}},
		{"types", with(), []any{x, tensor.New(tensor.Float64, 4, 3, 3, 3)}, nil},
	})
}

func TestMaxUnpoolPutsElementsBack(t *testing.T) {
	// Values and places of ONNX's own example, in a 4x4 image.
	x := tensor.Of([]float32{5, 6, 7, 8}, 1, 1, 2, 2)
	at := tensor.Of([]int64{5, 7, 13, 15}, 1, 1, 2, 2)
	op := build(t, "MaxUnpool", 11, "kernel_shape", []int{2, 2}, "strides", []int{2, 2})
	small := apply(t, op, x, at)[0]
	large := apply(t, op, x, at, fixed{1, 1, 5, 5})[0]
	want := map[[2]int]float32{{1, 1}: 5, {1, 3}: 6, {3, 1}: 7, {3, 3}: 8}
	for n, y := range map[int]*tensor.Tensor{4: small, 5: large} {
		if !y.Shape.Equal(tensor.Shape{1, 1, n, n}) {
			t.Fatalf("got %v, want %d by %d", y.Shape, n, n)
		}
		for i, v := range y.F32() {
			if v != want[[2]int{i / n, i % n}] {
				t.Errorf("%d by %d: element %d is %v, want %v", n, n, i, v, want[[2]int{i / n, i % n}])
			}
		}
	}
	checkShapes(t, []shapeCase{
		{"kernel", op, []any{float(1, 1, 2), tensor.New(tensor.Int64, 1, 1, 2)}, nil},
		{"indices", op, []any{x, tensor.New(tensor.Int64, 1, 1, 2, 3)}, nil},
		{"type of indices", op, []any{x, tensor.New(tensor.Int32, 1, 1, 2, 2)}, nil},
		{"too small", op, []any{x, at, fixed{1, 1, 3, 5}}, nil},
		{"other channels", op, []any{x, at, fixed{1, 2, 5, 5}}, nil},
	})
	beyond := tensor.Of([]int64{5, 7, 13, 16}, 1, 1, 2, 2)
	facts := factsOf([]any{known{x}, known{beyond}})
	out, err := op.Infer(facts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := graph.Eval(op, facts, out); err == nil {
		t.Error("a place behind the end: no error")
	}
}
