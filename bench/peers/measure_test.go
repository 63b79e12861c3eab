package main

import (
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
		scission().Main()
		return
	}
	if len(os.Args) == 3 && os.Args[1] == busyArg {
		fmt.Fprintln(os.Stderr, beBusy(os.Args[2]))
		os.Exit(1)
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

// quick is a protocol that takes no time and finds no round noisy.
var quick = protocol{Rounds: 3, Starts: 1, Turn: time.Millisecond, Warmup: time.Millisecond, Others: 1, Slowest: time.Minute, Patience: time.Minute}

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
	m := rectifier(t)
	if err := m.convert(t.Context(), list, t.TempDir(), time.Minute); err != nil {
		t.Fatal(err)
	}
	res, err := measure(t.Context(), list, m, 1, quick)
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
		en := res.of(name)
		if en.Error != "" || en.Median <= 0 || en.Ratio <= 0 || en.Version == "" {
			t.Errorf("%s: %+v, want a time, a ratio and a version", name, en)
		}
		if en.Ready <= 0 || en.First <= 0 || en.BaseRSS <= 0 || en.PeakRSS < en.BaseRSS {
			t.Errorf("%s: %+v, want a cold start and memory that grows", name, en)
		}
	}
	if en := res.of("absent"); !strings.Contains(en.Error, "absent") || en.Median != 0 {
		t.Errorf("absent engine: %+v, want an error and no time", en)
	}
}

func TestSlowEngineIsLeftOutAndSaysSo(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	list, m := []contender{{subject, []string{self, workerArg}}}, rectifier(t)
	if err := m.convert(t.Context(), list, t.TempDir(), time.Minute); err != nil {
		t.Fatal(err)
	}
	p := quick
	p.Slowest = 0
	res, err := measure(t.Context(), list, m, 1, p)
	if en := res.of(subject); err != nil || !strings.Contains(en.Error, "a run takes") || len(res.Rounds) != 0 {
		t.Errorf("%+v, %v, want the error that a run takes too long", en, err)
	}
}

func TestEngineThatDoesNotAnswerIsGivenUp(t *testing.T) {
	p, err := start(t.Context(), []string{"sleep", "600"}, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	if _, err := p.hello(); err == nil || !strings.Contains(err.Error(), "no answer to hello") {
		t.Errorf("got %v, want that there is no answer", err)
	}
}

func TestWorkerComputesTheModel(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := start(t.Context(), []string{self, workerArg}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	if _, err := p.run(1); err == nil {
		t.Error("run before load is no error")
	}
	m := rectifier(t)
	if err := p.load(m, m.path, 1); err != nil {
		t.Fatal(err)
	}
	got, err := p.outputs()
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.inputs[0].Read()
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

func TestOutputsThatDifferAreFound(t *testing.T) {
	right := []*tensor.Tensor{tensortest.Random(1, 10)}
	close := []*tensor.Tensor{right[0].Clone()}
	close[0].F32()[3] += 5e-6
	wrong := []*tensor.Tensor{right[0].Clone()}
	wrong[0].F32()[3] += 0.1
	entries := []entry{{Engine: subject}, {Engine: "broken", Error: "no"}, {Engine: "standard"}, {Engine: "other"}}
	errs := compare(entries, [][]*tensor.Tensor{close, nil, right, wrong})
	if en := entries[0]; errs[0] != nil || en.Deviation < 4e-6 || en.Deviation > 1e-4 {
		t.Errorf("close outputs: %+v, %v, want a deviation near 5e-6", en, errs[0])
	}
	if errs[1] != nil || errs[2] != nil {
		t.Errorf("got %v, want nothing about the broken engine and the standard", errs[1:3])
	}
	if errs[3] == nil || !strings.Contains(errs[3].Error(), "differ from standard's") {
		t.Errorf("wrong outputs: error %v", errs[3])
	}
}
