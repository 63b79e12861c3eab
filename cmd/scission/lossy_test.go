package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"scission/engine/tensor"
	"scission/split"
)

// withCodecs adds to profiles that at each cut zeros+huff0 halves what crosses, and u8 leaves an eighth.
func withCodecs(t *testing.T, dir, model string) {
	t.Helper()
	m, err := openModel(model)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{deviceName, "edge"} {
		file := filepath.Join(dir, host+".json")
		p, err := readProfile(file)
		if err != nil {
			t.Fatal(err)
		}
		took := split.Samples{time.Microsecond}
		for _, at := range positions(m.Graph, 1) {
			p.Cuts = append(p.Cuts, split.CutProfile{Position: at.P, Width: at.Width, Bytes: at.Bytes, Codecs: []split.CodecProfile{
				{Name: "zeros+huff0", WireBytes: at.Bytes / 2, Encode: took, Decode: took},
				{Name: "u8", WireBytes: at.Bytes / 8, Encode: took, Decode: took},
			}})
		}
		if err := writeFile(file, p.Write); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLossyCodecsNeedTheUsersPermission(t *testing.T) {
	const model = "zoo:mobilenetv2"
	dir, file := planProfiles(t, time.Now()), filepath.Join(t.TempDir(), "plan.json")
	withCodecs(t, dir, model)
	for _, c := range []struct {
		flags string
		codec string
	}{{"", "zeros+huff0"}, {"--lossy", "u8"}, {"--codecs u8", "u8"}, {"--lossy --no-codec u8", "zeros+huff0"}} {
		args := append([]string{"plan", model, "--profiles", dir, "--network", "preset:wired", "--private", "2", "--split-only", "-o", file, "--json"}, strings.Fields(c.flags)...)
		out, _ := want(t, exitOK, args...)
		var p planFile
		if err := json.Unmarshal([]byte(out), &p); err != nil {
			t.Fatal(err)
		}
		if got := p.Estimates[0].Hops[0].Codec; got != c.codec {
			t.Errorf("plan %s: sends with %s, want %s", c.flags, got, c.codec)
		}
		warned := slices.ContainsFunc(p.Warnings, func(s string) bool { return strings.Contains(s, "u8, which changes values") })
		if warned != (c.codec == "u8") {
			t.Errorf("plan %s: warnings %q", c.flags, p.Warnings)
		}
	}
	want(t, exitOK, "plan", model, "--profiles", dir, "--network", "preset:wired", "--private", "2", "--split-only", "-o", file, "--lossy")
	edge := startWorker(t, "edge")
	exec := []string{"exec", model, "--plan", file, "--host", "edge=" + edge, "--input", "random:1", "--check", "--json"}
	if _, stderr := want(t, exitUsage, exec...); !strings.Contains(stderr, "u8, which changes values: --lossy allows that") {
		t.Errorf("exec without --lossy says %q", stderr)
	}
	var r execReport
	for _, how := range []string{"--lossy", "--codec raw"} {
		out, _ := want(t, exitOK, append(slices.Clone(exec), strings.Fields(how)...)...)
		r = execReport{}
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		if lossy := how == "--lossy"; (r.Close != nil) != lossy || (r.Identical != nil) == lossy {
			t.Errorf("%s: close %v, identical %v", how, r.Close, r.Identical)
		} else if lossy && (!r.Close.Within || r.Close.Difference == 0 || !slices.Equal(r.Close.Codecs, []string{"u8"})) || !lossy && !*r.Identical {
			t.Errorf("%s: close %v, identical %v", how, r.Close, r.Identical)
		}
	}
	stages := []string{"exec", model, "--stages", "device:0-20,edge@" + edge + ":21-end", "--input", "random:1", "--codec", "u4", "--check"}
	want(t, exitVerification, append(stages, "--tolerance", "0")...)
	out, _ := want(t, exitOK, append(stages, "--tolerance", "100")...)
	if !strings.Contains(out, "close: yes") || !strings.Contains(out, "u4 changes what it sends") || strings.Contains(out, "identical") {
		t.Errorf("it says\n%s", out)
	}
	want(t, exitUsage, append(stages, "--tolerance", "NaN")...)
}

// Codecs that change values are measured if that is wanted, on each cut.
func TestProfileMeasuresLossyCodecsWhenAsked(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		flags []string
		names []string
	}{{nil, codecNames()}, {[]string{"--lossy"}, allCodecNames()}} {
		want(t, exitOK, append([]string{"profile", "zoo:mobilenetv2", "-o", dir, "--runs", "1", "--warmup", "0", "--budget", "1s"}, c.flags...)...)
		p, err := readProfile(filepath.Join(dir, deviceName+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Cuts) == 0 {
			t.Fatal("no cut was measured")
		}
		for _, cut := range p.Cuts {
			var names []string
			for _, k := range cut.Codecs {
				names = append(names, k.Name)
			}
			if !slices.Equal(names, c.names) {
				t.Fatalf("with %v at cut %d: measured %v, want %v", c.flags, cut.Position, names, c.names)
			}
		}
		if err := os.Remove(filepath.Join(dir, deviceName+".json")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClosenessIsTheWorstOfAllOutputs(t *testing.T) {
	of := func(v ...float32) *tensor.Tensor { return tensor.Of(v, len(v)) }
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		got, want  *tensor.Tensor
		difference float64
		relative   float64
	}{
		{of(1, 2, -4), of(1, 2, -4), 0, 0},
		{of(1, 2.5, -4), of(1, 2, -4), 0.5, 0.125},
		{of(nan, inf), of(nan, inf), 0, 0},
		{of(nan, 1), of(1, 1), math.MaxFloat64, math.MaxFloat64},
		{of(1, 1), of(1, inf), math.MaxFloat64, math.MaxFloat64},
		{of(1), of(0), 1, math.MaxFloat64},
		{of(1, 1), of(1), math.MaxFloat64, math.MaxFloat64},
		{tensor.Of([]int64{5}, 1), tensor.Of([]int64{4}, 1), 1, 0.25},
	} {
		r := closeReport{Tolerance: 0.2}
		r.compare(of(1), of(1))
		r.compare(c.got, c.want)
		if r.Difference != c.difference || r.Relative != c.relative || r.Within != (c.relative <= 0.2) {
			t.Errorf("%v and %v: %+v, want %g and %g", c.got, c.want, r, c.difference, c.relative)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Error(err)
		}
	}
}
