//go:build !riscv64

package onnxgo

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"

	gorgonia "gorgonia.org/tensor"

	"scission/engine/tensor"
)

// fromGorgonia returns t as a tensor of ours. It shares memory with t where the
// elements lie row-major and without gaps.
func fromGorgonia(t gorgonia.Tensor) (*tensor.Tensor, error) {
	d, ok := t.(*gorgonia.Dense)
	if !ok || !d.IsNativelyAccessible() {
		return nil, fmt.Errorf("got a %T, want a *tensor.Dense in memory that Go can read", t)
	}
	switch data := d.Data().(type) {
	case []float32:
		return elements(d, tensor.Float32, data)
	case float32:
		return elements(d, tensor.Float32, []float32{data})
	case []float64:
		return elements(d, tensor.Float64, data)
	case float64:
		return elements(d, tensor.Float64, []float64{data})
	case []int8:
		return elements(d, tensor.Int8, data)
	case int8:
		return elements(d, tensor.Int8, []int8{data})
	case []int16:
		return elements(d, tensor.Int16, data)
	case int16:
		return elements(d, tensor.Int16, []int16{data})
	case []int32:
		return elements(d, tensor.Int32, data)
	case int32:
		return elements(d, tensor.Int32, []int32{data})
	case []int64:
		return elements(d, tensor.Int64, data)
	case int64:
		return elements(d, tensor.Int64, []int64{data})
	case []uint8:
		return elements(d, tensor.Uint8, data)
	case uint8:
		return elements(d, tensor.Uint8, []uint8{data})
	case []uint16:
		return elements(d, tensor.Uint16, data)
	case uint16:
		return elements(d, tensor.Uint16, []uint16{data})
	case []uint32:
		return elements(d, tensor.Uint32, data)
	case uint32:
		return elements(d, tensor.Uint32, []uint32{data})
	case []uint64:
		return elements(d, tensor.Uint64, data)
	case uint64:
		return elements(d, tensor.Uint64, []uint64{data})
	case []bool:
		return elements(d, tensor.Bool, data)
	case bool:
		return elements(d, tensor.Bool, []bool{data})
	}
	return nil, fmt.Errorf("got elements of type %v, which no ONNX tensor has", d.Dtype())
}

// elements returns a tensor of d's shape with the elements that d has in data.
func elements[T tensor.Elem](d *gorgonia.Dense, dtype tensor.DType, data []T) (*tensor.Tensor, error) {
	typ, err := tensor.CheckType(dtype, tensor.Shape(d.Shape()).Clone(), math.MaxInt)
	if err != nil {
		return nil, err
	}
	n, strides := typ.Shape.Elems(), d.Strides()
	// Vectors have one stride in some of gorgonia's tensors.
	oneStride := len(strides) != len(typ.Shape) || d.IsScalar()
	if !d.RequiresIterator() && !d.DataOrder().IsColMajor() || oneStride {
		if len(data) != n {
			return nil, fmt.Errorf("got %d elements for shape %v", len(data), typ.Shape)
		}
		return &tensor.Tensor{Type: typ, Raw: unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), typ.Bytes())}, nil
	}
	t := tensor.New(dtype, typ.Shape...)
	at, from := make([]int, len(typ.Shape)), 0
	to := tensor.View[T](t)
	for i := range to {
		if from < 0 || from >= len(data) {
			return nil, fmt.Errorf("strides %v of shape %v lead beyond %d elements", strides, typ.Shape, len(data))
		}
		to[i] = data[from]
		for k := len(at) - 1; k >= 0; k-- {
			at[k]++
			from += strides[k]
			if at[k] < typ.Shape[k] {
				break
			}
			from -= strides[k] * at[k]
			at[k] = 0
		}
	}
	return t, nil
}

// toGorgonia returns a copy of t.
func toGorgonia(t *tensor.Tensor) (gorgonia.Tensor, error) {
	if t.Shape.Elems() == 0 {
		return nil, fmt.Errorf("the result is %v, and gorgonia's tensors have at least one element", t.Type)
	}
	switch t.DType {
	case tensor.Float32:
		return dense[float32](t), nil
	case tensor.Float64:
		return dense[float64](t), nil
	case tensor.Int8:
		return dense[int8](t), nil
	case tensor.Int16:
		return dense[int16](t), nil
	case tensor.Int32:
		return dense[int32](t), nil
	case tensor.Int64:
		return dense[int64](t), nil
	case tensor.Uint8:
		return dense[uint8](t), nil
	case tensor.Uint16:
		return dense[uint16](t), nil
	case tensor.Uint32:
		return dense[uint32](t), nil
	case tensor.Uint64:
		return dense[uint64](t), nil
	case tensor.Bool:
		return dense[bool](t), nil
	}
	return nil, errors.New("the result is of " + t.DType.String() + ", of which gorgonia has no tensors")
}

func dense[T tensor.Elem](t *tensor.Tensor) gorgonia.Tensor {
	return gorgonia.New(gorgonia.WithShape(t.Shape...), gorgonia.WithBacking(slices.Clone(tensor.View[T](t))))
}
