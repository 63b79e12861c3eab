package split

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestParseStagesReadsNamesLayersAndAddresses(t *testing.T) {
	tests := []struct {
		text      string
		layers    int
		want      Partition
		addresses map[string]string
	}{
		{"device:0-65", 66, Partition{{"device", Segment{0, 66}}}, nil},
		{"device:all", 66, Partition{{"device", Segment{0, 66}}}, nil},
		{"device:0-0,edge:1-end", 3, Partition{{"device", Segment{0, 1}}, {"edge", Segment{1, 3}}}, nil},
		{"device:0-6, edge:7-11", 0, Partition{{"device", Segment{0, 7}}, {"edge", Segment{7, 12}}}, nil},
		{
			"device:0-6,edge@10.0.0.2:7070:7-11,cloud@[::1]:80:12-end", 66,
			Partition{{"device", Segment{0, 7}}, {"edge", Segment{7, 12}}, {"cloud", Segment{12, 66}}},
			map[string]string{"edge": "10.0.0.2:7070", "cloud": "[::1]:80"},
		},
		{
			"a@host.example:1:0-0,b:1-1,a:2-2", 3,
			Partition{{"a", Segment{0, 1}}, {"b", Segment{1, 2}}, {"a", Segment{2, 3}}},
			map[string]string{"a": "host.example:1"},
		},
		{"6700k(GPU):0-end", 5, Partition{{"6700k(GPU)", Segment{0, 5}}}, nil},
	}
	for _, tt := range tests {
		got, addresses, err := ParseStages(tt.text, tt.layers)
		if err != nil || !slices.Equal(got, tt.want) || !maps.Equal(addresses, tt.addresses) {
			t.Errorf("ParseStages(%q, %d) = %v, %v, %v, want %v, %v", tt.text, tt.layers, got, addresses, err, tt.want, tt.addresses)
		}
	}
}

func TestParseStagesNamesTheMistake(t *testing.T) {
	tests := []struct {
		text   string
		layers int
		want   string
	}{
		{"", 5, "has no layers"},
		{"device", 5, "has no layers"},
		{"device:7", 5, "want FIRST-LAST"},
		{"device:0-x", 5, `layer "x"`},
		{"device:-1-3", 5, `layer ""`},
		{"device:0-99999999999999999999", 5, "want a number from 0"},
		{"device:0-65536", 0, "want a number from 0 to 65535"},
		{"device:0-5", 5, "stages end before layer 6, want 5"},
		{"device:0-3", 5, "stages end before layer 4, want 5"},
		{"device:1-4", 5, "starts at layer 1, want 0"},
		{"device:0-1,edge:3-4", 5, "starts at layer 3, want 2"},
		{"device:0-2,edge:3-1,cloud:2-4", 5, "ends at layer 1, want 3 or later"},
		{"device:0-end,edge:5-4", 5, "ends at layer 4"},
		{"device:0-end", 0, "last layer is not known"},
		{"device:all", 0, "last layer is not known"},
		{":0-4", 5, "host name has 0 bytes"},
		{"de vice:0-4", 5, `contains ' '`},
		{"de\x1bvice:0-4", 5, "contains"},
		{strings.Repeat("x", 256) + ":0-4", 5, "256 bytes, want 1 to 255"},
		{"edge@:0-4", 5, `address ""`},
		{"edge@10.0.0.2:0-4", 5, `address "10.0.0.2"`},
		{"edge@10.0.0.2:0:0-4", 5, `port "0"`},
		{"edge@10.0.0.2:65536:0-4", 5, `port "65536"`},
		{"edge@::1:80:0-4", 5, "want HOST:PORT or [IPV6]:PORT"},
		{"edge@[::1:80:0-4", 5, "where it may not"},
		{"edge@[]:80:0-4", 5, "want HOST:PORT"},
		{"edge@a:1:0-1,edge@b:1:2-4", 5, "two addresses, a:1 and b:1"},
		{strings.Repeat("a:0-0,", 65), 5, "more than 64 stages"},
	}
	for _, tt := range tests {
		p, _, err := ParseStages(tt.text, tt.layers)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "split: ") {
			t.Errorf("ParseStages(%.40q, %d) = %v, error %v, want an error with %q", tt.text, tt.layers, p, err, tt.want)
		}
	}
	if _, err := ParsePartition("edge@a:1:0-4", 5); err == nil || !strings.Contains(err.Error(), "has an address") {
		t.Errorf("ParsePartition accepts an address: %v", err)
	}
}

func TestPartitionIsTextInJSON(t *testing.T) {
	p := Partition{{"device", Segment{0, 7}}, {"edge", Segment{7, 12}}, {"cloud", Segment{12, 66}}}
	data, err := json.Marshal(p)
	if want := `"device:0-6,edge:7-11,cloud:12-65"`; err != nil || string(data) != want {
		t.Errorf("got %s, %v, want %s", data, err, want)
	}
	var q Partition
	if err := json.Unmarshal(data, &q); err != nil || !slices.Equal(p, q) {
		t.Errorf("read back %v, %v, want %v", q, err, p)
	}
}

func TestNativeMeansOneHost(t *testing.T) {
	for text, want := range map[string]bool{
		"edge:0-4":                       true,
		"device:0-1,edge:2-4":            false,
		"device:0-1,device:2-4":          true,
		"device:0-1,edge:2-3,device:4-4": false,
	} {
		p, err := ParsePartition(text, 5)
		if err != nil || p.Native() != want {
			t.Errorf("%s: native %v, %v, want %v", text, p.Native(), err, want)
		}
	}
}

func FuzzParseStages(f *testing.F) {
	for _, s := range []string{
		"device:0-6,edge@10.0.0.2:7070:7-11,cloud@[::1]:80:12-end", "device:all", "a:0-0,b:1-1,a:2-end", "a@:1:0-3", "é:0-9",
	} {
		f.Add(s, 66)
		f.Add(s, 0)
	}
	f.Fuzz(func(t *testing.T, s string, layers int) {
		p, addresses, err := ParseStages(s, layers)
		if err != nil {
			if p != nil || addresses != nil {
				t.Fatalf("both a value and an error: %v", err)
			}
			return
		}
		if layers > 0 {
			if err := p.Validate(layers); err != nil {
				t.Fatal(err)
			}
		}
		q, err := ParsePartition(p.String(), layers)
		if err != nil || !slices.Equal(p, q) {
			t.Fatalf("%q read back as %v, %v, want %v", p.String(), q, err, p)
		}
	})
}
