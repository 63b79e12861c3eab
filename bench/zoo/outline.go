package zoo

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// Outline returns the network called name as Build does, but with weights that
// are all zero and lie in the same memory, which must not be written to: for
// questions about layers and shapes, in little time.
func Outline(name string) (*graph.Graph, error) {
	n, err := find(name)
	if err != nil {
		return nil, err
	}
	return n.build(func(_ string, _, _ float32, shape ...int) *tensor.Tensor {
		typ := tensor.Type{DType: tensor.Float32, Shape: shape}
		return &tensor.Tensor{Type: typ, Raw: zeros()[:typ.Bytes()]}
	})
}

// largestWeight is the number of elements of the largest weight of all
// networks, that of fc1 in VGG.
const largestWeight = 7 * 7 * 512 * 4096

// zeros is the memory of all weights of outlines.
var zeros = sync.OnceValue(func() []byte { return make([]byte, tensor.Float32.Size()*largestWeight) })

// find is the network called name.
func find(name string) (network, error) {
	i := slices.IndexFunc(networks, func(n network) bool { return n.Name == name })
	if i < 0 {
		var known []string
		for _, n := range networks {
			known = append(known, n.Name)
		}
		return network{}, fmt.Errorf("zoo: %w %q, want one of %s", ErrUnknown, name, strings.Join(known, ", "))
	}
	return networks[i], nil
}

// Layer is a Keras layer of a network.
type Layer struct {
	Name  string
	Nodes []*graph.Node // in the graph's order; the last one makes the layer's output
}

// Out is the layer's output.
func (l Layer) Out() *graph.Value { return l.Nodes[len(l.Nodes)-1].Out[0] }

// Layers lists the Keras layers of a network of this package, without the
// input, which Keras counts as layer 0. Layers on branches that run side by
// side may have other numbers in Keras, among themselves.
func Layers(g *graph.Graph) []Layer {
	var ls []Layer
	for _, n := range g.Nodes {
		name, _, _ := strings.Cut(n.Name, "/")
		if len(ls) == 0 || ls[len(ls)-1].Name != name {
			ls = append(ls, Layer{Name: name})
		}
		l := &ls[len(ls)-1]
		l.Nodes = append(l.Nodes, n)
	}
	return ls
}
