package onnximport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/tensortest"
	. "scission/onnximport/internal/pbtest"
	"scission/ops"
)

// body is a graph attribute.
func body(name string, fields ...[]byte) []byte {
	return Msg(Bytes(1, name), Sub(6, fields...), Int(20, 5))
}

func inputOf(name string) []byte { return Sub(11, Bytes(1, name)) }

// A model has named outputs for inputs; it gives them node by node, compiled, and
// compiled again after it was saved and loaded.
type behaviour struct {
	in   map[string]*tensor.Tensor
	want []*tensor.Tensor
}

func checkBehaviour(t *testing.T, data []byte, runs ...behaviour) {
	t.Helper()
	m := mustParse(t, data)
	shapes := map[string]tensor.Shape{}
	for name, x := range runs[0].in {
		shapes[name] = x.Shape
	}
	g, err := m.Graph(shapes)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := Save(&file, g); err != nil {
		t.Fatal(err)
	}
	for i, g := range []*graph.Graph{g, mustLoad(t, file.Bytes())} {
		plan, err := engine.Compile(g, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		session := plan.NewSession()
		for _, r := range runs {
			var in []*tensor.Tensor
			for _, v := range g.Inputs {
				in = append(in, r.in[v.Name])
			}
			slow, err := graph.Interpret(g, in)
			if err != nil {
				t.Fatal(err)
			}
			fast, err := session.Run(context.Background(), in)
			if err != nil {
				t.Fatal(err)
			}
			for j, want := range r.want {
				if err := tensortest.Diff(slow[j], want, 0, 0); err != nil {
					t.Errorf("graph %d, output %d, node by node: %v", i, j, err)
				}
				if err := tensortest.Diff(fast[j], want, 0, 0); err != nil {
					t.Errorf("graph %d, output %d, compiled: %v", i, j, err)
				}
			}
		}
	}
}

func list(v ...float32) *tensor.Tensor { return tensor.Of(v, len(v)) }

// y is x + w or the first two elements of s = x + x, as c says: two branches
// that capture values of which one is a constant, and give other shapes.
func branches(elseNode []byte) []byte {
	return model(
		node("Add", "sum", names("x", "x"), names("s")),
		node("If", "choose", names("c"), names("y"),
			body("then_branch", Bytes(2, "plus"), node("Add", "", names("x", "w"), names("p")), output("p")),
			body("else_branch", Bytes(2, "cut"), elseNode, output("q"))),
		node("Neg", "negate", names("y"), names("z")),
		initializer("w", tensor.Float32, []int64{3}, Floats(4, 1, 2, 3)), initializer("zero", tensor.Int64, []int64{1}, Ints(7, 0)),
		initializer("two", tensor.Int64, []int64{1}, Ints(7, 2)),
		input("x", tensor.Float32, 3), input("c", tensor.Bool), output("z"))
}

func TestIfRunsTheBranchThatTheConditionNames(t *testing.T) {
	x := list(10, 20, 30)
	yes := map[string]*tensor.Tensor{"x": x, "c": tensor.Scalar(true)}
	no := map[string]*tensor.Tensor{"x": x, "c": tensor.Scalar(false)}
	other := branches(node("Slice", "", names("s", "zero", "two"), names("q")))
	checkBehaviour(t, other, behaviour{yes, []*tensor.Tensor{list(-11, -22, -33)}}, behaviour{no, []*tensor.Tensor{list(-20, -40)}},
		behaviour{yes, []*tensor.Tensor{list(-11, -22, -33)}})
	same := branches(node("Sub", "", names("s", "w"), names("q")))
	checkBehaviour(t, same, behaviour{yes, []*tensor.Tensor{list(-11, -22, -33)}}, behaviour{no, []*tensor.Tensor{list(-19, -38, -57)}})
	if g := mustLoad(t, same); g.Outputs[0].Late {
		t.Error("the result is late though both branches give the same type")
	}
	if g := mustLoad(t, other); !g.Outputs[0].Late {
		t.Error("the result is not late though the branches give other types")
	}
}

// The partial sums of 0 to n-1 while they stay below 6, and a list that grows.
func TestLoopCarriesVariablesAndCollectsSlices(t *testing.T) {
	data := model(
		node("Loop", "count", names("n", "", "start", "grown"), names("sum", "long", "sums"),
			body("body", Bytes(2, "add"),
				node("Cast", "", names("i"), names("f"), Msg(Bytes(1, "to"), Int(3, 1), Int(20, 2))),
				node("Add", "", names("sum_in", "f"), names("sum_out")),
				node("Less", "", names("sum_out", "six"), names("more")),
				node("Concat", "", names("grown_in", "grown"), names("grown_out"), Msg(Bytes(1, "axis"), Int(3, 0), Int(20, 2))),
				node("Identity", "", names("sum_out"), names("slice")),
				inputOf("i"), inputOf("going"), inputOf("sum_in"), inputOf("grown_in"),
				output("more"), output("sum_out"), output("grown_out"), output("slice"))),
		initializer("six", tensor.Float32, nil, Floats(4, 6)),
		input("n", tensor.Int64), input("start", tensor.Float32), input("grown", tensor.Float32, 1), output("sum"), output("long"), output("sums"))
	at := func(n int64) map[string]*tensor.Tensor {
		return map[string]*tensor.Tensor{"n": tensor.Scalar(n), "start": tensor.Scalar[float32](0), "grown": list(7)}
	}
	checkBehaviour(t, data,
		behaviour{at(3), []*tensor.Tensor{tensor.Scalar[float32](3), list(7, 7, 7, 7), list(0, 1, 3)}},
		behaviour{at(9), []*tensor.Tensor{tensor.Scalar[float32](6), list(7, 7, 7, 7, 7), list(0, 1, 3, 6)}})
}

func TestRunOfALoopEndsWithItsContext(t *testing.T) {
	g := mustLoad(t, model(
		node("Loop", "forever", names("", "", "x"), names("y"),
			body("body", node("Neg", "", names("v"), names("w")), node("Identity", "", names("go"), names("on")),
				inputOf("i"), inputOf("go"), inputOf("v"), output("on"), output("w"))),
		input("x", tensor.Float32, 1), output("y")))
	plan, err := engine.Compile(g, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go cancel()
	if _, err := plan.NewSession().Run(ctx, []*tensor.Tensor{list(1)}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the context", err)
	}
}

// functions is a model that calls Scaled twice, y = x * by + Twice(x), which calls
// Twice, y = x + x.
func functions() []byte {
	const domain = "com.example"
	opsets := Msg(Sub(9, Int(2, 13)), Sub(9, Bytes(1, domain), Int(2, 1)))
	inDomain := func(op string, in, out []string, attrs ...[]byte) []byte {
		return Sub(1, fieldsOf(node(op, "", in, out, attrs...)), Bytes(7, domain))
	}
	ref := Msg(Bytes(1, "value_float"), Bytes(21, "by"), Int(20, 1))
	twice := Sub(25, Bytes(1, "Twice"), Bytes(4, "a"), Bytes(5, "b"), replaceField(node("Add", "n", names("a", "a"), names("b")), 7), opsets, Bytes(10, domain))
	scaled := Sub(25, Bytes(1, "Scaled"), Bytes(4, "a"), Bytes(5, "y"), Bytes(6, "by"),
		replaceField(node("Constant", "", nil, names("k"), ref), 7), replaceField(node("Mul", "", names("a", "k"), names("m")), 7),
		replaceField(inDomain("Twice", names("a"), names("t")), 7), replaceField(node("Add", "", names("m", "t"), names("y")), 7), opsets, Bytes(10, domain))
	by := func(v float32) []byte { return Msg(Bytes(1, "by"), Float(2, v), Int(20, 1)) }
	return Msg(Int(1, 8), Bytes(7, Msg(inDomain("Scaled", names("x"), names("u"), by(10)), inDomain("Scaled", names("u"), names("v"), by(-1)),
		input("x", tensor.Float32, 2), output("v"))), Sub(8, Int(2, 13)), Sub(8, Bytes(1, domain), Int(2, 1)), twice, scaled)
}

// fieldsOf is the contents of an encoded field with a message.
func fieldsOf(field []byte) []byte {
	i := 1
	for field[i] >= 0x80 {
		i++
	}
	return field[i+1:]
}

// replaceField gives an encoded message field another number.
func replaceField(field []byte, num int) []byte { return Bytes(num, fieldsOf(field)) }

func TestFunctionsOfTheModelAreInlined(t *testing.T) {
	// u = 10x + 2x = 12x, v = -u + 2u = u.
	checkBehaviour(t, functions(), behaviour{map[string]*tensor.Tensor{"x": list(1, -2)}, []*tensor.Tensor{list(12, -24)}})
}

// A chain of functions each of which calls the next one twice would be 2^40 nodes.
func TestFunctionsOfFunctionsAreBounded(t *testing.T) {
	var functions []byte
	const domain = "com.example"
	call := func(op, in, out string) []byte {
		return Sub(7, Bytes(1, in), Bytes(2, out), Bytes(4, op), Bytes(7, domain))
	}
	for i := range 25 {
		next := fmt.Sprint("F", i+1)
		functions = append(functions, Sub(25, Bytes(1, fmt.Sprint("F", i)), Bytes(4, "a"), Bytes(5, "c"), call(next, "a", "b"), call(next, "b", "c"),
			Sub(9, Bytes(1, domain), Int(2, 1)), Bytes(10, domain))...)
	}
	data := Msg(Int(1, 8), Sub(7, Sub(1, Bytes(1, "x"), Bytes(2, "y"), Bytes(4, "F0"), Bytes(7, domain)), input("x", tensor.Float32, 1), output("y")),
		Sub(8, Int(2, 13)), Sub(8, Bytes(1, domain), Int(2, 1)), functions)
	if _, err := Load(data); !errors.Is(err, ops.ErrUnsupported) || !strings.Contains(err.Error(), "functions") {
		t.Errorf("got %v, want ErrUnsupported that names the functions", err)
	}
}

func TestSparseInitializersBecomeDense(t *testing.T) {
	sparse := func(dims, indices []byte) []byte {
		return Sub(15, Bytes(1, tensorOf("w", tensor.Float32, []int64{2}, Floats(4, 5, 7))), Bytes(2, indices), dims)
	}
	add := node("Add", "", names("x", "w"), names("y"))
	x, y := input("x", tensor.Float32, 2, 3), output("y")
	run := behaviour{map[string]*tensor.Tensor{"x": tensor.New(tensor.Float32, 2, 3)}, []*tensor.Tensor{tensor.Of([]float32{0, 5, 0, 7, 0, 0}, 2, 3)}}
	dims := Ints(3, 2, 3)
	checkBehaviour(t, model(add, sparse(dims, tensorOf("", tensor.Int64, []int64{2}, Ints(7, 1, 3))), x, y), run)
	checkBehaviour(t, model(add, sparse(dims, tensorOf("", tensor.Int64, []int64{2, 2}, Ints(7, 0, 1, 1, 0))), x, y), run)
	for name, data := range map[string][]byte{
		"beyond":  model(add, sparse(dims, tensorOf("", tensor.Int64, []int64{2}, Ints(7, 1, 6))), x, y),
		"too few": model(add, sparse(dims, tensorOf("", tensor.Int64, []int64{1}, Ints(7, 1))), x, y),
		"nothing": model(add, Sub(15, Sub(1, Bytes(8, "w"))), x, y),
	} {
		if _, err := Load(data); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v, want ErrFormat", name, err)
		}
	}
	if _, err := Load(model(add, sparse(Ints(3, 1<<40, 1<<40), tensorOf("", tensor.Int64, []int64{2}, Ints(7, 1, 3))), x, y)); err == nil {
		t.Error("a sparse tensor of 2^80 elements is accepted")
	}
}

// All scores are 0, so that the mask that score_mod adds picks the first row of v, and
// prob_mod multiplies by what it captures.
func TestFlexAttentionRunsItsGraphs(t *testing.T) {
	const preview = "ai.onnx.preview"
	data := append(model(
		Sub(1, Bytes(1, "q"), Bytes(1, "k"), Bytes(1, "v"), Bytes(2, "y"), Bytes(4, "FlexAttention"), Bytes(7, preview),
			Bytes(5, body("score_mod", Bytes(2, "mask"), node("Add", "", names("s", "mask"), names("masked")), inputOf("s"), output("masked"))),
			Bytes(5, body("prob_mod", Bytes(2, "scale"), node("Mul", "", names("p", "by"), names("scaled")), inputOf("p"), output("scaled")))),
		initializer("mask", tensor.Float32, []int64{2}, Floats(4, 0, float32(math.Inf(-1)))),
		input("q", tensor.Float32, 1, 2, 1, 2), input("k", tensor.Float32, 1, 1, 2, 2), input("v", tensor.Float32, 1, 1, 2, 2),
		input("by", tensor.Float32), output("y")), Sub(8, Bytes(1, preview), Int(2, 1))...)
	of := func(s tensor.Shape, v ...float32) *tensor.Tensor { return tensor.Of(v, s...) }
	in := map[string]*tensor.Tensor{
		"q": of(tensor.Shape{1, 2, 1, 2}, 1, 2, 3, 4), "k": of(tensor.Shape{1, 1, 2, 2}, 0, 0, 0, 0),
		"v": of(tensor.Shape{1, 1, 2, 2}, 5, 6, 7, 8), "by": tensor.Scalar[float32](4),
	}
	checkBehaviour(t, data, behaviour{in, []*tensor.Tensor{of(tensor.Shape{1, 2, 1, 2}, 20, 24, 20, 24)}})
}
