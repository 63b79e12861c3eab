package zoo

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// outline makes the network called name with weights that are all zero and
// share their memory.
func outline(t *testing.T, name string) *graph.Graph {
	t.Helper()
	i := slices.IndexFunc(networks, func(n network) bool { return n.Name == name })
	g, err := networks[i].build(func(_ string, _, _ float32, shape ...int) *tensor.Tensor {
		typ := tensor.Type{DType: tensor.Float32, Shape: shape}
		return &tensor.Tensor{Type: typ, Raw: zeros()[:typ.Bytes()]}
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// zeros suffices for the largest weight: that of fc1 in VGG.
var zeros = sync.OnceValue(func() []byte { return make([]byte, 4*7*7*512*4096) })

// published has what Keras itself and the original Scission, which benchmarked
// these networks, count in them.
var published = map[string]struct {
	params int
	layers int // the input included
	blocks int // of Scission's benchmark
}{
	"densenet121":        {8062504, 429, 22},
	"densenet169":        {14307880, 597, 22},
	"densenet201":        {20242984, 709, 22},
	"inception_v3":       {23851784, 313, 19},
	"inceptionresnet_v2": {55873736, 782, 61},
	"mobilenet":          {4253864, 93, 92},
	"mobilenetv2":        {3538984, 157, 66},
	"nasnetlarge":        {88949818, 1041, 5},
	"nasnetmobile":       {5326716, 771, 5},
	"resnet101":          {44707176, 347, 41},
	"resnet101v2":        {44675560, 379, 16},
	"resnet152":          {60419944, 517, 58},
	"resnet152v2":        {60380648, 566, 16},
	"resnet50":           {25636712, 177, 24},
	"resnet50v2":         {25613800, 192, 16},
	"vgg16":              {138357544, 23, 22},
	"vgg19":              {143667240, 26, 25},
	"xception":           {22910480, 134, 14},
}

func TestParametersAndLayersAreThoseOfKeras(t *testing.T) {
	if len(List()) != len(published) {
		t.Errorf("%d networks, want %d", len(List()), len(published))
	}
	for _, info := range List() {
		want := published[info.Name]
		g := outline(t, info.Name)
		if got := Params(g); got != want.params || info.Params != want.params {
			t.Errorf("%s: %d parameters, List says %d, want %d", info.Name, got, info.Params, want.params)
		}
		if got := 1 + len(layers(g)); got != want.layers {
			t.Errorf("%s: %d layers, want %d", info.Name, got, want.layers)
		}
		if err := g.Check(); err != nil {
			t.Errorf("%s: %v", info.Name, err)
		}
		if len(g.Inputs) != 1 || g.Inputs[0].Name != InputName || !g.Inputs[0].Shape.Equal(info.Input) {
			t.Errorf("%s: inputs %v", info.Name, g.Inputs)
		}
		if len(g.Outputs) != 1 || g.Outputs[0].Name != OutputName || !g.Outputs[0].Shape.Equal(tensor.Shape{1, 1000}) {
			t.Errorf("%s: outputs %v", info.Name, g.Outputs)
		}
	}
}

// layer is a Keras layer: the nodes that share a name up to the slash.
type layer struct {
	name    string
	in      []*graph.Value // from other layers
	out     *graph.Value
	readers int // layers that read out
}

func layers(g *graph.Graph) []*layer {
	var ls []*layer
	by := map[*graph.Value]*layer{}
	for _, n := range g.Nodes {
		name, _, _ := strings.Cut(n.Name, "/")
		if len(ls) == 0 || ls[len(ls)-1].name != name {
			ls = append(ls, &layer{name: name})
		}
		l := ls[len(ls)-1]
		for _, v := range n.In {
			if v.Const == nil && by[v] != l {
				l.in = append(l.in, v)
				if by[v] != nil {
					by[v].readers++
				}
			}
		}
		l.out = n.Out[0]
		by[l.out] = l
	}
	return ls
}

// The original Scission cuts a network behind each layer at which no branch is
// open, by its own count: a layer with k readers opens k-1 branches, one with
// k inputs closes k-1. That its published numbers of blocks come out says that
// the branches begin and end where they do in Keras.
func TestBranchesAreThoseOfKeras(t *testing.T) {
	for name, want := range published {
		blocks, open := 0, 0
		for _, l := range layers(outline(t, name)) {
			open += max(l.readers, 1) - len(l.in)
			if open == 0 {
				blocks++
			}
		}
		if blocks != want.blocks {
			t.Errorf("%s: %d blocks, want %d", name, blocks, want.blocks)
		}
	}
}

// The shapes are those that Keras' model.summary() prints, with the channels
// moved to the front.
func TestShapesAreThoseOfKeras(t *testing.T) {
	for name, want := range map[string]map[string]tensor.Shape{
		"mobilenetv2": {
			"Conv1_pad": {1, 3, 225, 225}, "Conv1": {1, 32, 112, 112}, "expanded_conv_project_BN": {1, 16, 112, 112},
			"block_1_pad": {1, 96, 113, 113}, "block_1_depthwise": {1, 96, 56, 56}, "block_6_project": {1, 64, 14, 14},
			"block_16_project_BN": {1, 320, 7, 7}, "out_relu": {1, 1280, 7, 7}, "predictions": {1, 1000},
		},
		"resnet50": {
			"conv1_pad": {1, 3, 230, 230}, "conv1_relu": {1, 64, 112, 112}, "pool1_pad": {1, 64, 114, 114},
			"pool1_pool": {1, 64, 56, 56}, "conv3_block1_1_conv": {1, 128, 28, 28}, "conv4_block1_0_bn": {1, 1024, 14, 14},
			"conv5_block3_out": {1, 2048, 7, 7}, "predictions": {1, 1000},
		},
		"vgg16": {
			"block1_pool": {1, 64, 112, 112}, "block5_conv3": {1, 512, 14, 14}, "block5_pool": {1, 512, 7, 7},
			"flatten": {1, 25088}, "fc2": {1, 4096}, "predictions": {1, 1000},
		},
	} {
		found := 0
		for _, n := range outline(t, name).Nodes {
			if shape, ok := want[n.Name]; ok {
				found++
				if !n.Out[0].Shape.Equal(shape) {
					t.Errorf("%s: %s gives %v, want %v", name, n.Name, n.Out[0].Shape, shape)
				}
			}
		}
		if found != len(want) {
			t.Errorf("%s: %d of the layers found, want %d", name, found, len(want))
		}
	}
}

func TestUnknownNetworkIsAnError(t *testing.T) {
	if g, err := Build("resnet51"); g != nil || !errors.Is(err, ErrUnknown) {
		t.Errorf("Build = %v, %v, want ErrUnknown", g, err)
	}
}
