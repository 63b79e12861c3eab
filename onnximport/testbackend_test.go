//go:build !riscv64

// The cases import packages that do not compile for riscv64.

package onnximport

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/owulveryck/onnx-go/backend/testbackend"
	_ "github.com/owulveryck/onnx-go/backend/testbackend/onnx"
	gorgonia "gorgonia.org/tensor"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	"scission/ops"
)

var update = flag.Bool("update", false, "write the list of conformance results")

// The ONNX node tests that onnx-go carries give the results of the checked-in
// list: pass, fail or unsupported.
func TestOfficialNodeCasesGiveTheListedResults(t *testing.T) {
	var lines []string
	for _, f := range testbackend.GetAllRegisteredTests() {
		c := f()
		status, err := runCase(c, c.ModelB)
		if status == "fail" {
			t.Logf("%s %s: %v", c.OpType, c.Title, err)
		}
		lines = append(lines, fmt.Sprintf("%s %s %s\n", c.OpType, c.Title, status))
	}
	slices.Sort(lines)
	got, file := strings.Join(lines, ""), filepath.Join("..", "testdata", "conformance", "testbackend.txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.SplitAfter(string(list), "\n")
	for _, l := range lines {
		if !slices.Contains(want, l) {
			t.Errorf("got  %s", l)
		}
	}
	for _, l := range want {
		if l != "" && !slices.Contains(lines, l) {
			t.Errorf("want %s", l)
		}
	}
}

// runCase imports a case's model, runs it node by node and compares the
// outputs. The error says what a failure is.
func runCase(c *testbackend.TestCase, model []byte) (status string, err error) {
	m, err := Parse(model, Options{})
	if err != nil {
		return "fail", err
	}
	given, err := inputsOf(m, c)
	if err != nil {
		return "fail", err
	}
	shapes := map[string]tensor.Shape{}
	for _, in := range m.Inputs() {
		shapes[in.Name] = given[in.Name].Shape
	}
	g, err := m.Graph(shapes)
	if errors.Is(err, ops.ErrUnsupported) {
		return "unsupported", err
	}
	if err != nil {
		return "fail", err
	}
	got, err := evaluate(g, given)
	if err != nil {
		return "fail", err
	}
	if len(got) != len(c.ExpectedOutput) {
		return "fail", fmt.Errorf("got %d outputs, want %d", len(got), len(c.ExpectedOutput))
	}
	for i, o := range c.ExpectedOutput {
		want, err := convert(o)
		if err != nil {
			return "fail", err
		}
		if err := tensortest.Diff(got[i], likeDeclared(want, got[i].Type), 1e-3, 1e-5); err != nil {
			return "fail", fmt.Errorf("output %d: %w", i, err)
		}
	}
	return "pass", nil
}

// inputsOf returns the case's inputs by name.
func inputsOf(m *Model, c *testbackend.TestCase) (map[string]*tensor.Tensor, error) {
	given := map[string]*tensor.Tensor{}
	for i, v := range m.proto.Graph.Input {
		in, err := declared(v)
		if err != nil {
			return nil, err
		}
		x, err := convert(c.Input[i])
		if err != nil {
			return nil, err
		}
		shape := tensor.Shape{}
		for _, d := range in.Dims {
			shape = append(shape, d.Value)
		}
		given[in.Name] = likeDeclared(x, tensor.Type{DType: in.DType, Shape: shape})
	}
	return given, nil
}

// likeDeclared returns x as the model declares it where onnx-go does not keep
// that: the rank of one number, and int64, which some cases hold as float32.
func likeDeclared(x *tensor.Tensor, t tensor.Type) *tensor.Tensor {
	if x.DType == tensor.Float32 && t.DType == tensor.Int64 {
		whole := tensor.New(tensor.Int64, x.Shape...)
		for i, v := range x.F32() {
			whole.I64()[i] = int64(v)
		}
		x = whole
	}
	if len(x.Shape) == 0 && t.Shape.Elems() == 1 {
		return &tensor.Tensor{Type: tensor.Type{DType: x.DType, Shape: t.Shape}, Raw: x.Raw}
	}
	return x
}

// evaluate runs every node as one whose inputs are constants.
func evaluate(g *graph.Graph, given map[string]*tensor.Tensor) ([]*tensor.Tensor, error) {
	var in []*tensor.Tensor
	for _, v := range g.Inputs {
		in = append(in, given[v.Name])
	}
	return graph.Interpret(g, in)
}

// convert makes a tensor of one of onnx-go's.
func convert(x gorgonia.Tensor) (*tensor.Tensor, error) {
	shape := []int(x.Shape())
	switch v := x.Data().(type) {
	case []float32:
		return tensor.Of(v, shape...), nil
	case []float64:
		return tensor.Of(v, shape...), nil
	case []int32:
		return tensor.Of(v, shape...), nil
	case []int64:
		return tensor.Of(v, shape...), nil
	case []bool:
		return tensor.Of(v, shape...), nil
	case float32:
		return tensor.Scalar(v), nil
	case float64:
		return tensor.Scalar(v), nil
	case int32:
		return tensor.Scalar(v), nil
	case int64:
		return tensor.Scalar(v), nil
	case bool:
		return tensor.Scalar(v), nil
	default:
		return nil, fmt.Errorf("the case has a tensor of %T", v)
	}
}
