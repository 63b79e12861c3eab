//go:build !riscv64

package onnxgo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/owulveryck/onnx-go"
	"github.com/owulveryck/onnx-go/backend/testbackend"
	_ "github.com/owulveryck/onnx-go/backend/testbackend/onnx"
	gorgonia "gorgonia.org/tensor"

	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/onnximport"
)

// beyond are cases of onnx-go's list that our importer passes and a program that
// uses onnx-go cannot.
var beyond = map[string]string{
	"TestScan9Sum": "onnx-go does not read graphs among attributes",
}

// opsetOfFile is what a program that uses onnx-go has to know of its model.
func opsetOfFile(t *testing.T, data []byte) int {
	t.Helper()
	m, err := onnximport.Parse(data, onnximport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m.Opsets()[""]
}

// The node cases that onnx-go carries for its backends give the results that they
// give with our importer, when onnx-go decodes and runs them as it does for any
// backend, and twice.
func TestOfficialNodeCasesPassThroughOnnxGo(t *testing.T) {
	list, err := os.ReadFile(filepath.Join("..", "..", "testdata", "conformance", "testbackend.txt"))
	if err != nil {
		t.Fatal(err)
	}
	passed := map[string]bool{}
	for line := range strings.Lines(string(list)) {
		if f := strings.Fields(line); f[2] == "pass" {
			passed[f[1]] = true
		}
	}
	for _, f := range testbackend.GetAllRegisteredTests() {
		c := f()
		err := runCase(t, c)
		_, excused := beyond[c.Title]
		switch {
		case err != nil && passed[c.Title] && !excused:
			t.Errorf("%s: %v", c.Title, err)
		case err == nil && excused:
			t.Errorf("%s passes, although %s", c.Title, beyond[c.Title])
		}
	}
}

func runCase(t *testing.T, c *testbackend.TestCase) error {
	g := NewGraph(Options{Opset: opsetOfFile(t, c.ModelB)})
	m := onnx.NewModel(g)
	if err := m.UnmarshalBinary(c.ModelB); err != nil {
		return err
	}
	declared := m.GetInputTensors()
	for i, x := range c.Input {
		if err := m.SetInput(i, asDeclared(x, declared[i])); err != nil {
			return err
		}
	}
	for range 2 {
		if err := g.Run(); err != nil {
			return err
		}
		out, err := m.GetOutputTensors()
		if err != nil {
			return err
		}
		for i, want := range c.ExpectedOutput {
			if err := diff(out[i], want); err != nil {
				return err
			}
		}
	}
	return nil
}

// asDeclared is x as int64 if that is declared: some cases hold it as float32.
func asDeclared(x, declared gorgonia.Tensor) gorgonia.Tensor {
	t, err := fromGorgonia(x)
	if err != nil || t.DType != tensor.Float32 || declared.Dtype() != gorgonia.Int64 {
		return x
	}
	whole := make([]int64, t.Shape.Elems())
	for i, v := range t.F32() {
		whole[i] = int64(v)
	}
	return gorgonia.New(gorgonia.WithShape(t.Shape...), gorgonia.WithBacking(whole))
}

// diff compares as our importer's tests do. The cases have some scalars as
// vectors of one element or the other way round, and some int64 as float32.
func diff(got, want gorgonia.Tensor) error {
	g, err := fromGorgonia(got)
	if err != nil {
		return err
	}
	w, err := fromGorgonia(asDeclared(want, got))
	if err != nil {
		return err
	}
	if w.Shape.Elems() == 1 && g.Shape.Elems() == 1 {
		w.Shape = g.Shape
	}
	return tensortest.Diff(g, w, 1e-3, 1e-5)
}

func TestDefaultOpsetIsThatOfMostCases(t *testing.T) {
	count := map[int]int{}
	for _, f := range testbackend.GetAllRegisteredTests() {
		count[opsetOfFile(t, f().ModelB)]++
	}
	for opset, n := range count {
		if n > count[DefaultOpset] {
			t.Errorf("%d cases are of opset %d, and %d of the default, %d", n, opset, count[DefaultOpset], DefaultOpset)
		}
	}
}
