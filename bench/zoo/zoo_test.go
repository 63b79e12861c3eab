package zoo

import (
	"errors"
	"maps"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
)

func outline(t *testing.T, name string) *graph.Graph {
	t.Helper()
	g, err := Outline(name)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// published has what Keras itself and the original Scission, which benchmarked
// these networks, count in them.
var published = map[string]struct {
	params int
	layers int // the input included
	blocks int // of Scission's benchmark
	cuts   int // layers behind which one tensor is alive, counted in Keras' definitions; 0: not counted
}{
	"densenet121":        {8062504, 429, 22, 80},
	"densenet169":        {14307880, 597, 22, 104},
	"densenet201":        {20242984, 709, 22, 120},
	"inception_v3":       {23851784, 313, 19, 30},
	"inceptionresnet_v2": {55873736, 782, 61, 104},
	"mobilenet":          {4253864, 93, 92, 92},
	"mobilenetv2":        {3538984, 157, 66, 76},
	"nasnetlarge":        {88949818, 1041, 5, 0},
	"nasnetmobile":       {5326716, 771, 5, 0},
	"resnet101":          {44707176, 347, 41, 74},
	"resnet101v2":        {44675560, 379, 16, 49},
	"resnet152":          {60419944, 517, 58, 108},
	"resnet152v2":        {60380648, 566, 16, 66},
	"resnet50":           {25636712, 177, 24, 40},
	"resnet50v2":         {25613800, 192, 16, 32},
	"vgg16":              {138357544, 23, 22, 22},
	"vgg19":              {143667240, 26, 25, 25},
	"xception":           {22910480, 134, 14, 26},
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

// layer is a Keras layer and how it is connected to the others.
type layer struct {
	Layer
	in      []*graph.Value // from other layers
	readers int            // layers that read Out
}

func layers(g *graph.Graph) []*layer {
	var ls []*layer
	by := map[*graph.Value]*layer{}
	for _, kl := range Layers(g) {
		l := &layer{Layer: kl}
		ls = append(ls, l)
		for _, n := range l.Nodes {
			for _, v := range n.In {
				if v.Const == nil && by[v] != l {
					l.in = append(l.in, v)
					if by[v] != nil {
						by[v].readers++
					}
				}
			}
			by[n.Out[0]] = l
		}
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

func TestNarrowCutsAreThoseOfKeras(t *testing.T) {
	for name, want := range published {
		ls := layers(outline(t, name))
		last := map[*graph.Value]int{} // the last layer that reads a value
		for i, l := range ls {
			last[l.Out()] = len(ls)
			for _, v := range l.in {
				last[v] = i
			}
		}
		cuts, alive := 0, map[*graph.Value]bool{}
		for i, l := range ls {
			alive[l.Out()] = true
			maps.DeleteFunc(alive, func(v *graph.Value, _ bool) bool { return last[v] <= i })
			if len(alive) == 1 {
				cuts++
			}
		}
		if want.cuts != 0 && cuts != want.cuts {
			t.Errorf("%s: %d cuts through one tensor, want %d", name, cuts, want.cuts)
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
		"xception": {
			"block1_conv2_act": {1, 64, 147, 147}, "block2_pool": {1, 128, 74, 74}, "add_1": {1, 256, 37, 37}, "block4_pool": {1, 728, 19, 19},
			"block13_pool": {1, 1024, 10, 10}, "block14_sepconv2_act": {1, 2048, 10, 10},
		},
		"inception_v3": {
			"mixed0": {1, 256, 35, 35}, "mixed1": {1, 288, 35, 35}, "mixed3": {1, 768, 17, 17}, "mixed7": {1, 768, 17, 17},
			"mixed8": {1, 1280, 8, 8}, "mixed9_0": {1, 768, 8, 8}, "mixed10": {1, 2048, 8, 8},
		},
		"inceptionresnet_v2": {
			"mixed_5b": {1, 320, 35, 35}, "block35_1_mixed": {1, 128, 35, 35}, "block35_10_ac": {1, 320, 35, 35}, "mixed_6a": {1, 1088, 17, 17},
			"block17_20_ac": {1, 1088, 17, 17}, "mixed_7a": {1, 2080, 8, 8}, "conv_7b_ac": {1, 1536, 8, 8},
		},
		"densenet121": {
			"zero_padding2d": {1, 3, 230, 230}, "conv1_relu": {1, 64, 112, 112}, "pool1": {1, 64, 56, 56}, "pool2_pool": {1, 128, 28, 28},
			"conv3_block12_concat": {1, 512, 28, 28}, "pool4_pool": {1, 512, 7, 7}, "conv5_block16_concat": {1, 1024, 7, 7},
		},
		"mobilenet": {
			"conv1": {1, 32, 112, 112}, "conv_pad_2": {1, 64, 113, 113}, "conv_dw_2": {1, 64, 56, 56}, "conv_pad_12": {1, 512, 15, 15},
			"conv_pw_13_relu": {1, 1024, 7, 7}, "conv_preds": {1, 1000, 1, 1},
		},
		"resnet50v2": {
			"conv1_conv": {1, 64, 112, 112}, "pool1_pool": {1, 64, 56, 56}, "conv2_block3_out": {1, 256, 28, 28}, "max_pooling2d": {1, 256, 28, 28},
			"conv3_block4_2_pad": {1, 128, 30, 30}, "conv4_block6_out": {1, 1024, 7, 7}, "post_relu": {1, 2048, 7, 7},
		},
		"nasnetmobile": {
			"stem_bn1": {1, 32, 111, 111}, "reduction_pad_1_stem_1": {1, 11, 113, 113}, "separable_conv_1_pad_reduction_right1_stem_1": {1, 32, 117, 117}, "reduction_concat_stem_1": {1, 44, 56, 56},
			"cropping2d": {1, 32, 111, 111}, "concatenate": {1, 22, 56, 56}, "reduction_concat_stem_2": {1, 88, 28, 28}, "normal_concat_3": {1, 264, 28, 28},
			"reduction_concat_reduce_4": {1, 352, 14, 14}, "normal_concat_8": {1, 528, 14, 14}, "normal_concat_12": {1, 1056, 7, 7},
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
