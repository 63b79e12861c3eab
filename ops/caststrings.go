package ops

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// stringType is TensorProto's number for strings.
const stringType = 8

// castStrings is a cast to strings, or from strings to type to; Undefined means
// the type of a second input.
//
// A number becomes the shortest decimal that is read as the same number, as
// Python writes it: 1.0, 1e-05, nan, inf. A decimal of either notation becomes
// the nearest number; of an integer type the fraction is dropped.
//
// Source: ONNX Cast-9, -13, -19, CastLike-15.
func castStrings(to tensor.DType) graph.Op {
	inputs := 1
	if to == tensor.Undefined {
		inputs = 2
	}
	return &onValues{name: "Cast of strings", need: inputs, most: inputs, run: func(in []*tensor.Tensor) ([]*tensor.Tensor, error) {
		to := to
		if to == tensor.Undefined {
			to = in[1].DType
		}
		switch {
		case in[0].DType == to:
			return in[:1], nil
		case to == tensor.Packed:
			return toStrings(in[0])
		}
		return fromStrings(in[0], to)
	}}
}

func toStrings(x *tensor.Tensor) ([]*tensor.Tensor, error) {
	write, err := writer(x)
	if err != nil {
		return nil, err
	}
	if x.Shape.Elems() > tensor.MaxStrings {
		return nil, fmt.Errorf("%d strings, limit is %d", x.Shape.Elems(), tensor.MaxStrings)
	}
	list := make([]string, x.Shape.Elems())
	for i := range list {
		list[i] = write(i)
	}
	return packStrings(list, x.Shape...)
}

// writer returns what writes element i of x.
func writer(x *tensor.Tensor) (func(i int) string, error) {
	switch d := x.DType; {
	case d == tensor.Bool:
		return func(i int) string {
			if x.Raw[i] != 0 {
				return "True"
			}
			return "False"
		}, nil
	case d.IsFloat():
		bits, read := 32, floatAt(d)
		if d == tensor.Float64 {
			bits = 64
		}
		return func(i int) string { return decimal(read(x.Raw, i), bits) }, nil
	}
	wide, err := graph.Apply(cast{to: tensor.Int64}, 0, x)
	if err != nil {
		return nil, err
	}
	list := wide[0].I64()
	if x.DType == tensor.Uint64 {
		return func(i int) string { return strconv.FormatUint(uint64(list[i]), 10) }, nil
	}
	return func(i int) string { return strconv.FormatInt(list[i], 10) }, nil
}

// From these powers of ten on, or below, decimals have an exponent.
const (
	bigDecimal   = 1e16
	smallDecimal = 1e-4
)

// decimal writes a number of 32 or 64 bits as Python does.
func decimal(v float64, bits int) string {
	switch abs := math.Abs(v); {
	case abs != abs:
		return "nan"
	case math.IsInf(v, 0):
		return strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(v, 'g', -1, bits), "+"))
	case abs >= bigDecimal || abs < smallDecimal && abs > 0:
		return strconv.FormatFloat(v, 'e', -1, bits)
	}
	s := strconv.FormatFloat(v, 'f', -1, bits)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func fromStrings(x *tensor.Tensor, to tensor.DType) ([]*tensor.Tensor, error) {
	list, shape, err := stringsOf("x", x)
	if err != nil {
		return nil, err
	}
	if to == tensor.Int64 || to == tensor.Uint64 {
		y := tensor.New(to, shape...)
		for i, s := range list {
			v, err := parseInteger(strings.TrimSpace(s), to == tensor.Uint64)
			if err != nil {
				return nil, err
			}
			tensor.Cast[uint64](y.Raw)[i] = v
		}
		return []*tensor.Tensor{y}, nil
	}
	y := tensor.New(tensor.Float64, shape...)
	for i, s := range list {
		if tensor.View[float64](y)[i], err = strconv.ParseFloat(strings.TrimSpace(s), 64); err != nil && !math.IsInf(tensor.View[float64](y)[i], 0) {
			return nil, err
		}
	}
	return graph.Apply(cast{to: to}, 0, y)
}

// parseInteger returns the bits of a decimal as 64-bit integer.
func parseInteger(s string, unsigned bool) (uint64, error) {
	if unsigned {
		if v, err := strconv.ParseUint(s, 10, 64); err == nil {
			return v, nil
		}
	} else if v, err := strconv.ParseInt(s, 10, 64); err == nil {
		return uint64(v), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if unsigned {
		return toUint64(f), err
	}
	return uint64(toInt64(f)), err
}
