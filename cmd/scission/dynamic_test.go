package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"scission/engine/tensor/npy"
	"scission/engine/tensor/tensortest"
)

// Runs of several shapes in turn give what each gives alone.
func TestRunsOfOneCommandMayHaveOtherShapes(t *testing.T) {
	model := filepath.Join(shared(t, "mobilenet_v2_050_128"), "model.onnx")
	outputs := func(args ...string) (list []outputReport) {
		t.Helper()
		out, _ := want(t, exitOK, append([]string{"run", model, "--json"}, args...)...)
		var r struct{ Outputs []outputReport }
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		return r.Outputs
	}
	var files []string
	for i, batch := range []int{1, 3, 1, 2, 3} {
		path := filepath.Join(t.TempDir(), fmt.Sprint(i, ".npy"))
		x := tensortest.Random(uint64(i), batch, 3, 128, 128)
		if err := writeFile(path, func(w io.Writer) error { return npy.Write(w, x) }); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	var alone []outputReport
	for _, f := range files {
		alone = append(alone, outputs(f)...)
	}
	all := outputs(files...)
	if len(all) != len(alone) {
		t.Fatalf("got %d outputs, want %d", len(all), len(alone))
	}
	for i, r := range all {
		if w := alone[i]; !r.Shape.Equal(w.Shape) || r.Min != w.Min || r.Max != w.Max || r.Mean != w.Mean {
			t.Errorf("run %d: got %+v, want %+v", i, r, w)
		}
	}
}

func TestRandomInputsMayHaveAShape(t *testing.T) {
	model := filepath.Join(shared(t, "mobilenet_v2_050_128"), "model.onnx")
	for input, rows := range map[string]int{"random:1": 1, "random:1:4x3x128x128": 4} {
		out, _ := want(t, exitOK, "run", model, input, "--json")
		var r struct{ Outputs []outputReport }
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		if got := r.Outputs[0].Shape; len(got) != 2 || got[0] != rows {
			t.Errorf("%s: got an output of shape %v, want %d rows", input, got, rows)
		}
		want(t, exitOK, "bench", model, "--input", input, "--runs", "1", "--warmup", "0")
	}
	want(t, exitUsage, "run", model, "random:1:4x3xspam")
	want(t, exitUsage, "run", model, "random:1:")
	want(t, exitFailure, "run", model, "random:1:4x3x128x127")
	want(t, exitUsage, "run", "zoo:mobilenetv2", "random:1:2x3x224x224")
}
