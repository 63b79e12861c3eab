package run

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"scission/split"
)

// Of any report, whatever fields a Span has.
func TestReportsComeBackAsTheyWere(t *testing.T) {
	reports := rapid.Make[report]()
	rapid.Check(t, func(t *rapid.T) {
		want := reports.Draw(t, "report")
		if len(want.Spans) == 0 {
			want.Spans = nil
		}
		for i := range want.Spans {
			if len(want.Spans[i].Layers) == 0 {
				want.Spans[i].Layers = nil
			}
		}
		b := want.encode()
		got, err := decodeReport(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, error %v, want %+v", got, err, want)
		}
		if short, err := decodeReport(b[:len(b)-1]); err == nil {
			t.Fatalf("without its last byte: got %+v, want an error", short)
		}
		if long, err := decodeReport(append(b, 0)); err == nil {
			t.Fatalf("with a byte behind it: got %+v, want an error", long)
		}
	})
}

func TestReportIsAsDescribed(t *testing.T) {
	r := report{Transfer: 1, Decode: -1, Held: 64, Encode: 0, Spans: []Span{{
		What: Travel, Host: "h", Took: 2, At: 3, Skew: 4, Codec: "raw", Bytes: 5, Transfer: 6, Layers: []time.Duration{7},
		Segment: &split.Segment{From: 8, To: 9}, Hop: &split.Hop{From: "a", To: "b", Position: 10, Tile: true},
	}}}
	want := strings.Join([]string{
		"02", "01", "8001", "00", // zigzag: n is 2n, -n is 2n - 1
		"02", // a span
		"16", // segment, hop, tile
		"0c" + hex.EncodeToString([]byte("travel")), // what
		"02" + hex.EncodeToString([]byte("h")),      // host
		"06" + hex.EncodeToString([]byte("raw")),    // codec
		"04", "06", "08", "0a", "0c",                // took, at, skew, bytes, transfer
		"02", "0e", // layers
		"10", "12", // segment
		"0261", "0262", "14", // hop
	}, "")
	if got := hex.EncodeToString(r.encode()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzReport(f *testing.F) {
	f.Add(report{}.encode())
	f.Add(report{Spans: []Span{{What: Compute, Host: "edge", Segment: &split.Segment{To: 3}, Layers: make([]time.Duration, 3)}, {What: Travel, Hop: &split.Hop{From: "a", To: "b"}}}}.encode())
	f.Add([]byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeReport(b)
		if err != nil {
			if !reflect.DeepEqual(r, report{}) {
				t.Errorf("got %+v with the error %v", r, err)
			}
			return
		}
		if again, err := decodeReport(r.encode()); err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("got %+v, error %v, want %+v", again, err, r)
		}
	})
}
