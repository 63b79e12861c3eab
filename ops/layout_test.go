package ops

import (
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func TestPackPutsChannelsIntoLanes(t *testing.T) {
	for _, shape := range [][]int{{1, 1, 1, 1}, {2, 20, 3, 5}, {1, 16, 4, 4}, {3, 33, 7}} {
		x := reals(source(uint64(shape[1])), shape...)
		n, c, hw := planes(shape)
		l := nchw16c{}
		blocks := (c + 15) / 16
		if got, want := l.Bytes(x.Type), n*blocks*hw*16*4; got != want {
			t.Fatalf("%v: got %d bytes, want %d", shape, got, want)
		}
		packed := execute(t, "pack", l.Pack(x.Type), []*tensor.Tensor{x}, []graph.Fact{{Type: x.Type, Layout: l}})[0]
		for i, v := range floats(packed) {
			lane, position, block, image := i%16, i/16%hw, i/16/hw%blocks, i/16/hw/blocks
			want := float32(0)
			if channel := block*16 + lane; channel < c {
				want = x.F32()[(image*c+channel)*hw+position]
			}
			if v != want {
				t.Fatalf("%v: element %d of the blocks is %v, want %v", shape, i, v, want)
			}
		}
		if y := execute(t, "unpack", l.Unpack(x.Type), []*tensor.Tensor{packed}, []graph.Fact{{Type: x.Type}})[0]; !y.Identical(x) {
			t.Errorf("%v: unpacking does not give back what was packed", shape)
		}
	}
}

// The pad lanes of a value must not make it larger than a graph may have.
func TestBlockableBoundsThePadLanes(t *testing.T) {
	for _, c := range []struct {
		d    tensor.DType
		s    tensor.Shape
		want bool
	}{
		{tensor.Float32, tensor.Shape{1, 3, 8, 8}, true},
		{tensor.Float32, tensor.Shape{1, 3, 8}, true},
		{tensor.Float32, tensor.Shape{1, 3}, false},
		{tensor.Float32, tensor.Shape{1, 3, 8, 8, 8}, false},
		{tensor.Float64, tensor.Shape{1, 3, 8, 8}, false},
		{tensor.Float32, tensor.Shape{1, 0, 8, 8}, false},
		{tensor.Float32, tensor.Shape{1, 1, 1 << 12, 1 << 12}, true},
		{tensor.Float32, tensor.Shape{1, 1, 1 << 14, 1 << 13}, false},
	} {
		if got := blockable(tensor.Type{DType: c.d, Shape: c.s}); got != c.want {
			t.Errorf("blockable(%v%v) = %v, want %v", c.d, c.s, got, c.want)
		}
	}
}

func TestSpansCoverEverythingOnce(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 17, 1000} {
		for count := 1; count <= maxChunks; count++ {
			next := 0
			for i := range count {
				lo, hi := span(n, count, i, 16)
				if lo != next || hi < lo || lo%16 != 0 && lo != n {
					t.Fatalf("span(%d, %d, %d) = [%d, %d), want a multiple of 16 from %d", n, count, i, lo, hi, next)
				}
				next = hi
			}
			if next != n {
				t.Fatalf("spans of %d in %d end at %d", n, count, next)
			}
		}
	}
}

func TestWorkIsCutByItsTime(t *testing.T) {
	for _, c := range []struct {
		n    int
		ns   float64
		want int
	}{
		{0, 1, 1}, {1000, 1, 1}, {9_999, 1, 1}, {10_000, 1, 2}, {1 << 30, 1, maxChunks}, {3, 1e9, 3}, {1, 1e9, 1},
	} {
		if got := chunks(c.n, c.ns); got != c.want {
			t.Errorf("chunks(%d, %g) = %d, want %d", c.n, c.ns, got, c.want)
		}
	}
}
