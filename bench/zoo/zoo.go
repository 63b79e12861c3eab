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
	"slices"
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
	{Info{"mobilenetv2", 3_538_984, tensor.Shape{1, 3, 224, 224}}, mobileNetV2},
	{Info{"resnet50", 25_636_712, tensor.Shape{1, 3, 224, 224}}, resNet(3, 4, 6, 3)},
	{Info{"vgg16", 138_357_544, tensor.Shape{1, 3, 224, 224}}, vgg(2, 2, 3, 3, 3)},
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
	i := slices.IndexFunc(networks, func(n network) bool { return n.Name == name })
	if i < 0 {
		var known []string
		for _, n := range networks {
			known = append(known, n.Name)
		}
		return nil, fmt.Errorf("zoo: %w %q, want one of %s", ErrUnknown, name, strings.Join(known, ", "))
	}
	b := &builder{g: &graph.Graph{Name: name}}
	x := b.g.Input(InputName, tensor.Type{DType: tensor.Float32, Shape: networks[i].Input.Clone()})
	y := networks[i].layers(b, x)
	if b.err != nil {
		return nil, fmt.Errorf("zoo: %s: %w", name, b.err)
	}
	y.Name = OutputName
	b.g.Outputs = []*graph.Value{y}
	return b.g, nil
}

// Params counts the trained values of g: the elements of all floating-point
// constants that nodes read, except scalars, which are limits and the like.
func Params(g *graph.Graph) int {
	total := 0
	seen := map[*graph.Value]bool{}
	for _, n := range g.Nodes {
		for _, v := range n.In {
			if v != nil && v.Const != nil && !seen[v] && v.DType.IsFloat() && len(v.Shape) > 0 {
				seen[v] = true
				total += v.Shape.Elems()
			}
		}
	}
	return total
}
