package zoo_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"scission/bench/zoo"
	"scission/engine/tensor"
	"scission/split/compat"
	"scission/split/cut"
)

// reference is where the original Scission's benchmark data lie in a developer's tree, beside the project.
const reference = "../../../shared/scission/benchmark_data"

// npyHeader is what the original counts to each output beside the data, in bytes.
const npyHeader = 128

// layerCuts are the cuts of a network through at most width tensors that lie between two Keras layers, by the
// number of the layer before them, where the input is layer 0.
func layerCuts(t *testing.T, name string, width int) (layers []zoo.Layer, cuts map[int]cut.Cut) {
	t.Helper()
	g, err := zoo.Outline(name)
	if err != nil {
		t.Fatal(err)
	}
	layers = zoo.Layers(g)
	ends, position := map[int]int{}, 0
	for i, l := range layers {
		position += len(l.Nodes)
		ends[position] = i + 1
	}
	cuts = map[int]cut.Cut{}
	for _, c := range cut.Find(g, width) {
		if layer, ok := ends[c.Position]; ok {
			cuts[layer] = c
		}
	}
	return layers, cuts
}

// The evidence is the original's own: the numbers of the layers at which its blocks end, and the sizes of the
// files into which it wrote their outputs.
func TestEveryBoundaryOfTheOriginalIsACut(t *testing.T) {
	systems, err := compat.ReadFolder(os.DirFS(reference))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the original's benchmark data are not beside the project")
	}
	if err != nil {
		t.Fatal(err)
	}
	benchmarks := systems[compat.Device][0].Models
	if len(benchmarks) != len(zoo.List()) {
		t.Errorf("benchmarks of %d networks, want %d", len(benchmarks), len(zoo.List()))
	}
	// How many cuts through one tensor it misses, counted in Keras' definitions of the networks.
	missed := map[string]int{
		"vgg16": 0, "vgg19": 0, "mobilenet": 0, "mobilenetv2": 10, "xception": 12, "resnet50": 16, "resnet101": 33, "resnet152": 50,
		"resnet50v2": 16, "resnet101v2": 33, "resnet152v2": 50, "densenet121": 58, "densenet169": 82, "densenet201": 98,
		"inception_v3": 11, "inceptionresnet_v2": 43,
	}
	for _, info := range zoo.List() {
		blocks := benchmarks[info.Name]
		if len(blocks) == 0 {
			t.Errorf("%s: no blocks", info.Name)
			continue
		}
		layers, cuts := layerCuts(t, info.Name, 1)
		if last := blocks[len(blocks)-1].Last; last != len(layers) {
			t.Errorf("%s: the last layer is %d, want %d", info.Name, len(layers), last)
		}
		for _, b := range blocks {
			c, ok := cuts[b.Last]
			if !ok {
				t.Errorf("%s: no cut behind layer %d", info.Name, b.Last)
				continue
			}
			if got := int64(c.Bytes) + npyHeader; got != b.Bytes {
				t.Errorf("%s: %d bytes behind layer %d, %s, want %d", info.Name, got, b.Last, layers[b.Last-1].Name, b.Bytes)
			}
			if c.Values[0] != layers[b.Last-1].Out() {
				t.Errorf("%s: behind layer %d %s crosses, want the output of %s", info.Name, b.Last, c.Values[0].Name, layers[b.Last-1].Name)
			}
		}
		if want, counted := missed[info.Name]; counted && len(cuts)-len(blocks) != want {
			t.Errorf("%s: %d cuts beside the %d of the original, want %d", info.Name, len(cuts)-len(blocks), len(blocks), want)
		}
	}
}

// numbered is format with the numbers from first to last.
func numbered(format string, first, last int) (names []string) {
	for i := first; i <= last; i++ {
		names = append(names, fmt.Sprintf(format, i))
	}
	return names
}

// The layers are those of Keras' definitions. The original finds a cut behind a layer with one reader if no
// branch is open, and misses it where the output has two: the beginning of a residual or dense block.
func TestCutsAreAlsoWhereATensorIsReadTwice(t *testing.T) {
	for name, want := range map[string]struct{ found, missed []string }{
		"resnet50": {
			found: slices.Concat([]string{"conv1_pad", "conv1_conv", "conv1_bn", "conv1_relu", "pool1_pad"},
				numbered("conv2_block%d_add", 1, 3), numbered("conv3_block%d_add", 1, 4), numbered("conv4_block%d_add", 1, 6), numbered("conv5_block%d_add", 1, 3),
				[]string{"conv5_block3_out", "avg_pool", "predictions"}),
			missed: slices.Concat([]string{"pool1_pool"},
				numbered("conv2_block%d_out", 1, 3), numbered("conv3_block%d_out", 1, 4), numbered("conv4_block%d_out", 1, 6), numbered("conv5_block%d_out", 1, 2)),
		},
		"densenet121": {
			found: []string{"zero_padding2d", "conv1_conv", "conv1_bn", "conv1_relu", "zero_padding2d_1",
				"conv2_block6_concat", "pool2_bn", "pool2_relu", "pool2_conv", "conv3_block12_concat", "pool3_bn", "pool3_relu", "pool3_conv",
				"conv4_block24_concat", "pool4_bn", "pool4_relu", "pool4_conv", "conv5_block16_concat", "bn", "relu", "avg_pool", "predictions"},
			missed: slices.Concat([]string{"pool1"}, numbered("pool%d_pool", 2, 4), numbered("conv2_block%d_concat", 1, 5),
				numbered("conv3_block%d_concat", 1, 11), numbered("conv4_block%d_concat", 1, 23), numbered("conv5_block%d_concat", 1, 15)),
		},
	} {
		layers, cuts := layerCuts(t, name, 1)
		var got []string
		for i := range cuts {
			got = append(got, layers[i-1].Name)
		}
		all := slices.Concat(want.found, want.missed)
		slices.Sort(got)
		slices.Sort(all)
		if !slices.Equal(got, all) {
			t.Errorf("%s: cuts behind %q, want %q", name, got, all)
		}
		if counts := map[string][2]int{"resnet50": {24, 16}, "densenet121": {22, 58}}; counts[name] != [2]int{len(want.found), len(want.missed)} {
			t.Errorf("%s: %d and %d layers, want %v", name, len(want.found), len(want.missed), counts[name])
		}
	}
}

// A cell of NASNet reads the outputs of the two cells before it, so that behind each cell two tensors cross:
// its output and that of the cell before; behind a reduction in NASNetLarge, that of the cell two before. The
// shapes follow from the numbers of filters of the two networks.
func TestNASNetIsCutBehindEachCell(t *testing.T) {
	for _, c := range []struct {
		name    string
		cells   int          // in each of the three stages
		filters int          // of a convolution in the first stage; 6 of them make a cell's output
		sizes   [3]int       // pixels in a row in each stage
		second  tensor.Shape // of the output of the second stem cell
		back    int          // how far before a reduction the other tensor comes from
	}{
		{"nasnetmobile", 4, 44, [3]int{28, 14, 7}, tensor.Shape{1, 88, 28, 28}, 1},
		{"nasnetlarge", 6, 168, [3]int{42, 21, 11}, tensor.Shape{1, 336, 42, 42}, 2},
	} {
		layers, cuts := layerCuts(t, c.name, 2)
		shapes := map[string]tensor.Shape{"reduction_concat_stem_2": c.second}
		order := []string{"reduction_concat_stem_2"}
		for stage, size := range c.sizes {
			filters := c.filters << stage
			if stage > 0 {
				reduce := fmt.Sprintf("reduction_concat_reduce_%d", stage*c.cells)
				shapes[reduce] = tensor.Shape{1, 4 * filters, size, size}
				order = append(order, reduce)
			}
			for i := range c.cells {
				cell := fmt.Sprintf("normal_concat_%d", stage*c.cells+min(stage, 1)+i)
				shapes[cell] = tensor.Shape{1, 6 * filters, size, size}
				order = append(order, cell)
			}
		}
		inside := 0
		for i := 1; i < len(order)-1; i++ {
			at := 1 + slices.IndexFunc(layers, func(l zoo.Layer) bool { return l.Name == order[i] })
			crossing, ok := cuts[at]
			if !ok {
				t.Errorf("%s: no cut behind %s", c.name, order[i])
				continue
			}
			inside++
			back := 1
			if strings.HasPrefix(order[i], "reduction") {
				back = c.back
			}
			var got []string
			for _, v := range crossing.Values {
				got = append(got, v.Name)
			}
			if want := []string{order[i-back], order[i]}; !slices.Equal(got, want) {
				t.Errorf("%s: behind %s cross %q, want %q", c.name, order[i], got, want)
			}
			for _, v := range crossing.Values {
				if want := shapes[v.Name]; !v.Shape.Equal(want) {
					t.Errorf("%s: %s is %v, want %v", c.name, v.Name, v.Shape, want)
				}
			}
		}
		if want := 3*c.cells + 1; inside != want { // without the last cell, behind which one tensor crosses
			t.Errorf("%s: %d cuts, want %d", c.name, inside, want)
		}
	}
}
