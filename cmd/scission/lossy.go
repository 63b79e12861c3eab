package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/split"
	"scission/split/run"
	"scission/transport"
)

// codecNames lists the codecs that change nothing, which may always be used.
func codecNames() []string { return namesOf(transport.LosslessCodecs()) }

// allCodecNames lists all codecs.
func allCodecNames() []string { return namesOf(transport.Codecs()) }

func namesOf(codecs []transport.Codec) []string {
	var names []string
	for _, c := range codecs {
		names = append(names, c.Name())
	}
	return names
}

// lossyOf lists those of the names that are of codecs which change what they
// send, each once.
func lossyOf(names []string) []string {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		c, err := transport.CodecByName(name)
		return err != nil || c.Lossless()
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// lossyHops lists the lossy codecs of hops.
func lossyHops(codecs map[split.Hop]string) []string {
	var names []string
	for _, name := range codecs {
		names = append(names, name)
	}
	return lossyOf(names)
}

// closeReport says how far results are from those of the unsplit run where
// lossy codecs are in use.
type closeReport struct {
	Codecs     []string `json:"codecs"`
	Difference float64  `json:"difference"` // the largest of an element
	Relative   float64  `json:"relative"`   // the largest of an output, as a part of its largest magnitude
	Tolerance  float64  `json:"tolerance"`  // on Relative
	Within     bool     `json:"within"`
}

func (r *closeReport) String() string {
	return fmt.Sprintf("%s: the largest difference is %.3g, %.3g of the largest magnitude, tolerance %g (%s changes what it sends)",
		yesNo(r.Within), r.Difference, r.Relative, r.Tolerance, strings.Join(r.Codecs, ", "))
}

// compare adds the difference of an output. What is not a number in one only is
// infinitely far away, and so is an output of another type.
func (r *closeReport) compare(got, want *tensor.Tensor) {
	difference, largest := 0.0, 0.0
	if !got.Type.Equal(want.Type) || got.DType == tensor.Packed && !got.Identical(want) {
		difference = math.Inf(1)
	} else if got.DType != tensor.Packed {
		for i := range want.Shape.Elems() {
			g, w := tensortest.At(got, i), tensortest.At(want, i)
			if g == w || g != g && w != w {
				continue
			}
			d := math.Abs(g - w)
			if d != d {
				d = math.Inf(1)
			}
			difference = max(difference, d)
		}
		for i := range want.Shape.Elems() {
			if w := math.Abs(tensortest.At(want, i)); w <= math.MaxFloat64 {
				largest = max(largest, w)
			}
		}
	}
	relative := 0.0
	if difference > 0 {
		relative = difference / largest
	}
	// Such as JSON can say.
	r.Difference = min(max(r.Difference, difference), math.MaxFloat64)
	r.Relative = min(max(r.Relative, relative), math.MaxFloat64)
	r.Within = r.Relative <= r.Tolerance
}

// eachWhole runs the whole model here with each of the inputs and gives its
// outputs to do, until that returns false.
func eachWhole(ctx context.Context, m *model, threads int, in [][]*tensor.Tensor, do func(i int, want []*tensor.Tensor) bool) error {
	n := &run.Node{Name: deviceName, Threads: threads}
	e, err := n.Open(ctx, run.Deployment{Model: m.Model, Stages: native(deviceName, m.Graph)})
	if err != nil {
		return err
	}
	defer e.Close()
	for i := range in {
		want, _, err := e.Run(ctx, in[i])
		if err != nil {
			return err
		}
		if !do(i, want) {
			return nil
		}
	}
	return nil
}

// sameAsWhole says whether the outputs are those of the whole model bit for bit.
func sameAsWhole(ctx context.Context, m *model, threads int, in, out [][]*tensor.Tensor) (same bool, err error) {
	same = true
	err = eachWhole(ctx, m, threads, in, func(i int, want []*tensor.Tensor) bool {
		for k := range want {
			same = same && out[i][k].Identical(want[k])
		}
		return same
	})
	return same, err
}

// closeToWhole says how far the outputs are from those of the whole model.
func closeToWhole(ctx context.Context, m *model, threads int, in, out [][]*tensor.Tensor, codecs []string, tolerance float64) (*closeReport, error) {
	r := &closeReport{Codecs: codecs, Tolerance: tolerance, Within: true}
	return r, eachWhole(ctx, m, threads, in, func(i int, want []*tensor.Tensor) bool {
		for k := range want {
			r.compare(out[i][k], want[k])
		}
		return true
	})
}
