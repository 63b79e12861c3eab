//go:build arm64 && !purego

package winograd

import "scission/ops/internal/isa"

var assembly = []implementation{
	{
		level: isa.NEON, vector: 4, tiles: []productTile{{width: 16, pixels: 6, fewest: 4}}, input: inputsNEON, product: productsNEON, output: outputsNEON,
		lines: map[*line]lineFuncs{line3: {lineInputsNEONK3, lineOutputsNEONK3}, line7: {lineInputsNEONK7, lineOutputsNEONK7}},
	},
}

func inputsNEON(r inputRun, in, v, temp []float32) {
	inputNEON(&r.at, &in[0], &zeros[0], &v[0], &temp[0])
}

var tilesNEON = [...]func(r *int, x, w, y *float32, count int){
	productNEONP1, productNEONP2, productNEONP3, productNEONP4, productNEONP5, productNEONP6,
}

func productsNEON(r *productRun, x, w, _, y []float32, count, pixels, _, _ int) {
	tilesNEON[pixels-1](&r.blocks, &x[0], &w[0], &y[0], count)
}

// outputsNEON calls the transform for one number of columns by its name, so that r stays on the stack.
func outputsNEON(r outputRun, m, epi, res, out, temp []float32) {
	switch p := first(res); r.cols {
	case 1:
		outputNEONP1(&r.plane, &m[0], &epi[0], p, &out[0], &temp[0])
	case 2:
		outputNEONP2(&r.plane, &m[0], &epi[0], p, &out[0], &temp[0])
	case 3:
		outputNEONP3(&r.plane, &m[0], &epi[0], p, &out[0], &temp[0])
	case tile:
		outputNEONP4(&r.plane, &m[0], &epi[0], p, &out[0], &temp[0])
	}
}

func lineInputsNEONK3(r lineInputRun, in, v []float32) {
	lineInputNEONK3(&r.at, &in[0], &zeros[0], &v[0])
}

func lineOutputsNEONK3(r lineOutputRun, m, epi, res, out, temp []float32) {
	lineOutputNEONK3(&r.plane, &m[0], &epi[0], first(res), &out[0], &temp[0])
}

func lineInputsNEONK7(r lineInputRun, in, v []float32) {
	lineInputNEONK7(&r.at, &in[0], &zeros[0], &v[0])
}

func lineOutputsNEONK7(r lineOutputRun, m, epi, res, out, temp []float32) {
	lineOutputNEONK7(&r.plane, &m[0], &epi[0], first(res), &out[0], &temp[0])
}
