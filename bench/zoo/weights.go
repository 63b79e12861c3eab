package zoo

import (
	"hash/fnv"
	"math"
	"runtime"
	"sync"

	"scission/engine/tensor"
)

// heRadius is the half-width of the uniform distribution whose variance is
// 2/fanIn (He, Zhang, Ren, Sun: Delving Deep into Rectifiers, section 2.2).
// Its operations are rounded the same everywhere.
func heRadius(fanIn int) float32 { return float32(math.Sqrt(6 / float64(fanIn))) }

// seeded makes the weights of a network.
func seeded(network string) func(name string, mean, radius float32, shape ...int) *tensor.Tensor {
	return func(name string, mean, radius float32, shape ...int) *tensor.Tensor {
		t := tensor.New(tensor.Float32, shape...)
		fill(t.F32(), seed(network, name), mean, radius)
		return t
	}
}

// seed is the start of the random sequence of a tensor.
func seed(network, name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(network + "/" + name))
	return h.Sum64()
}

// chunk is how many values a goroutine of fill makes at a time; even.
const chunk = 1 << 20

// fill sets dst to values that are uniform in [mean-radius, mean+radius),
// on all CPUs. They depend on the arguments alone.
func fill(dst []float32, seed uint64, mean, radius float32) {
	if len(dst) <= chunk {
		fillFrom(dst, seed, 0, mean, radius)
		return
	}
	starts := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for at := range starts {
				fillFrom(dst[at:min(at+chunk, len(dst))], seed, uint64(at/2), mean, radius)
			}
		})
	}
	for at := 0; at < len(dst); at += chunk {
		starts <- at
	}
	close(starts)
	wg.Wait()
}

// fillFrom takes two values from each number of the SplitMix64 sequence
// (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014)
// that starts at seed, from number skip on.
func fillFrom(dst []float32, seed, skip uint64, mean, radius float32) {
	const golden = 0x9e3779b97f4a7c15
	const bits = 24 // of a float32's significand, so that conversion is exact
	scale := radius / (1 << (bits - 1))
	state := seed + skip*golden
	for i := 0; i < len(dst); i += 2 {
		state += golden
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		// The conversion of the product keeps compilers from fusing it with
		// the sum, which would round differently.
		dst[i] = mean + float32(float32(int32(z>>32)>>(32-bits))*scale)
		if i+1 < len(dst) {
			dst[i+1] = mean + float32(float32(int32(z)>>(32-bits))*scale)
		}
	}
}
