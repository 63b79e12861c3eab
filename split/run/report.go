package run

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"scission/split"
)

// report is what the answering host measured. It is sent with each run, where
// JSON would take as long as the rest of what a hop does to a message: so it is
// the fields in order, numbers as signed varints of encoding/binary, texts as
// their length and bytes, and spans and times of layers behind their number. What
// a span may lack is behind a byte of flags.
type report struct {
	Transfer time.Duration // first to last byte of the request
	Decode   time.Duration // of the request
	Held     time.Duration // from the request's last byte to the begin of the answer's encoding
	Encode   time.Duration // of the answer
	Spans    []Span
}

// Flags of a span in a report.
const (
	hasSegment = 1 << iota
	hasHop
	hopBack
	hopTile
)

func (r report) encode() []byte {
	b := make([]byte, 0, spanGuess*(1+len(r.Spans)))
	for _, d := range []time.Duration{r.Transfer, r.Decode, r.Held, r.Encode} {
		b = binary.AppendVarint(b, int64(d))
	}
	b = binary.AppendVarint(b, int64(len(r.Spans)))
	for i := range r.Spans {
		b = r.Spans[i].append(b)
	}
	return b
}

// spanGuess is about as many bytes as a span takes.
const spanGuess = 64

func (s *Span) append(b []byte) []byte {
	flags := int64(0)
	if s.Segment != nil {
		flags |= hasSegment
	}
	if s.Hop != nil {
		flags |= hasHop
		if s.Hop.Back {
			flags |= hopBack
		}
		if s.Hop.Tile {
			flags |= hopTile
		}
	}
	b = binary.AppendVarint(b, flags)
	b = appendText(appendText(appendText(b, string(s.What)), s.Host), s.Codec)
	for _, n := range [...]int64{int64(s.Took), int64(s.At), int64(s.Skew), int64(s.Bytes), int64(s.Transfer), int64(len(s.Layers))} {
		b = binary.AppendVarint(b, n)
	}
	for _, d := range s.Layers {
		b = binary.AppendVarint(b, int64(d))
	}
	if s.Segment != nil {
		b = binary.AppendVarint(binary.AppendVarint(b, int64(s.Segment.From)), int64(s.Segment.To))
	}
	if s.Hop != nil {
		b = binary.AppendVarint(appendText(appendText(b, s.Hop.From), s.Hop.To), int64(s.Hop.Position))
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendVarint(b, int64(len(s))), s...)
}

var errReport = errors.New("not a report")

// decodeReport is the report that b, of a peer, encodes. It takes memory for no
// more than b has bytes for.
func decodeReport(b []byte) (report, error) {
	f := fields{rest: string(b)}
	r := report{Transfer: f.time(), Decode: f.time(), Held: f.time(), Encode: f.time()}
	for range f.count() {
		r.Spans = append(r.Spans, f.span())
		if f.bad {
			break
		}
	}
	if f.bad || len(f.rest) > 0 {
		return report{}, fmt.Errorf("run: answer with %d bytes: %w", len(b), errReport)
	}
	return r, nil
}

// fields reads what encode writes. After the first that is bad all are zero.
type fields struct {
	rest string
	bad  bool
}

func (f *fields) fail() {
	f.rest, f.bad = "", true
}

func (f *fields) number() int64 {
	u := uint64(0)
	for i := range min(len(f.rest), binary.MaxVarintLen64) {
		c := f.rest[i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			break // past 64 bits
		}
		if u |= uint64(c&0x7f) << (7 * i); c < 0x80 {
			f.rest = f.rest[i+1:]
			return int64(u>>1) ^ -int64(u&1)
		}
	}
	f.fail()
	return 0
}

func (f *fields) time() time.Duration { return time.Duration(f.number()) }

func (f *fields) int() int {
	n := f.number()
	if n < math.MinInt || n > math.MaxInt {
		f.fail()
		return 0
	}
	return int(n)
}

// count is how many things follow, of at least a byte each.
func (f *fields) count() int {
	n := f.number()
	if n < 0 || n > int64(len(f.rest)) {
		f.fail()
		return 0
	}
	return int(n)
}

func (f *fields) text() string {
	n := f.count()
	s := f.rest[:n]
	f.rest = f.rest[n:]
	return s
}

func (f *fields) span() Span {
	flags := f.number()
	s := Span{What: What(f.text()), Host: f.text(), Codec: f.text(), Took: f.time(), At: f.time(), Skew: f.time(), Bytes: f.int(), Transfer: f.time()}
	if n := f.count(); n > 0 {
		s.Layers = make([]time.Duration, n)
		for i := range s.Layers {
			s.Layers[i] = f.time()
		}
	}
	if flags&hasSegment != 0 {
		s.Segment = &split.Segment{From: f.int(), To: f.int()}
	}
	if flags&hasHop != 0 {
		s.Hop = &split.Hop{From: f.text(), To: f.text(), Position: f.int(), Back: flags&hopBack != 0, Tile: flags&hopTile != 0}
	}
	return s
}
