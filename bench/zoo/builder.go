package zoo

import (
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/ops"
)

// opset is the version of ONNX's operators that the networks are made of.
const opset = 13

// spread is how far biases, shifts and the statistics of BatchNormalization
// lie from their neutral values at most.
const spread = 0.2

// builder appends layers to a graph. Each method adds one Keras layer and
// returns its output. The first error is kept in err; after it, the methods do
// nothing and return their input.
type builder struct {
	g   *graph.Graph
	err error
}

// window is how a convolution or pooling layer slides over an image.
type window struct {
	h, w   int  // size
	stride int  // in both directions
	same   bool // zero padding such that the output has ceil(input/stride) pixels; otherwise none
}

// valid is a window of k x k without padding.
func valid(k, stride int) window { return window{h: k, w: k, stride: stride} }

// same is a window of k x k with Keras' "same" padding.
func same(k, stride int) window { return window{h: k, w: k, stride: stride, same: true} }

// attrs are the ONNX attributes for a window over images of the shape
// [N, C, H, W]. Where the padding is odd, the larger part is at the bottom and
// at the right, as in Keras.
func (w window) attrs(in tensor.Shape) []graph.Attr {
	var top, left, bottom, right int
	if w.same {
		top, bottom = samePads(in[2], w.h, w.stride)
		left, right = samePads(in[3], w.w, w.stride)
	}
	return []graph.Attr{
		{Name: "kernel_shape", Value: []int64{int64(w.h), int64(w.w)}},
		{Name: "strides", Value: []int64{int64(w.stride), int64(w.stride)}},
		{Name: "pads", Value: []int64{int64(top), int64(left), int64(bottom), int64(right)}},
	}
}

func samePads(in, kernel, stride int) (before, after int) {
	out := (in + stride - 1) / stride
	total := max((out-1)*stride+kernel-in, 0)
	return total / 2, total - total/2
}

// node adds the ONNX operator op.
func (b *builder) node(name, op string, attrs []graph.Attr, in ...*graph.Value) *graph.Value {
	if b.err != nil {
		return in[0]
	}
	o, err := ops.New("", op, opset, attrs)
	if err != nil {
		b.err = err
		return in[0]
	}
	out, err := b.g.Add(name, o, &graph.Spec{Type: op, Version: opset, Attrs: attrs}, in, name)
	if err != nil {
		b.err = err
		return in[0]
	}
	return out[0]
}

// weight makes a trained tensor whose values are uniform within radius of mean.
func (b *builder) weight(name string, mean, radius float32, shape ...int) *graph.Value {
	t := tensor.New(tensor.Float32, shape...)
	if b.err == nil {
		fill(t.F32(), seed(b.g.Name, name), mean, radius)
	}
	return graph.Constant(name, t)
}

// conv convolves with a kernel for each of the filters. Its output is twice
// the mean square of its input, which a rectifier behind it then halves.
func (b *builder) conv(name string, x *graph.Value, filters int, w window, bias bool) *graph.Value {
	channels := x.Shape[1]
	in := []*graph.Value{x, b.weight(name+"/kernel", 0, heRadius(channels*w.h*w.w), filters, channels, w.h, w.w)}
	if bias {
		in = append(in, b.weight(name+"/bias", 0, spread, filters))
	}
	return b.node(name, "Conv", w.attrs(x.Shape), in...)
}

// depthwise convolves each channel with a kernel of its own, without bias.
func (b *builder) depthwise(name string, x *graph.Value, w window) *graph.Value {
	channels := x.Shape[1]
	kernel := b.weight(name+"/depthwise_kernel", 0, heRadius(w.h*w.w), channels, 1, w.h, w.w)
	attrs := append(w.attrs(x.Shape), graph.Attr{Name: "group", Value: int64(channels)})
	return b.node(name, "Conv", attrs, x, kernel)
}

// batchNorm normalises each channel by given statistics and scales it by
// about gain. A gain below one keeps sums of many residual branches in bounds.
func (b *builder) batchNorm(name string, x *graph.Value, epsilon, gain float32) *graph.Value {
	channels := x.Shape[1]
	return b.node(name, "BatchNormalization", []graph.Attr{{Name: "epsilon", Value: epsilon}}, x,
		b.weight(name+"/gamma", gain, gain*spread, channels),
		b.weight(name+"/beta", 0, gain*spread, channels),
		b.weight(name+"/moving_mean", 0, spread, channels),
		b.weight(name+"/moving_variance", 1, spread, channels))
}

func (b *builder) relu(name string, x *graph.Value) *graph.Value { return b.node(name, "Relu", nil, x) }

// relu6 clips to the range from 0 to 6.
func (b *builder) relu6(name string, x *graph.Value) *graph.Value {
	return b.node(name, "Clip", nil, x,
		graph.Constant(name+"/min", tensor.Scalar[float32](0)),
		graph.Constant(name+"/max", tensor.Scalar[float32](6)))
}

// zeroPad puts rows and columns of zeros around the images.
func (b *builder) zeroPad(name string, x *graph.Value, top, left, bottom, right int) *graph.Value {
	pads := []int64{0, 0, int64(top), int64(left), 0, 0, int64(bottom), int64(right)}
	return b.node(name, "Pad", nil, x, graph.Constant(name+"/pads", tensor.Of(pads, len(pads))))
}

func (b *builder) maxPool(name string, x *graph.Value, w window) *graph.Value {
	return b.node(name, "MaxPool", w.attrs(x.Shape), x)
}

func (b *builder) add(name string, x, y *graph.Value) *graph.Value {
	return b.node(name, "Add", nil, x, y)
}

// globalAveragePool averages each channel: [N, C, H, W] to [N, C].
func (b *builder) globalAveragePool(name string, x *graph.Value) *graph.Value {
	return b.flatten(name+"/flatten", b.node(name, "GlobalAveragePool", nil, x))
}

func (b *builder) flatten(name string, x *graph.Value) *graph.Value {
	return b.node(name, "Flatten", nil, x)
}

// dense is fully connected. It scales like conv.
func (b *builder) dense(name string, x *graph.Value, units int) *graph.Value {
	features := x.Shape[1]
	return b.node(name, "Gemm", nil, x,
		b.weight(name+"/kernel", 0, heRadius(features), features, units),
		b.weight(name+"/bias", 0, spread, units))
}

// classify is the last layer of every network: fully connected with softmax.
func (b *builder) classify(name string, x *graph.Value) *graph.Value {
	return b.node(name+"/softmax", "Softmax", nil, b.dense(name, x, classes))
}
