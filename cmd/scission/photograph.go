package main

import (
	"math/rand/v2"

	"scission/engine/tensor"
)

const (
	// photographMean and photographSwing are the mean of a photograph's 8-bit levels, and how far from it they are
	// at most for what each octave below adds to the first; photographNoise is the noise of a sensor.
	photographMean, photographSwing, photographNoise = 118, 55, 1.5
	// photographTint is the share of the swing by which channels differ.
	photographTint = 0.25
)

// isPhotograph says whether a tensor can be one photograph, of one channel or
// three, channels first.
func isPhotograph(t tensor.Type) bool {
	return t.DType == tensor.Float32 && len(t.Shape) == 4 && t.Shape[0] == 1 && (t.Shape[1] == 1 || t.Shape[1] == 3)
}

// photograph makes up a picture with the statistics of photographs: detail
// whose amplitude is proportional to its size (Field 1987, "Relations between
// the statistics of natural images and the response properties of cortical
// cells"), and a sensor's noise, in levels of 8 bits, from -1 to 1. A codec
// shrinks it about as it does photographs, and noise not at all.
func photograph(t tensor.Type, seed uint64) *tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 0))
	x := tensor.New(t.DType, t.Shape...)
	channels, h, w := t.Shape[1], t.Shape[2], t.Shape[3]
	light := octaves(r, h, w)
	for c := range channels {
		tint := octaves(r, h, w)
		for i := range h * w {
			level := photographMean + photographSwing*(light[i]+photographTint*tint[i]) + photographNoise*r.NormFloat64()
			level = float64(int(min(max(level, 0), 255)))
			x.F32()[c*h*w+i] = float32(level/127.5 - 1)
		}
	}
	return x
}

// octaves is a field of h by w: sums of random values on ever finer lattices,
// of half the amplitude each time, with straight lines between them.
func octaves(r *rand.Rand, h, w int) []float64 {
	field := make([]float64, h*w)
	amplitude := 1.0
	for step := max(h, w, 2) / 2; step >= 1; step /= 2 {
		columns := w/step + 2
		lattice := make([]float64, (h/step+2)*columns)
		for i := range lattice {
			lattice[i] = amplitude * (2*r.Float64() - 1)
		}
		for y := range h {
			fy := float64(y%step) / float64(step)
			for x := range w {
				fx := float64(x%step) / float64(step)
				at := lattice[y/step*columns+x/step:]
				top, bottom := at[0]+fx*(at[1]-at[0]), at[columns]+fx*(at[columns+1]-at[columns])
				field[y*w+x] += top + fy*(bottom-top)
			}
		}
		amplitude /= 2
	}
	return field
}
