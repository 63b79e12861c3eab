package ops

import (
	"fmt"
	"math"
	"slices"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// checkInputs verifies that there are at most most inputs, that the first need
// of them are given, and that all are dense tensors of numbers.
func checkInputs(in []graph.Fact, need, most int) error {
	for i, f := range in {
		if f.DType == tensor.Packed {
			return fmt.Errorf("%w: input %d is no tensor of numbers", ErrUnsupported, i)
		}
	}
	return countInputs(in, need, most)
}

// countInputs is checkInputs for inputs of any kind.
func countInputs(in []graph.Fact, need, most int) error {
	if len(in) > most {
		return fmt.Errorf("got %d inputs, want at most %d", len(in), most)
	}
	for i := range need {
		if input(in, i).Missing() {
			return fmt.Errorf("input %d is missing, want at least %d inputs", i, need)
		}
	}
	return nil
}

// input returns in[i], or the zero Fact where the optional input is omitted.
func input(in []graph.Fact, i int) graph.Fact {
	if i < len(in) {
		return in[i]
	}
	return graph.Fact{}
}

// operand returns in[i], or nil where the optional input is omitted.
func operand(in []*tensor.Tensor, i int) *tensor.Tensor {
	if i < len(in) {
		return in[i]
	}
	return nil
}

// checkType verifies that the value called what has one of the element types.
func checkType(what string, got tensor.DType, want ...tensor.DType) error {
	if !slices.Contains(want, got) {
		return fmt.Errorf("%w element type %v of %s, want one of %v", ErrUnsupported, got, what, want)
	}
	return nil
}

// checkShape verifies that the value called what has the shape want.
func checkShape(what string, got graph.Fact, want ...int) error {
	if !got.Shape.Equal(want) {
		return fmt.Errorf("%s has shape %v, want %v", what, got.Shape, tensor.Shape(want))
	}
	return nil
}

// The element types that operators accept.
var (
	floatTypes   = []tensor.DType{tensor.Float32, tensor.Float64}
	halfTypes    = []tensor.DType{tensor.Float16, tensor.BFloat16}
	realTypes    = slices.Concat(floatTypes, halfTypes)
	intTypes     = []tensor.DType{tensor.Int32, tensor.Int64, tensor.Uint32, tensor.Uint64}
	smallTypes   = []tensor.DType{tensor.Int8, tensor.Uint8, tensor.Int16, tensor.Uint16}
	numericTypes = slices.Concat(realTypes, intTypes, smallTypes)
)

// flops multiplies the factors of a count of floating-point operations. It
// stops at the largest int64.
func flops(factors ...int) int64 {
	n := 1.0
	for _, f := range factors {
		n *= float64(f)
	}
	if n >= math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(n)
}

// checkRank verifies that x has a batch and channels.
func checkRank(x graph.Fact) error {
	if len(x.Shape) < 2 {
		return fmt.Errorf("x has shape %v, want at least 2 dimensions", x.Shape)
	}
	return nil
}
