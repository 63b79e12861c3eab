package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"scission/split"
)

// toy is a network of three layers on two hosts: 10 ms a layer on the device, 1
// ms on the edge, 100 kB at the inputs, 10 kB behind each layer.
func toy(t *testing.T) split.Problem {
	t.Helper()
	pb := split.Problem{
		Model: split.Model{Name: "toy & <co>", Digest: "d"}, Layers: 3, Hosts: []string{"device", "edge"},
		Positions: []split.Position{{P: 0, Bytes: 100_000, Width: 1}, {P: 1, Bytes: 10_000, Width: 1}, {P: 2, Bytes: 10_000, Width: 1}, {P: 3, Bytes: 10_000, Width: 1}},
		Profiles:  map[string]*split.Profile{}, Network: &split.Network{},
	}
	for host, took := range map[string]time.Duration{"device": 10 * time.Millisecond, "edge": time.Millisecond} {
		p := &split.Profile{Model: pb.Model, Host: host}
		for _, name := range []string{"a", "b", "c"} {
			p.Layers = append(p.Layers, split.LayerProfile{Name: name, Samples: split.Samples{took}})
		}
		for _, at := range pb.Positions {
			p.Cuts = append(p.Cuts, split.CutProfile{Position: at.P, Width: at.Width, Bytes: at.Bytes})
		}
		pb.Profiles[host] = p
	}
	if err := pb.Network.SetBoth("device", "edge", split.Link{Latency: time.Millisecond, Bandwidth: 1e6}); err != nil {
		t.Fatal(err)
	}
	return pb
}

func figures(t *testing.T, pb split.Problem) []*Figure {
	t.Helper()
	best, err := pb.Rank(split.Query{Top: 4})
	if err != nil {
		t.Fatal(err)
	}
	partitions, err := Partitions("best", best)
	if err != nil {
		t.Fatal(err)
	}
	bandwidth, err := Bandwidth(pb)
	if err != nil {
		t.Fatal(err)
	}
	front, err := pb.Pareto(split.Query{}, split.Latency, split.Egress)
	if err != nil {
		t.Fatal(err)
	}
	egress, err := Pareto(front, best, split.Egress, nil)
	if err != nil {
		t.Fatal(err)
	}
	return []*Figure{Layers(pb.Profiles["device"]), partitions, bandwidth, egress}
}

func TestFiguresAreWholePicturesThatShowSomething(t *testing.T) {
	dir := t.TempDir()
	for _, f := range figures(t, toy(t)) {
		paths, err := f.Write(dir)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(paths[0])
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("%s: %v", paths[0], err)
		}
		colours := map[[3]uint32]bool{}
		for y := range img.Bounds().Dy() {
			for x := range img.Bounds().Dx() {
				r, g, b, _ := img.At(x, y).RGBA()
				colours[[3]uint32{r, g, b}] = true
			}
		}
		blue := [3]uint32{0x0000, 0x7272, 0xb2b2}
		if img.Bounds().Dx() < 1000 || !colours[blue] {
			t.Errorf("%s: %v wide, without the colour of the first host or line: %v", f.Name, img.Bounds().Dx(), !colours[blue])
		}
		if b, err = os.ReadFile(paths[1]); err != nil {
			t.Fatal(err)
		}
		wellFormed(t, paths[1], b)
	}
}

func wellFormed(t *testing.T, name string, b []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Errorf("%s: %v", filepath.Base(name), err)
			return
		}
	}
}

// The bars of a partition are as long as its estimate, and in the order of a run.
func TestTimelineAddsUpToTheEstimate(t *testing.T) {
	pb := toy(t)
	e, err := pb.Predict(split.Partition{{Host: "device", Segment: split.Segment{From: 0, To: 1}}, {Host: "edge", Segment: split.Segment{From: 1, To: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	hosts := hostColours([]split.Estimate{e})
	parts := timeline(e, hosts)
	var sum time.Duration
	for _, p := range parts {
		sum += p.took
	}
	// 10 ms on the device, 1 ms + 10 kB at 1 MB/s there, 2 ms, the same back.
	if want := 34 * time.Millisecond; sum != want || e.Total != want {
		t.Errorf("the bar is %v long, the estimate %v, want %v", sum, e.Total, want)
	}
	if parts[0].colour != hosts.of["device"] || parts[2].colour != travelColour || parts[2].took != 11*time.Millisecond || parts[4].colour != hosts.of["edge"] {
		t.Errorf("got parts %v, want device, hop, edge, hop", parts)
	}
}

func TestPageIsOneFileAndEscapesNames(t *testing.T) {
	pb := toy(t)
	best, err := pb.Rank(split.Query{Top: 3})
	if err != nil {
		t.Fatal(err)
	}
	section := Section{Title: pb.Model.Name, Profiles: []*split.Profile{pb.Profiles["edge"]}, Best: best, Verdict: "<co> & more", Figures: figures(t, pb)}
	page := Page{Title: pb.Model.Name, Emulated: []string{"<script>"}, Sections: []Section{section}}
	var b strings.Builder
	if err := page.Write(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if strings.Contains(text, "<script>") || strings.Contains(text, "<co>") || !strings.Contains(text, "toy &amp; &lt;co&gt;") {
		t.Error("names are not escaped")
	}
	for _, f := range section.Figures {
		if !strings.Contains(text, `<figure id="`+f.Name+`">`) {
			t.Errorf("the page lacks figure %s", f.Name)
		}
	}
	if strings.Count(text, "<svg") != len(section.Figures) || !strings.Contains(text, best[0].Partition.String()) {
		t.Error("the page lacks a picture or the best partition")
	}
	if m := regexp.MustCompile(`(?i)(src|href)\s*=|url\(`).FindString(text); m != "" {
		t.Errorf("the page refers to something outside: %q", m)
	}
}

func TestBandwidthNeedsANetwork(t *testing.T) {
	pb := toy(t)
	pb.Network = nil
	if _, err := Bandwidth(pb); err == nil {
		t.Error("no network, no error")
	}
	if _, err := Partitions("none", nil); err == nil {
		t.Error("no partitions, no error")
	}
	if got := milliseconds(1500 * time.Microsecond); math.Abs(got-1.5) > 1e-12 {
		t.Errorf("got %v ms, want 1.5", got)
	}
}
