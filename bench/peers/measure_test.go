package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/ops"
)

// TestMain lets the test binary be a worker, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == workerArg {
		if err := serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// rectifier is a model in a file: y = max(x, 0).
func rectifier(t *testing.T) model {
	t.Helper()
	op, err := ops.New("", "Relu", 13, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := &graph.Graph{Name: "rectifier"}
	x := g.Input("x", tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{2, 500}})
	if g.Outputs, err = g.Add("relu", op, &graph.Spec{Type: "Relu", Version: 13}, []*graph.Value{x}, "y"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rectifier.onnx")
	if err := export(path, g); err != nil {
		t.Fatal(err)
	}
	m, err := prepare(path, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEachEngineIsMeasuredInEachRound(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	list := []contender{
		{subject, []string{self, workerArg}},
		{"absent", []string{filepath.Join(t.TempDir(), "absent")}},
		{"twin", []string{self, workerArg}},
	}
	p := protocol{Rounds: 3, Extra: 0, Turn: time.Millisecond, Warmup: time.Millisecond, Others: 1}
	res, err := measure(context.Background(), list, rectifier(t), 1, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Rounds) != 3 || res.Repeats != 0 {
		t.Errorf("%d rounds and %d repeats, want 3 and 0", len(res.Rounds), res.Repeats)
	}
	for _, r := range res.Rounds {
		if len(r) != 2 || len(r[0].Samples) == 0 || len(r[1].Samples) == 0 {
			t.Errorf("a round has the turns %v, want samples of two engines", r)
		}
	}
	for _, name := range []string{subject, "twin"} {
		if en := res.of(name); en.Error != "" || en.Median <= 0 || en.Ratio <= 0 || en.Version == "" {
			t.Errorf("%s: %+v, want a time, a ratio and a version", name, en)
		}
	}
	if en := res.of("absent"); !strings.Contains(en.Error, "absent") || en.Median != 0 {
		t.Errorf("absent engine: %+v, want an error and no time", en)
	}
}

func TestWorkerComputesTheModel(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := start(context.Background(), []string{self, workerArg})
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	if _, err := p.run(1); err == nil {
		t.Error("run before load is no error")
	}
	m := rectifier(t)
	if _, err := p.call(request{Cmd: "load", Model: m.path, Threads: 1, Inputs: m.inputs}); err != nil {
		t.Fatal(err)
	}
	got, err := p.outputs()
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.inputs[0].read()
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range want.F32() {
		want.F32()[i] = max(v, 0)
	}
	if len(got) != 1 || !got[0].Identical(want) {
		t.Errorf("got %v, want max(x, 0)", got)
	}
}

func TestEnginesThatDifferAreNotTimed(t *testing.T) {
	right := []*tensor.Tensor{tensortest.Random(1, 10)}
	close := []*tensor.Tensor{right[0].Clone()}
	close[0].F32()[3] += 5e-6
	wrong := []*tensor.Tensor{right[0].Clone()}
	wrong[0].F32()[3] += 0.1
	entries := []entry{{Engine: subject}, {Engine: "broken", Error: "no"}, {Engine: "reference"}, {Engine: "other"}}
	compare(entries, [][]*tensor.Tensor{close, nil, right, wrong})
	if en := entries[0]; en.Error != "" || en.Deviation < 4e-6 || en.Deviation > 1e-4 {
		t.Errorf("close outputs: %+v, want a deviation near 5e-6", en)
	}
	if entries[1].Error != "no" || entries[2].Error != "" {
		t.Errorf("got %+v, want the first one's error and none for the reference", entries[1:3])
	}
	if !strings.Contains(entries[3].Error, "differ from reference's") {
		t.Errorf("wrong outputs: error %q", entries[3].Error)
	}
}

func TestFilesOfWorkersAreChecked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.bin")
	good, err := writeTensor(path, "t", tensor.Of([]int64{1, 2}, 2))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := good.read(); err != nil || got.I64()[1] != 2 {
		t.Errorf("got %v, %v", got, err)
	}
	for name, f := range map[string]file{
		"unknown type": {"t", "complex64", []int{2}, path},
		"wrong size":   {"t", "int64", []int{3}, path},
		"too large":    {"t", "int64", []int{1 << 30}, path},
		"no file":      {"t", "int64", []int{2}, path + "x"},
	} {
		if _, err := f.read(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
