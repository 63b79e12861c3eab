package run

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"scission/engine/tensor"
	"scission/split"
	"scission/transport"
)

// choice picks the codec of each tensor that a hop sends: the hop's own, and
// where that does not pay any more, because data has changed its character, one
// of the alternatives, or none. All of them are lossless, so that results do not
// depend on what it picks; a hop with a lossy codec always has that.
//
// A codec does not pay if it saves less than a part in leastSaved, or less than
// half of the most that it has saved and, as far as the bandwidth is known, not
// the time that it takes. After patience tensors in a row that it did not pay
// for the next one gets its turn, and one before it every retry tensors.
//
// The picking and the encoding are of one sender at a time, as Conn.Send has it.
type choice struct {
	own          transport.Codec
	alternatives []transport.Codec
	tensors      []*tracked // by their index in the message
	bandwidth    atomic.Uint64
}

const (
	leastSaved = 16
	patience   = 2
	retry      = 16

	// From so many bytes on a frame tells the bandwidth, of which the last one counts for a part.
	tellingBytes = 32 << 10
	lastCounts   = 0.4
)

func (d Deployment) choiceFor(h split.Hop) (*choice, error) {
	own, err := d.codecFor(h)
	if err != nil {
		return nil, err
	}
	c := &choice{own: own}
	for _, name := range d.Alternatives {
		k, err := d.codec(h, name)
		if err != nil {
			return nil, err
		}
		if !k.Lossless() {
			return nil, fmt.Errorf("run: hop %v: %w as an alternative: %s", h, ErrLossy, name)
		}
		if k != own && k != transport.Raw && !slices.Contains(c.alternatives, k) {
			c.alternatives = append(c.alternatives, k)
		}
	}
	return c, nil
}

// picker is what Conn.Send asks for codecs. None is raw.
type picker func(i int, t *tensor.Tensor) transport.Codec

// pick is a picker.
func (c *choice) pick(i int, _ *tensor.Tensor) transport.Codec {
	if c.own == transport.Raw || !c.own.Lossless() {
		return c.own
	}
	for len(c.tensors) <= i {
		c.tensors = append(c.tensors, c.track())
	}
	return c.tensors[i].pick()
}

// sent tells that the receiver took so long for a frame from its first byte to
// its last. It may be called at any time.
func (c *choice) sent(bytes int, took time.Duration) {
	if bytes < tellingBytes || took <= 0 {
		return
	}
	last := float64(bytes) / took.Seconds()
	if known := math.Float64frombits(c.bandwidth.Load()); known > 0 {
		last = known + lastCounts*(last-known)
	}
	c.bandwidth.Store(math.Float64bits(last))
}

// name is what the hop's first tensor was last sent with.
func (c *choice) name() string {
	if len(c.tensors) == 0 {
		return c.own.Name()
	}
	return c.tensors[0].last.Name()
}

// tracked is a tensor of a hop, and the codec that encodes it: that which last
// was picked, under observation.
type tracked struct {
	transport.Codec
	choice     *choice
	candidates []candidate
	current    int // the candidate; raw if there is none of this number
	trying     int // the candidate that was picked
	retried    int // the candidate before the current one that was last tried
	since      int // tensors since then
	last       transport.Codec
}

// candidate is a codec that may be picked.
type candidate struct {
	transport.Codec
	most   float64 // the largest part of the bytes that it has saved
	failed int     // tensors in a row for which it did not pay
}

func (c *choice) track() *tracked {
	k := &tracked{Codec: c.own, choice: c, last: c.own, candidates: []candidate{{Codec: c.own}}}
	for _, a := range c.alternatives {
		k.candidates = append(k.candidates, candidate{Codec: a})
	}
	return k
}

func (k *tracked) pick() transport.Codec {
	k.trying = k.current
	if k.since++; k.current > 0 && k.since > retry {
		k.since = 0
		k.retried = (k.retried + 1) % k.current
		k.trying = k.retried
	}
	if k.trying == len(k.candidates) {
		k.last = transport.Raw
		return transport.Raw
	}
	k.Codec = k.candidates[k.trying].Codec
	k.last = k.Codec
	return k
}

// Encode encodes, and observes that.
func (k *tracked) Encode(dst, src []byte, t tensor.Type) ([]byte, error) {
	start := time.Now()
	out, err := k.Codec.Encode(dst, src, t)
	if err == nil && len(src) > 0 {
		k.observe(len(src), len(out)-len(dst), time.Since(start))
	}
	return out, err
}

// observe tells what became of a tensor.
func (k *tracked) observe(raw, wire int, took time.Duration) {
	c := &k.candidates[k.trying]
	saved := float64(raw-wire) / float64(raw)
	c.most = max(c.most, saved)
	pays := saved*leastSaved >= 1
	if bandwidth := math.Float64frombits(k.choice.bandwidth.Load()); pays && saved < c.most/2 && bandwidth > 0 {
		// Decoding is reckoned as encoding.
		pays = float64(raw-wire)/bandwidth > 2*took.Seconds()
	}
	switch {
	case pays:
		c.failed, k.current = 0, k.trying
	case k.trying == k.current:
		if c.failed++; c.failed >= patience {
			c.failed = 0
			k.current++
			k.since = 0
		}
	}
}
