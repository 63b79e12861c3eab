package zoo

import (
	"fmt"
	"slices"

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
	g *graph.Graph
	// weights makes the trained tensor of the given name and shape, uniform
	// within radius of mean.
	weights func(name string, mean, radius float32, shape ...int) *tensor.Tensor
	unnamed map[string]int // layers of each kind that unique has named
	err     error
}

// unique is the name that Keras gives a layer which its network does not name:
// kind, then kind_1 and so on, in the order in which the layers are made.
func (b *builder) unique(kind string) string {
	n := b.unnamed[kind]
	b.unnamed[kind]++
	if n == 0 {
		return kind
	}
	return fmt.Sprintf("%s_%d", kind, n)
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

// rectangle is a window of h x w that moves by one pixel, with "same" padding.
func rectangle(h, w int) window { return window{h: h, w: w, stride: 1, same: true} }

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

// weight is a trained tensor whose values are uniform within radius of mean.
func (b *builder) weight(name string, mean, radius float32, shape ...int) *graph.Value {
	return graph.Constant(name, b.weights(name, mean, radius, shape...))
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

// depthwise convolves each channel with a kernel of its own, without bias. It
// scales like conv.
func (b *builder) depthwise(name string, x *graph.Value, w window) *graph.Value {
	return b.eachChannel(name, x, w, heRadius(w.h*w.w))
}

// eachChannel convolves each channel with a kernel of its own whose values lie
// within radius of zero.
func (b *builder) eachChannel(name string, x *graph.Value, w window, radius float32) *graph.Value {
	channels := x.Shape[1]
	kernel := b.weight(name+"/depthwise_kernel", 0, radius, channels, 1, w.h, w.w)
	attrs := append(w.attrs(x.Shape), graph.Attr{Name: "group", Value: int64(channels)})
	return b.node(name, "Conv", attrs, x, kernel)
}

// separable convolves each channel with a kernel of its own, then the result
// with kernels of 1 x 1, all without bias. Both together scale like conv.
func (b *builder) separable(name string, x *graph.Value, filters int, w window) *graph.Value {
	channels := x.Shape[1]
	x = b.eachChannel(name, x, w, heRadius(2*w.h*w.w))
	kernel := b.weight(name+"/pointwise_kernel", 0, heRadius(channels), filters, channels, 1, 1)
	return b.node(name+"/pointwise", "Conv", valid(1, 1).attrs(x.Shape), x, kernel)
}

// batchNorm normalises each channel by given statistics and scales it by
// about gain. A gain below one keeps sums of many residual branches in bounds.
func (b *builder) batchNorm(name string, x *graph.Value, epsilon, gain float32) *graph.Value {
	return b.normalise(name, x, epsilon, gain, 1, b.weight(name+"/gamma", gain, gain*spread, x.Shape[1]))
}

// neutralScale ends the name of a constant that BatchNormalization needs where
// the Keras layer has no trained scale.
const neutralScale = "/ones"

// batchNormUnscaled is batchNorm without a trained scale: the gain lies in the
// statistics.
func (b *builder) batchNormUnscaled(name string, x *graph.Value, epsilon, gain float32) *graph.Value {
	ones := slices.Repeat([]float32{1}, x.Shape[1])
	return b.normalise(name, x, epsilon, gain, 1/(gain*gain), graph.Constant(name+neutralScale, tensor.Of(ones, len(ones))))
}

// normalise has the layer's scale as gamma and variances of about variance.
func (b *builder) normalise(name string, x *graph.Value, epsilon, gain, variance float32, gamma *graph.Value) *graph.Value {
	channels := x.Shape[1]
	return b.node(name, "BatchNormalization", []graph.Attr{{Name: "epsilon", Value: epsilon}}, x, gamma,
		b.weight(name+"/beta", 0, gain*spread, channels),
		b.weight(name+"/moving_mean", 0, spread, channels),
		b.weight(name+"/moving_variance", variance, variance*spread, channels))
}

func (b *builder) relu(name string, x *graph.Value) *graph.Value { return b.node(name, "Relu", nil, x) }

// relu6 clips to the range from 0 to 6.
func (b *builder) relu6(name string, x *graph.Value) *graph.Value {
	return b.node(name, "Clip", nil, x,
		graph.Constant(name+"/min", tensor.Scalar[float32](0)),
		graph.Constant(name+"/max", tensor.Scalar[float32](6)))
}

// zeroPad puts rows and columns of zeros around the images. A negative number
// takes rows or columns away.
func (b *builder) zeroPad(name string, x *graph.Value, top, left, bottom, right int) *graph.Value {
	pads := []int64{0, 0, int64(top), int64(left), 0, 0, int64(bottom), int64(right)}
	return b.node(name, "Pad", nil, x, graph.Constant(name+"/pads", tensor.Of(pads, len(pads))))
}

// halvingPad is the padding that Keras' mobile networks put before a window of
// k x k that moves by two pixels, so that the image's size is halved and rounded
// up.
func (b *builder) halvingPad(name string, x *graph.Value, k int) *graph.Value {
	before := func(size int) int { return k/2 - 1 + size%2 }
	return b.zeroPad(name, x, before(x.Shape[2]), before(x.Shape[3]), k/2, k/2)
}

func (b *builder) maxPool(name string, x *graph.Value, w window) *graph.Value {
	return b.node(name, "MaxPool", w.attrs(x.Shape), x)
}

// averagePool averages the pixels of each window; padding does not count.
func (b *builder) averagePool(name string, x *graph.Value, w window) *graph.Value {
	return b.node(name, "AveragePool", w.attrs(x.Shape), x)
}

func (b *builder) add(name string, x, y *graph.Value) *graph.Value {
	return b.node(name, "Add", nil, x, y)
}

// concat puts the channels of xs one behind the other.
func (b *builder) concat(name string, xs ...*graph.Value) *graph.Value {
	return b.node(name, "Concat", []graph.Attr{{Name: "axis", Value: int64(1)}}, xs...)
}

// globalAveragePool averages each channel: [N, C, H, W] to [N, C].
func (b *builder) globalAveragePool(name string, x *graph.Value) *graph.Value {
	return b.flatten(name+"/flatten", b.node(name, "GlobalAveragePool", nil, x))
}

func (b *builder) flatten(name string, x *graph.Value) *graph.Value {
	return b.node(name, "Flatten", nil, x)
}

// reshape gives each image of the batch the given shape.
func (b *builder) reshape(name string, x *graph.Value, shape ...int64) *graph.Value {
	shape = append([]int64{int64(x.Shape[0])}, shape...)
	return b.node(name, "Reshape", nil, x, graph.Constant(name+"/shape", tensor.Of(shape, len(shape))))
}

// dropout leaves x as it is: it drops values only while a network is trained.
func (b *builder) dropout(name string, x *graph.Value) *graph.Value {
	return b.node(name, "Dropout", nil, x)
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
	return b.softmax(name+"/softmax", b.dense(name, x, classes))
}

// softmax makes probabilities of x [N, classes].
func (b *builder) softmax(name string, x *graph.Value) *graph.Value {
	return b.node(name, "Softmax", nil, x)
}
