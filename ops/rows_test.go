package ops

import (
	"math"
	"testing"

	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// normalizedBy returns the elements of x less the mean of their group, divided
// by the root of the group's variance and epsilon; group says which one.
func normalizedBy(x *tensor.Tensor, epsilon float64, keepMean bool, group func(c []int) int) []float64 {
	lists := map[int][]float64{}
	for i, c := range coordinates(x.Shape) {
		lists[group(c)] = append(lists[group(c)], tensortest.At(x, i))
	}
	y := make([]float64, x.Shape.Elems())
	for i, c := range coordinates(x.Shape) {
		list, mean := lists[group(c)], 0.0
		if !keepMean {
			mean = sumOf(list, func(v float64) float64 { return v }) / float64(len(list))
		}
		variance := sumOf(list, func(v float64) float64 { return (v - mean) * (v - mean) }) / float64(len(list))
		y[i] = (tensortest.At(x, i) - mean) / math.Sqrt(variance+float64(float32(epsilon)))
	}
	return y
}

func checkNear(t *testing.T, name string, y *tensor.Tensor, want []float64) {
	t.Helper()
	for i, w := range want {
		if got := tensortest.At(y, i); !(math.Abs(got-w) <= 8*precision(y.DType)*max(1, math.Abs(w))) {
			t.Fatalf("%s of %v: element %d is %v, want %v", name, y.Type, i, got, w)
		}
	}
}

func TestNormalizationsEqualTheirDefinitions(t *testing.T) {
	atEachLevel(t, "TestNormalizationsEqualTheirDefinitions", func(t *testing.T) {
		for _, d := range []tensor.DType{tensor.Float32, tensor.Float64, tensor.Float16} {
			x := nonZero(d, 4, 2, 6, 5, 7)
			channel, groups := nonZero(d, 5, 6), nonZero(d, 6, 3)
			at := func(f *tensor.Tensor, i int) float64 { return tensortest.At(f, i) }
			instance := normalizedBy(x, 1e-5, false, func(c []int) int { return c[0]*6 + c[1] })
			group := normalizedBy(x, 1e-3, false, func(c []int) int { return c[0]*6 + c[1]/2 })
			group18, group21 := make([]float64, len(group)), make([]float64, len(group))
			for i, c := range coordinates(x.Shape) {
				instance[i] = instance[i]*at(channel, c[1]) + at(channel, c[1])
				group18[i] = group[i]*at(groups, c[1]/2) + at(groups, c[1]/2)
				group21[i] = group[i]*at(channel, c[1]) + at(channel, c[1])
			}
			checkNear(t, "InstanceNormalization", apply(t, build(t, "InstanceNormalization", 22), x, channel, channel)[0], instance)
			attrs := []any{"num_groups", 3, "epsilon", float32(1e-3)}
			checkNear(t, "GroupNormalization-18", apply(t, build(t, "GroupNormalization", 18, attrs...), x, groups, groups)[0], group18)
			checkNear(t, "GroupNormalization-21", apply(t, build(t, "GroupNormalization", 21, attrs...), x, channel, channel)[0], group21)
			for _, a := range []int{0, 2, -1} {
				rows := x.Shape[:(a+4)%4].Elems()
				row := func(c []int) int { return index(x.Shape, c...) / (x.Shape.Elems() / rows) }
				for _, s := range [][]int{{5, 7}, {7}, {5, 1}, {}, {2, 6, 5, 7}} {
					scale := nonZero(d, 7, s...)
					layer := normalizedBy(x, 1e-5, false, row)
					rms := normalizedBy(x, 1e-5, true, row)
					for i, c := range coordinates(x.Shape) {
						layer[i] = layer[i]*broadcastAt(scale, c) + broadcastAt(scale, c)
						rms[i] *= broadcastAt(scale, c)
					}
					ys := apply(t, build(t, "LayerNormalization", 17, "axis", a), x, scale, scale)
					checkNear(t, "LayerNormalization", ys[0], layer)
					if len(ys) != 3 || ys[1].Shape.Elems() != rows || ys[2].Shape.Elems() != rows {
						t.Fatalf("LayerNormalization gives %d outputs, want y, mean and inverse", len(ys))
					}
					mean := sumOf(listsOf(x, []int{0, 1, 2, 3}[(a+4)%4:])[0], func(v float64) float64 { return v }) / float64(x.Shape.Elems()/rows)
					checkNear(t, "mean", ys[1], []float64{mean})
					checkNear(t, "RMSNormalization", apply(t, build(t, "RMSNormalization", 23, "axis", a), x, scale)[0], rms)
				}
			}
			if d == tensor.Float64 {
				continue // the 1e-9 that MeanVarianceNormalization adds shows
			}
			plain := normalizedBy(x, 0, false, func(c []int) int { return c[1] })
			checkNear(t, "MeanVarianceNormalization", apply(t, build(t, "MeanVarianceNormalization", 13), x)[0], plain)
			plain = normalizedBy(x, 0, false, func(c []int) int { return c[0]*5 + c[2] })
			checkNear(t, "MeanVarianceNormalization", apply(t, build(t, "MeanVarianceNormalization", 13, "axes", []int{1, 3}), x)[0], plain)
		}
	})
}

func TestLocalResponseNormalizationSumsOverChannels(t *testing.T) {
	atEachLevel(t, "TestLocalResponseNormalizationSumsOverChannels", func(t *testing.T) {
		for _, d := range floatTypes {
			for _, size := range []int{1, 2, 3, 5, 40} {
				for _, beta := range []float32{0.75, 0.5} {
					x := nonZero(d, 8, 2, 7, 3, 5)
					want := make([]float64, x.Shape.Elems())
					for i, c := range coordinates(x.Shape) {
						sum := 0.0
						for k := max(0, c[1]-(size-1)/2); k <= min(6, c[1]+size/2); k++ {
							v := tensortest.At(x, index(x.Shape, c[0], k, c[2], c[3]))
							sum += v * v
						}
						want[i] = tensortest.At(x, i) / math.Pow(2+0.25/float64(size)*sum, float64(beta))
					}
					op := build(t, "LRN", 13, "size", size, "alpha", float32(0.25), "beta", beta, "bias", float32(2))
					checkNear(t, "LRN", apply(t, op, x)[0], want)
				}
			}
		}
	})
}

func TestNormsOfRowsWindowsAndChannels(t *testing.T) {
	for _, d := range floatTypes {
		x := nonZero(d, 9, 2, 20, 5, 4)
		for _, p := range []int{1, 2, 3} {
			root := func(list []float64) float64 {
				return math.Pow(sumOf(list, func(v float64) float64 { return math.Pow(v, float64(p)) }), 1/float64(p))
			}
			var want []float64
			for _, list := range listsOf(x, []int{2, 3}) {
				want = append(want, root(list))
			}
			op := build(t, "GlobalLpPool", 7, "p", p)
			y := apply(t, op, x)[0]
			checkNear(t, "GlobalLpPool", y, want)
			if d == tensor.Float32 {
				if z, blocked := applyBlocked(t, op, x); !blocked || !z.Identical(y) {
					t.Errorf("GlobalLpPool: blocked is %v, want the same bits in NCHW16c", blocked)
				}
			}
			checkNear(t, "LpPool", apply(t, build(t, "LpPool", 18, "p", p, "kernel_shape", []int{5, 4}), x)[0], want)
			if p == 3 {
				continue
			}
			for i, c := range coordinates(x.Shape) {
				lists := listsOf(x, []int{1})
				if i == 0 {
					want = make([]float64, x.Shape.Elems())
				}
				if i < 40 { // of the first rows
					want[i] = tensortest.At(x, i) / root(lists[(c[0]*5+c[2])*4+c[3]])
				}
			}
			checkNear(t, "LpNormalization", apply(t, build(t, "LpNormalization", 22, "p", p, "axis", 1), x)[0], want[:40])
		}
		var want []float64
		for _, list := range listsOf(x, []int{2, 3}) {
			want = append(want, reductions["ReduceMax"](list))
		}
		checkNear(t, "GlobalMaxPool", apply(t, build(t, "GlobalMaxPool", 22), x)[0], want)
		zeros := tensor.New(d, 2, 3)
		if y := apply(t, build(t, "LpNormalization", 7), zeros)[0]; !y.Identical(zeros) {
			t.Errorf("LpNormalization of zeros: got %v, want zeros", y.Raw)
		}
	}
}
