package ops

import (
	"slices"

	"scission/engine/graph"
)

// integerTypes are the element types of integers.
var integerTypes = slices.Concat(intTypes, smallTypes)

// BitwiseNot is y = x with every bit inverted, for integers; see elementwise.
//
// Source: ONNX BitwiseNot-18.
func init() {
	register("BitwiseNot", 18, func(*Attrs) graph.Op {
		return elementwise{name: "BitwiseNot", types: integerTypes, function: function{
			signed:   func(x int64) int64 { return ^x },
			unsigned: func(x uint64) uint64 { return ^x },
		}}
	})
}
