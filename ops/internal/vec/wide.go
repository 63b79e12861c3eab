package vec

// Sums of float32s in float64. Every implementation gives the same bits.

// wideParts is the number of partial sums of SumWide and SumWide16: partial i takes values i, i+wideParts, ….
const wideParts = 4

// SumWide returns the sum of x in float64: (s0+s1) + (s2+s3), where sum i is that of values i, i+4, …, in this order.
func SumWide(x []float32) float64 { return best.sumOfWide(x) }

// SumWide16 sets sums to SumWide of each lane of x, which is rows of 16 values. It panics if a row is not whole.
func SumWide16(sums *[Lanes]float64, x []float32) { best.sumOfWide16(sums, x) }

// AddWide adds the values of x to those of acc, each to its own. It panics if x is longer.
func AddWide(acc []float64, x []float32) { best.addToWide(acc, x) }

func (im *impl) sumOfWide(x []float32) float64 {
	var acc [wideParts]float64
	for len(x) >= wideParts {
		n := min(len(x)-len(x)%wideParts, blockLen)
		im.sumWide(&acc, x[:n])
		x = x[n:]
	}
	for i, v := range x {
		acc[i] += float64(v)
	}
	return (acc[0] + acc[1]) + (acc[2] + acc[3])
}

func (im *impl) sumOfWide16(sums *[Lanes]float64, x []float32) {
	if len(x)%Lanes != 0 {
		panic("vec: length is not a multiple of 16")
	}
	var acc [wideParts * Lanes]float64
	for len(x) >= len(acc) {
		n := min(len(x)-len(x)%len(acc), blockLen)
		im.sumWide16(&acc, x[:n])
		x = x[n:]
	}
	for i, v := range x {
		acc[i] += float64(v)
	}
	for l := range sums {
		sums[l] = (acc[l] + acc[Lanes+l]) + (acc[2*Lanes+l] + acc[3*Lanes+l])
	}
}

func (im *impl) addToWide(acc []float64, x []float32) {
	acc = acc[:len(x)]
	for len(x) >= wideParts {
		n := min(len(x)-len(x)%wideParts, blockLen)
		im.addWide(acc[:n], x[:n])
		acc, x = acc[n:], x[n:]
	}
	addWideGo(acc, x)
}

// sumWide adds value i of x, a multiple of four, to partial i%4. It calls assembly by its name, not through a variable,
// so that acc need not be allocated.
func (im *impl) sumWide(acc *[wideParts]float64, x []float32) {
	if im.wide {
		sumWideFast(acc, x)
	} else {
		sumWideGo(acc, x)
	}
}

// sumWide16 adds value i of lane l of x, a multiple of four rows, to partial i%4·16 + l.
func (im *impl) sumWide16(acc *[wideParts * Lanes]float64, x []float32) {
	if im.wide {
		sumWide16Fast(acc, x)
	} else {
		sumWide16Go(acc, x)
	}
}

// addWide adds x, a multiple of four values, to acc.
func (im *impl) addWide(acc []float64, x []float32) {
	if im.wide {
		addWideFast(acc, x)
	} else {
		addWideGo(acc, x)
	}
}

func sumWideGo(acc *[wideParts]float64, x []float32) {
	for ; len(x) >= wideParts; x = x[wideParts:] {
		for i := range acc {
			acc[i] += float64(x[i])
		}
	}
}

func sumWide16Go(acc *[wideParts * Lanes]float64, x []float32) {
	for ; len(x) >= len(acc); x = x[len(acc):] {
		addWideGo(acc[:], x[:len(acc)])
	}
}

func addWideGo(acc []float64, x []float32) {
	for i, v := range x {
		acc[i] += float64(v)
	}
}
