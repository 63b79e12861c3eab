package ops

import (
	"errors"
	"math"
	"strings"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// turned returns the transpose of a matrix.
func turned(x *tensor.Tensor) *tensor.Tensor {
	m, n := x.Shape[0], x.Shape[1]
	y := tensor.New(x.DType, n, m)
	for i := range m {
		for j := range n {
			copy(y.Raw[(j*m+i)*x.DType.Size():], x.Raw[(i*n+j)*x.DType.Size():][:x.DType.Size()])
		}
	}
	return y
}

func TestGemmIsItsDefinition(t *testing.T) {
	atEachLevel(t, "TestGemmIsItsDefinition", func(t *testing.T) {
		for i, c := range []struct {
			m, n, k     int
			alpha, beta float32
			c           []int // nil: omitted
		}{
			{1, 40, 30, 1, 1, []int{40}},
			{5, 33, 17, 1, 1, []int{5, 33}},
			{5, 33, 17, 1, 1, []int{5, 1}},
			{5, 33, 17, 2, 3, []int{1, 33}},
			{5, 33, 17, 2, 3, []int{}},
			{5, 33, 17, 2, 3, []int{1}},
			{5, 33, 17, 4, 1, []int{5, 33}},
			{3, 2, 300, 0.5, 0, []int{2}},
			{4, 6, 8, 1, 1, nil},
			{4, 6, 0, 1, 2, []int{6}},
			{0, 6, 3, 1, 1, []int{6}},
			{4, 0, 3, 1, 1, []int{1, 1}},
		} {
			r := source(uint64(i))
			a, b := reals(r, c.m, c.k), reals(r, c.k, c.n)
			var bias *tensor.Tensor
			if c.c != nil {
				bias = reals(r, c.c...)
			}
			var want, magnitude []float64
			for y := range c.m {
				for x := range c.n {
					sum, abs := 0.0, 0.0
					for p := range c.k {
						v := float64(c.alpha) * tensortest.At(a, y*c.k+p) * tensortest.At(b, p*c.n+x)
						sum, abs = sum+v, abs+math.Abs(v)
					}
					if bias != nil {
						v := float64(c.beta) * broadcastAt(bias, []int{y, x})
						sum, abs = sum+v, abs+math.Abs(v)
					}
					want, magnitude = append(want, sum), append(magnitude, abs)
				}
			}
			for flags := range 16 {
				transA, transB := flags&1, flags>>1&1
				op := build(t, "Gemm", 13, "alpha", c.alpha, "beta", c.beta, "transA", transA, "transB", transB)
				x, w := a, b
				if transA == 1 {
					x = turned(a)
				}
				if transB == 1 {
					w = turned(b)
				}
				in := []any{x, w}
				if flags&4 != 0 {
					in[1] = known{w}
				}
				if bias != nil {
					in = append(in, bias)
					if flags&8 != 0 {
						in[2] = known{bias}
					}
				}
				checkClose(t, op.String(), apply(t, op, in...)[0], want, magnitude, c.k+4)
				for j, v := range in {
					switch v := v.(type) {
					case *tensor.Tensor:
						in[j] = wide(v)
					case known:
						in[j] = known{wide(v.Tensor)}
					}
				}
				checkClose(t, op.String()+" in float64", apply(t, op, in...)[0], want, magnitude, c.k+4)
			}
		}
	})
}

func TestProductsOfIntegers(t *testing.T) {
	for _, d := range intTypes {
		a, b, c := nonZero(d, 1, 3, 4), nonZero(d, 2, 4, 2), nonZero(d, 3, 2)
		y := apply(t, build(t, "Gemm", 11, "alpha", float32(2), "beta", float32(3)), a, b, c)[0]
		z := apply(t, build(t, "MatMul", 9), a, b)[0]
		for i, at := range coordinates(tensor.Shape{3, 2}) {
			sum := 0.0
			for k := range 4 {
				sum += broadcastAt(a, []int{at[0], k}) * broadcastAt(b, []int{k, at[1]})
			}
			if want := 2*sum + 3*broadcastAt(c, at); tensortest.At(y, i) != want || tensortest.At(z, i) != sum {
				t.Errorf("%v: got %v and %v, want %v and %v", d, tensortest.At(y, i), tensortest.At(z, i), want, sum)
			}
		}
	}
}

func TestMatMulIsThatOfNumPy(t *testing.T) {
	atEachLevel(t, "TestMatMulIsThatOfNumPy", func(t *testing.T) {
		for i, c := range []struct{ a, b, y []int }{
			{[]int{3, 4}, []int{4, 50}, []int{3, 50}},
			{[]int{4}, []int{4, 5}, []int{5}},
			{[]int{3, 4}, []int{4}, []int{3}},
			{[]int{7}, []int{7}, []int{}},
			{[]int{2, 3, 20, 4}, []int{4, 5}, []int{2, 3, 20, 5}},
			{[]int{2, 3, 4}, []int{2, 4, 17}, []int{2, 3, 17}},
			{[]int{3, 4}, []int{2, 4, 5}, []int{2, 3, 5}},
			{[]int{2, 1, 3, 4}, []int{3, 4, 5}, []int{2, 3, 3, 5}},
			{[]int{2, 1, 3, 4}, []int{1, 3, 4, 5}, []int{2, 3, 3, 5}},
			{[]int{300, 1, 1, 2}, []int{1, 2, 2, 2}, []int{300, 2, 1, 2}},
			{[]int{4}, []int{3, 4, 5}, []int{3, 5}},
			{[]int{2, 3, 4}, []int{4}, []int{2, 3}},
			{[]int{2, 3, 0}, []int{0, 2}, []int{2, 3, 2}},
			{[]int{0, 3, 4}, []int{4, 2}, []int{0, 3, 2}},
			{[]int{2, 0, 4}, []int{2, 4, 5}, []int{2, 0, 5}},
		} {
			r := source(uint64(i))
			a, b := reals(r, c.a...), reals(r, c.b...)
			// With one dimension of length 1 more, all operands are matrices.
			a2, b2, y2 := *a, *b, tensor.Shape(c.y).Clone()
			if len(c.b) == 1 {
				b2.Shape = tensor.Shape{c.b[0], 1}
				y2 = append(y2, 1)
			}
			if len(c.a) == 1 {
				a2.Shape = tensor.Shape{1, c.a[0]}
				y2 = append(y2[:len(y2)-1:len(y2)-1], 1, y2[len(y2)-1])
			}
			var want, magnitude []float64
			k := c.a[len(c.a)-1]
			for _, at := range coordinates(y2) {
				head, m, n := at[:len(at)-2], at[len(at)-2], at[len(at)-1]
				sum, abs := 0.0, 0.0
				for p := range k {
					v := broadcastAt(&a2, join(head, []int{m, p})) * broadcastAt(&b2, join(head, []int{p, n}))
					sum, abs = sum+v, abs+math.Abs(v)
				}
				want, magnitude = append(want, sum), append(magnitude, abs)
			}
			op := build(t, "MatMul", 13)
			live, packed := apply(t, op, a, b)[0], apply(t, op, a, known{b})[0]
			if !live.Shape.Equal(c.y) {
				t.Fatalf("%v*%v: got %v, want %v", c.a, c.b, live.Shape, c.y)
			}
			checkClose(t, a.Type.String(), live, want, magnitude, k)
			checkClose(t, a.Type.String()+" in float64", apply(t, op, wide(a), wide(b))[0], want, magnitude, k)
			if !packed.Identical(live) {
				t.Errorf("%v*%v: a constant b changes bits", c.a, c.b)
			}
		}
	})
}

func TestProductsRefuseWhatDoesNotFit(t *testing.T) {
	gemm, matmul := build(t, "Gemm", 13), build(t, "MatMul", 13)
	checkShapes(t, []shapeCase{
		{"inner", gemm, []any{float(2, 3), float(4, 5)}, nil},
		{"turned", build(t, "Gemm", 13, "transA", 1, "transB", 1), []any{float(3, 2), float(5, 3)}, tensor.Shape{2, 5}},
		{"rank", gemm, []any{float(2, 3, 4), float(4, 5)}, nil},
		{"c", gemm, []any{float(2, 3), float(3, 5), float(3)}, nil},
		{"c too large", gemm, []any{float(1, 3), float(3, 5), float(2, 5)}, nil},
		{"types", gemm, []any{float(2, 3), tensor.New(tensor.Int32, 3, 5)}, nil},
		{"inner", matmul, []any{float(2, 3), float(4, 5)}, nil},
		{"scalar", matmul, []any{float(), float(4, 5)}, nil},
		{"batch", matmul, []any{float(2, 1, 3), float(3, 3, 1)}, nil},
		{"types", matmul, []any{float(2, 3), tensor.New(tensor.Float64, 3, 5)}, nil},
		{"no b", matmul, []any{float(2, 3)}, nil},
	})
	small := tensor.New(tensor.Int16, 2, 2)
	for _, name := range []string{"Gemm", "MatMul"} {
		if _, err := build(t, name, 13).Infer(factsOf([]any{small, small})); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "int16") {
			t.Errorf("%s: got %v, want ErrUnsupported int16", name, err)
		}
	}
	ints := tensor.New(tensor.Int32, 2, 2)
	if _, err := build(t, "Gemm", 13, "alpha", float32(0.5)).Infer(factsOf([]any{ints, ints})); !errors.Is(err, ErrUnsupported) {
		t.Errorf("alpha 0.5 of integers: got %v, want ErrUnsupported", err)
	}
}

func TestConstantsThatAreMultipliedCanBeForgottenInParts(t *testing.T) {
	for _, c := range []struct {
		op     graph.Op
		forget bool
	}{
		{matMul{}, true},
		{matrixProduct{alpha: 1, beta: 1}, true},
		{matrixProduct{alpha: 2, beta: 1}, false}, // multiplied first
	} {
		b := tensor.New(tensor.Float32, 300, 40)
		told := 0
		in := []graph.Fact{
			{Type: tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{5, 300}}},
			{Type: b.Type, Const: b, Forget: func(part []byte) { told += len(part) }},
		}
		out, err := c.op.Infer(in)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.op.Compile(in, out); err != nil {
			t.Fatal(err)
		}
		if want := len(b.Raw); c.forget && told != want || !c.forget && told != 0 {
			t.Errorf("%v: told of %d bytes of %d, forgets: %v", c.op, told, want, c.forget)
		}
	}
}
