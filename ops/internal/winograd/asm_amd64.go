//go:build amd64 && !purego

package winograd

import "scission/ops/internal/isa"

var assembly = []implementation{
	{
		level: isa.AVX512, vector: 16, tiles: []productTile{{width: 16, pixels: 14, fewest: 6}, {width: 32, pixels: 14, fewest: 6}},
		input: inputsAVX512, product: productsAVX512, output: outputsAVX512,
		lines: map[*line]lineFuncs{line3: {lineInputsAVX512K3, lineOutputsAVX512K3}, line7: {lineInputsAVX512K7, lineOutputsAVX512K7}},
	},
	{
		// Beside 16 registers the loads limit a tile: 3x32 and 4x24 have the fewest.
		level: isa.AVX2, vector: 8,
		tiles: []productTile{{width: 16, pixels: 6, fewest: 4}, {width: 24, pixels: 4, fewest: 3}, {width: 32, pixels: 3, fewest: 2}},
		input: inputsAVX2, product: productsAVX2, output: outputsAVX2,
		lines: map[*line]lineFuncs{line3: {lineInputsAVX2K3, lineOutputsAVX2K3}, line7: {lineInputsAVX2K7, lineOutputsAVX2K7}},
	},
}

func inputsAVX2(r inputRun, in, v, temp []float32) {
	inputAVX2(&r.at, &in[0], &zeros[0], &v[0], &temp[0])
}

func inputsAVX512(r inputRun, in, v, temp []float32) {
	inputAVX512(&r.at, &in[0], &zeros[0], &v[0], &temp[0])
}

// productAsm is the Go declaration of all tiles in assembly; r points to the first field of a productRun.
type productAsm = func(r *int, x, w, ahead, y *float32, count int)

var tilesAVX2 = [...][6]productAsm{
	{productAVX2P1C16, productAVX2P2C16, productAVX2P3C16, productAVX2P4C16, productAVX2P5C16, productAVX2P6C16},
	{productAVX2P1C32, productAVX2P2C32, productAVX2P3C32},
}

// pairsAVX2 are the tiles of 24 channels that start at a block, and those that start in its middle.
var pairsAVX2 = [...][4]productAsm{
	{productAVX2P1C24, productAVX2P2C24, productAVX2P3C24, productAVX2P4C24},
	{productAVX2P1C24From8, productAVX2P2C24From8, productAVX2P3C24From8, productAVX2P4C24From8},
}

var tilesAVX512 = [...][14]productAsm{
	{
		productAVX512P1C16, productAVX512P2C16, productAVX512P3C16, productAVX512P4C16, productAVX512P5C16,
		productAVX512P6C16, productAVX512P7C16, productAVX512P8C16, productAVX512P9C16, productAVX512P10C16,
		productAVX512P11C16, productAVX512P12C16, productAVX512P13C16, productAVX512P14C16,
	}, {
		productAVX512P1C32, productAVX512P2C32, productAVX512P3C32, productAVX512P4C32, productAVX512P5C32,
		productAVX512P6C32, productAVX512P7C32, productAVX512P8C32, productAVX512P9C32, productAVX512P10C32,
		productAVX512P11C32, productAVX512P12C32, productAVX512P13C32, productAVX512P14C32,
	},
}

func productsAVX2(r *productRun, x, w, ahead, y []float32, count, pixels, width, lane int) {
	if width%lanes != 0 {
		pairsAVX2[lane/8][pixels-1](&r.blocks, &x[0], &w[0], &ahead[0], &y[0], count)
		return
	}
	tilesAVX2[width/lanes-1][pixels-1](&r.blocks, &x[0], &w[0], &ahead[0], &y[0], count)
}

func productsAVX512(r *productRun, x, w, ahead, y []float32, count, pixels, width, _ int) {
	tilesAVX512[width/lanes-1][pixels-1](&r.blocks, &x[0], &w[0], &ahead[0], &y[0], count)
}

// An output transform is for one number of columns. It is called by its name, so that r stays on the stack.

func outputsAVX2(r outputRun, m, epi, res, out, temp []float32) {
	switch p := first(res); r.cols {
	case 1:
		outputAVX2P1(&r.plane, &m[0], &epi[0], p, &out[0], &temp[0])
	case 2:
		outputAVX2P2(&r.plane, &m[0], &epi[0], p, &out[0], &temp[0])
	case 3:
		outputAVX2P3(&r.plane, &m[0], &epi[0], p, &out[0], &temp[0])
	case tile:
		outputAVX2P4(&r.plane, &m[0], &epi[0], p, &out[0], &temp[0])
	}
}

func outputsAVX512(r outputRun, m, epi, res, out, temp []float32) {
	switch p := first(res); r.cols {
	case 1:
		outputAVX512P1(&r.plane, &m[0], &epi[0], p, &out[0], &temp[0])
	case 2:
		outputAVX512P2(&r.plane, &m[0], &epi[0], p, &out[0], &temp[0])
	case 3:
		outputAVX512P3(&r.plane, &m[0], &epi[0], p, &out[0], &temp[0])
	case tile:
		outputAVX512P4(&r.plane, &m[0], &epi[0], p, &out[0], &temp[0])
	}
}

func lineInputsAVX2K3(r lineInputRun, in, v []float32) {
	lineInputAVX2K3(&r.at, &in[0], &zeros[0], &v[0])
}

func lineOutputsAVX2K3(r lineOutputRun, m, epi, res, out, temp []float32) {
	lineOutputAVX2K3(&r.plane, &m[0], &epi[0], first(res), &out[0], &temp[0])
}

func lineInputsAVX2K7(r lineInputRun, in, v []float32) {
	lineInputAVX2K7(&r.at, &in[0], &zeros[0], &v[0])
}

func lineOutputsAVX2K7(r lineOutputRun, m, epi, res, out, temp []float32) {
	lineOutputAVX2K7(&r.plane, &m[0], &epi[0], first(res), &out[0], &temp[0])
}

func lineInputsAVX512K3(r lineInputRun, in, v []float32) {
	lineInputAVX512K3(&r.at, &in[0], &zeros[0], &v[0])
}

func lineOutputsAVX512K3(r lineOutputRun, m, epi, res, out, temp []float32) {
	lineOutputAVX512K3(&r.plane, &m[0], &epi[0], first(res), &out[0], &temp[0])
}

func lineInputsAVX512K7(r lineInputRun, in, v []float32) {
	lineInputAVX512K7(&r.at, &in[0], &zeros[0], &v[0])
}

func lineOutputsAVX512K7(r lineOutputRun, m, epi, res, out, temp []float32) {
	lineOutputAVX512K7(&r.plane, &m[0], &epi[0], first(res), &out[0], &temp[0])
}
