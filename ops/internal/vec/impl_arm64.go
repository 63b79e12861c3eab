//go:build arm64 && !purego

package vec

import "scission/ops/internal/isa"

var asmImpls = []impl{{
	name: "NEON", level: isa.NEON,
	add: f32AddNEON, sub: f32SubNEON, mul: f32MulNEON, div: f32DivNEON, clamp: f32ClampNEON,
	addScalar: f32AddScalarNEON, mulScalar: f32MulScalarNEON, divScalar: f32DivScalarNEON,
	scalarSub: f32ScalarSubNEON, scalarDiv: f32ScalarDivNEON, scaleShift: f32ScaleShiftNEON,
	sqrt: f32SqrtNEON, abs: f32AbsNEON, hardSigmoid: f32HardSigmoidNEON, hardSwish: f32HardSwishNEON,
	swish: f32SwishNEON, tanh: f32TanhNEON, erf: f32ErfNEON, gelu: f32GeluNEON, geluTanh: f32GeluTanhNEON,
	leakyRelu: f32LeakyReluNEON, exp: f32ExpNEON, sigmoid: f32SigmoidNEON, scaleShift16: f32ScaleShift16NEON,
	sum: f32SumNEON, max: f32MaxNEON,
}}
