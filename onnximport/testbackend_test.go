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
	"google.golang.org/protobuf/encoding/protowire"
	gorgonia "gorgonia.org/tensor"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	. "scission/onnximport/internal/pbtest"
	"scission/ops"
)

var update = flag.Bool("update", false, "write the list of conformance results")

// The ONNX node tests that onnx-go carries give the results of the checked-in
// list: pass, fail or unsupported. An operator that needs a constant shape gets
// it as an initializer where the case has it as an input, and the list says so.
func TestOfficialNodeCasesGiveTheListedResults(t *testing.T) {
	var lines []string
	for _, f := range testbackend.GetAllRegisteredTests() {
		c := f()
		status, err := runCase(c, c.ModelB)
		if status == "unsupported" {
			if fixed, ok := withConstantShapes(t, c); ok {
				if s, err := runCase(c, fixed); s == "pass" {
					status = "pass with constant shapes"
				} else if s == "fail" {
					t.Logf("%s %s with constant shapes: %v", c.OpType, c.Title, err)
					status = s
				}
			}
		}
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
		if err := tensortest.Diff(got[i], likeDeclared(want, got[i].Shape), 1e-3, 1e-5); err != nil {
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
		given[in.Name] = likeDeclared(x, shape)
	}
	return given, nil
}

// likeDeclared returns x with the declared shape if it is one number, whose
// rank onnx-go does not keep.
func likeDeclared(x *tensor.Tensor, shape tensor.Shape) *tensor.Tensor {
	if len(x.Shape) == 0 && shape.Elems() == 1 {
		return &tensor.Tensor{Type: tensor.Type{DType: x.DType, Shape: shape}, Raw: x.Raw}
	}
	return x
}

// evaluate runs every node as one whose inputs are constants.
func evaluate(g *graph.Graph, given map[string]*tensor.Tensor) ([]*tensor.Tensor, error) {
	have := map[*graph.Value]*tensor.Tensor{}
	for _, v := range g.Inputs {
		have[v] = given[v.Name]
	}
	value := func(v *graph.Value) *tensor.Tensor {
		if v.Const != nil {
			return v.Const
		}
		return have[v]
	}
	for _, n := range g.Nodes {
		facts := graph.Facts(n.In)
		for i, v := range n.In {
			if v != nil {
				facts[i].Const = value(v)
			}
		}
		out, err := n.Op.Infer(facts)
		if err != nil {
			return nil, err
		}
		ts, err := graph.Eval(n.Op, facts, out[:len(n.Out)])
		if err != nil {
			return nil, err
		}
		for i, v := range n.Out {
			have[v] = ts[i]
		}
	}
	var outs []*tensor.Tensor
	for _, v := range g.Outputs {
		outs = append(outs, value(v))
	}
	return outs, nil
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

// withConstantShapes returns the case's model with those inputs that are lists
// of int64 as initializers, and whether there are any.
func withConstantShapes(t *testing.T, c *testbackend.TestCase) ([]byte, bool) {
	t.Helper()
	given, err := inputsOf(mustParse(t, c.ModelB), c)
	if err != nil {
		t.Fatal(err)
	}
	var add []byte
	for name, x := range given {
		if x.DType == tensor.Int64 && len(x.Shape) == 1 {
			add = append(add, initializer(name, x.DType, []int64{int64(x.Shape[0])}, Bytes(9, x.Raw))...)
		}
	}
	const graphField = 7
	var model []byte
	for b := c.ModelB; len(b) > 0; {
		num, kind, n := protowire.ConsumeTag(b)
		size := protowire.ConsumeFieldValue(num, kind, b[n:])
		if n < 0 || size < 0 {
			t.Fatalf("%s: the model is no protobuf message", c.Title)
		}
		field := b[:n+size]
		if num == graphField {
			g, _ := protowire.ConsumeBytes(b[n:])
			field = Bytes(graphField, Msg(g, add))
		}
		model, b = append(model, field...), b[n+size:]
	}
	return model, len(add) > 0
}
