// Package zoo builds the networks of Keras Applications as graphs of ONNX
// operators, with seeded weights instead of trained ones, so that every
// benchmark, test and example has real networks at hand with nothing to
// download.
//
// A network has the layers, sizes and number of parameters of its Keras
// original (include_top, 1000 classes), in NCHW order. A node bears the name
// of its Keras layer; where a layer takes several nodes, the further ones are
// called layer/part, such as "fc1" and "fc1/relu". So the end of a Keras layer
// is always the end of a node.
//
// The weights are a pure function of the network's and the tensor's names and
// are the same, bit for bit, on every machine. They are scaled so that
// activations keep their magnitude through the network for inputs of about
// unit scale, and so that the outputs depend on the input.
//
// The package knows the operators by name, but neither the engine nor files.
package zoo

import (
	"errors"
	"fmt"
	"strings"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// Names of the input and the output of every network.
const (
	InputName  = "input"
	OutputName = "output"
)

// classes is the number of classes of ImageNet, which all networks tell apart.
const classes = 1000

// ErrUnknown is in the error of Build for a name that List does not have.
var ErrUnknown = errors.New("unknown network")

// Info describes a network.
type Info struct {
	Name   string       `json:"name"`   // such as "resnet50"
	Params int          `json:"params"` // trained values, the statistics of BatchNormalization included
	Input  tensor.Shape `json:"input"`  // of the only input: [1, 3, H, W] float32
}

type network struct {
	Info
	layers func(b *builder, x *graph.Value) *graph.Value
}

// networks is ordered by name.
var networks = []network{
	{describe("densenet121", 8_062_504, 224), denseNet(6, 12, 24, 16)},
	{describe("densenet169", 14_307_880, 224), denseNet(6, 12, 32, 32)},
	{describe("densenet201", 20_242_984, 224), denseNet(6, 12, 48, 32)},
	{describe("inception_v3", 23_851_784, 299), inceptionV3},
	{describe("inceptionresnet_v2", 55_873_736, 299), inceptionResNetV2},
	{describe("mobilenet", 4_253_864, 224), mobileNet},
	{describe("mobilenetv2", 3_538_984, 224), mobileNetV2},
	{describe("nasnetlarge", 88_949_818, 331), nasNetLarge.layers},
	{describe("nasnetmobile", 5_326_716, 224), nasNetMobile.layers},
	{describe("resnet101", 44_707_176, 224), resNet(3, 4, 23, 3)},
	{describe("resnet101v2", 44_675_560, 224), resNetV2(3, 4, 23, 3)},
	{describe("resnet152", 60_419_944, 224), resNet(3, 8, 36, 3)},
	{describe("resnet152v2", 60_380_648, 224), resNetV2(3, 8, 36, 3)},
	{describe("resnet50", 25_636_712, 224), resNet(3, 4, 6, 3)},
	{describe("resnet50v2", 25_613_800, 224), resNetV2(3, 4, 6, 3)},
	{describe("vgg16", 138_357_544, 224), vgg(2, 2, 3, 3, 3)},
	{describe("vgg19", 143_667_240, 224), vgg(2, 2, 4, 4, 4)},
	{describe("xception", 22_910_480, 299), xception},
}

// describe is the Info of a network for images of size x size pixels.
func describe(name string, params, size int) Info {
	return Info{name, params, tensor.Shape{1, 3, size, size}}
}

// List returns all networks, ordered by name.
func List() []Info {
	infos := make([]Info, len(networks))
	for i, n := range networks {
		infos[i] = n.Info
		infos[i].Input = n.Input.Clone()
	}
	return infos
}

// Build returns the network called name. Its only input is InputName, float32
// of the shape that List says; its only output is OutputName, float32
// [1, 1000], the probability of each class. The graph is the caller's own. Its
// weights take four bytes a parameter and are made anew at each call.
func Build(name string) (*graph.Graph, error) {
	n, err := find(name)
	if err != nil {
		return nil, err
	}
	return n.build(seeded(name))
}

// build makes the network with tensors that weights makes, see builder.
func (n network) build(weights func(name string, mean, radius float32, shape ...int) *tensor.Tensor) (*graph.Graph, error) {
	b := &builder{g: &graph.Graph{Name: n.Name}, weights: weights, unnamed: map[string]int{}}
	x := b.g.Input(InputName, tensor.Type{DType: tensor.Float32, Shape: n.Input.Clone()})
	y := n.layers(b, x)
	if b.err != nil {
		return nil, fmt.Errorf("zoo: %s: %w", n.Name, b.err)
	}
	y.Name = OutputName
	b.g.Outputs = []*graph.Value{y}
	return b.g, nil
}

// Params counts the trained values of g: the elements of all floating-point
// constants that nodes read, except scalars, which are limits and the like, and
// the ones in place of a scale that a BatchNormalization does not have.
func Params(g *graph.Graph) int {
	total := 0
	seen := map[*graph.Value]bool{}
	for _, n := range g.Nodes {
		for _, v := range n.In {
			if v != nil && v.Const != nil && !seen[v] && v.DType.IsFloat() && len(v.Shape) > 0 && !strings.HasSuffix(v.Name, neutralScale) {
				seen[v] = true
				total += v.Shape.Elems()
			}
		}
	}
	return total
}
