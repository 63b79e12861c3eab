package zoo_test

import (
	"math"
	"slices"
	"testing"

	"scission/bench/zoo"
	"scission/engine"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
)

// light are the networks that take few operations.
var light = []string{"mobilenet", "mobilenetv2", "nasnetmobile"}

// patches is an image of squares of random colours.
func patches(seed uint64, shape tensor.Shape) *tensor.Tensor {
	const side = 32 // pixels
	h, w := shape[2], shape[3]
	coarse := tensortest.Random(seed, shape[1], (h+side-1)/side, (w+side-1)/side)
	x := tensor.New(tensor.Float32, shape...)
	for i := range x.F32() {
		c, row, column := i/(h*w), i/w%h, i%w
		x.F32()[i] = coarse.F32()[(c*coarse.Shape[1]+row/side)*coarse.Shape[2]+column/side]
	}
	return x
}

func TestOutputsAreProbabilitiesThatDependOnTheInput(t *testing.T) {
	for _, info := range zoo.List() {
		t.Run(info.Name, func(t *testing.T) {
			if testing.Short() && !slices.Contains(light, info.Name) {
				t.Skip("takes many operations")
			}
			g, err := zoo.Build(info.Name)
			if err != nil {
				t.Fatal(err)
			}
			p, err := engine.Compile(g, engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			session := p.NewSession()
			var outputs [2][]float32
			for i := range outputs {
				y, err := session.Run(t.Context(), []*tensor.Tensor{patches(uint64(i), info.Input)})
				if err != nil {
					t.Fatal(err)
				}
				outputs[i] = y[0].Clone().F32()
				sum := 0.0
				for _, v := range outputs[i] {
					sum += float64(v)
				}
				if !(math.Abs(sum-1) < 1e-4) {
					t.Errorf("the probabilities add up to %v", sum)
				}
				if least, most := slices.Min(outputs[i]), slices.Max(outputs[i]); most > 0.5 || most < 5*least {
					t.Errorf("probabilities from %v to %v: neither one class nor all alike is wanted", least, most)
				}
			}
			far := 0
			for i, a := range outputs[0] {
				if b := float64(outputs[1][i]); math.Abs(float64(a)-b) > 0.01*b {
					far++
				}
			}
			if far < len(outputs[0])/2 {
				t.Errorf("only %d of %d probabilities differ by 1 %% between two inputs", far, len(outputs[0]))
			}
		})
	}
}
