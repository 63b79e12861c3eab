//go:build amd64 && !purego

package vec

import "scission/ops/internal/isa"

//go:generate sh ../asmgen/generate.sh vec

var asmImpls = []impl{{
	name: "AVX-512", level: isa.AVX512,
	add: f32AddAVX512, sub: f32SubAVX512, mul: f32MulAVX512, div: f32DivAVX512, clamp: f32ClampAVX512,
	addScalar: f32AddScalarAVX512, mulScalar: f32MulScalarAVX512, divScalar: f32DivScalarAVX512,
	scalarSub: f32ScalarSubAVX512, scalarDiv: f32ScalarDivAVX512, scaleShift: f32ScaleShiftAVX512,
	sqrt: f32SqrtAVX512, abs: f32AbsAVX512, hardSigmoid: f32HardSigmoidAVX512, hardSwish: f32HardSwishAVX512,
	swish: f32SwishAVX512, tanh: f32TanhAVX512, erf: f32ErfAVX512, gelu: f32GeluAVX512, geluTanh: f32GeluTanhAVX512,
	leakyRelu: f32LeakyReluAVX512, exp: f32ExpAVX512, sigmoid: f32SigmoidAVX512,
	scaleShift16: f32ScaleShift16AVX512, sum: f32SumAVX512, max: f32MaxAVX512, wide: true,
}, {
	name: "AVX2", level: isa.AVX2,
	add: f32AddAVX2, sub: f32SubAVX2, mul: f32MulAVX2, div: f32DivAVX2, clamp: f32ClampAVX2,
	addScalar: f32AddScalarAVX2, mulScalar: f32MulScalarAVX2, divScalar: f32DivScalarAVX2,
	scalarSub: f32ScalarSubAVX2, scalarDiv: f32ScalarDivAVX2, scaleShift: f32ScaleShiftAVX2,
	sqrt: f32SqrtAVX2, abs: f32AbsAVX2, hardSigmoid: f32HardSigmoidAVX2, hardSwish: f32HardSwishAVX2,
	swish: f32SwishAVX2, tanh: f32TanhAVX2, erf: f32ErfAVX2, gelu: f32GeluAVX2, geluTanh: f32GeluTanhAVX2,
	leakyRelu: f32LeakyReluAVX2, exp: f32ExpAVX2, sigmoid: f32SigmoidAVX2, scaleShift16: f32ScaleShift16AVX2,
	sum: f32SumAVX2, max: f32MaxAVX2, wide: true,
}}

func sumWideFast(acc *[wideParts]float64, x []float32) { f32SumWideAVX2(acc, x) }

func sumWide16Fast(acc *[wideParts * Lanes]float64, x []float32) { f32SumWide16AVX2(acc, x) }

func addWideFast(acc []float64, x []float32) { f32AddWideAVX2(acc, x) }
