package pool

import "scission/ops/internal/isa"

// impl is one instruction set's code for blocked images.
type impl struct {
	name     string
	level    isa.Level
	max, avg windowFunc
}

// A windowFunc reduces n windows of kh×kw positions of 16 lanes:
//
//	for p := range n {
//		for l := range 16 {
//			s := start
//			for r := range kh {
//				for c := range kw {
//					s = reduce(s, in[p*step + r*rowStep + c*colStep + l])
//				}
//			}
//			out[p*16+l] = s (the maximum), or s / div (the average)
//		}
//	}
type windowFunc func(out, in []float32, n, step, kh, rowStep, kw, colStep int, div float32)

// impls lists the implementations, the fastest first.
var impls = append(asmImpls, impl{name: "go", level: isa.Go, max: maxGo, avg: avgGo})

// best is the first implementation that this processor has.
var best = func() *impl {
	i := 0
	for !isa.Have(impls[i].level) {
		i++
	}
	return &impls[i]
}()

func maxGo(out, in []float32, n, step, kh, rowStep, kw, colStep int, _ float32) {
	for p := range n {
		o := out[p*lanes:][:lanes]
		for l := range o {
			o[l] = -inf
		}
		for r := range kh {
			for c := range kw {
				for l, v := range in[p*step+r*rowStep+c*colStep:][:lanes] {
					if !(o[l] > v) {
						o[l] = v
					}
				}
			}
		}
	}
}

func avgGo(out, in []float32, n, step, kh, rowStep, kw, colStep int, div float32) {
	for p := range n {
		o := out[p*lanes:][:lanes]
		clear(o)
		for r := range kh {
			for c := range kw {
				for l, v := range in[p*step+r*rowStep+c*colStep:][:lanes] {
					o[l] += v
				}
			}
		}
		for l := range o {
			o[l] /= div
		}
	}
}
