package avx

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Epilogue is conv.Epilogue without the bias, for a tile of pixels by vectors of channels.
type Epilogue struct {
	ISA             ISA
	Label           string // before the names of labels, where a function has several
	Pixels, Vectors int
	Acc             []reg.VecPhysical // vector j of pixel i is Acc[i*Vectors+j]
	Free            []reg.VecPhysical // two others
	Scale, Mask     Mem               // int, not 0 if the epilogue has them
	Lo, Hi          Mem               // float32
	Clamp           Mem               // int, 0 if Lo and Hi are no limits; without a base there is none
	Channels        Mem               // bias, scale, shift and mask of the vectors
	Apart           int               // bytes from the bias to the scale and so on; 0 is one after the other
	Res, Out        reg.GPVirtual     // Res is 0 without a residual, then it is left alone
	At              func(base reg.Register, pixel, vector int) Mem
}

// Store writes the code. It leaves the registers of the tile changed.
func (e Epilogue) Store() {
	each := func(f func(pixel, vector int, v reg.VecPhysical)) {
		for i := range e.Pixels {
			for j := range e.Vectors {
				f(i, j, e.Acc[i*e.Vectors+j])
			}
		}
	}
	apart := e.Apart
	if apart == 0 {
		apart = e.Vectors * e.ISA.Bytes
	}
	channels := func(what, vector int) Mem {
		return e.Channels.Offset(what*apart + vector*e.ISA.Bytes)
	}
	const scale, shift, mask = 1, 2, 3
	CMPQ(e.Scale, Imm(0))
	JE(LabelRef(e.Label + "scaled"))
	for j := range e.Vectors {
		VMOVUPS(channels(scale, j), e.Free[0])
		VMOVUPS(channels(shift, j), e.Free[1])
		for i := range e.Pixels {
			VFMADD213PS(e.Free[1], e.Free[0], e.Acc[i*e.Vectors+j])
		}
	}
	Label(e.Label + "scaled")
	TESTQ(e.Res, e.Res)
	JZ(LabelRef(e.Label + "added"))
	each(func(i, j int, v reg.VecPhysical) { VADDPS(e.At(e.Res, i, j), v, v) })
	Label(e.Label + "added")
	if e.Clamp.Base != nil {
		CMPQ(e.Clamp, Imm(0))
		JE(LabelRef(e.Label + "clamped"))
	}
	VBROADCASTSS(e.Lo, e.Free[0])
	VBROADCASTSS(e.Hi, e.Free[1])
	each(func(_, _ int, v reg.VecPhysical) { Clamp(e.Free[0], e.Free[1], v) })
	if e.Clamp.Base != nil {
		Label(e.Label + "clamped")
	}
	CMPQ(e.Mask, Imm(0))
	JE(LabelRef(e.Label + "masked"))
	for j := range e.Vectors {
		VMOVUPS(channels(mask, j), e.Free[0])
		for i := range e.Pixels {
			e.ISA.And(e.Free[0], e.Acc[i*e.Vectors+j])
		}
	}
	Label(e.Label + "masked")
	each(func(i, j int, v reg.VecPhysical) { VMOVUPS(v, e.At(e.Out, i, j)) })
}
