// Package ops holds the operators: one file each, with attributes, shape rule,
// choice of kernel, fusion and documentation together.
//
// The package registers its operators under their ONNX names; New builds one
// from its attributes. It knows graphs and tensors, but neither the engine
// that runs them, nor files, nor hosts. The arithmetic is in ops/internal, on
// slices and integers.
package ops

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"

	"scission/engine/graph"
	"scission/engine/tensor"
)

// ErrUnsupported is in every error that says that an operator, an opset, an
// attribute or a type is not supported. Typically the model is valid and other
// engines may run it.
var ErrUnsupported = errors.New("unsupported")

// Opsets of the ai.onnx domain between which New accepts operators.
const (
	MinOpset = 1
	MaxOpset = 28
)

type key struct{ domain, name string }

type definition struct {
	since int
	make  func(a *Attrs) graph.Op
}

// registry holds the definitions of each operator, oldest first.
var registry = map[key][]definition{}

// register adds an ai.onnx operator whose meaning from opset since on is what
// make builds. An operator that changed its meaning is registered once for
// each meaning.
func register(name string, since int, make func(a *Attrs) graph.Op) {
	k := key{"", name}
	registry[k] = append(registry[k], definition{since, make})
	sort.Slice(registry[k], func(i, j int) bool { return registry[k][i].since < registry[k][j].since })
}

// New returns the operator called name of domain ("" or "ai.onnx" is ONNX's
// own) as the opset version defines it. An attribute that the operator does
// not read is an error, never ignored. Errors that mean "not supported here"
// wrap ErrUnsupported.
func New(domain, name string, version int, attrs []graph.Attr) (graph.Op, error) {
	if domain == "ai.onnx" {
		domain = ""
	}
	shown := domain
	if shown == "" {
		shown = "ai.onnx"
	}
	defs, ok := registry[key{domain, name}]
	if !ok {
		return nil, fmt.Errorf("%w operator %s of domain %s, opset %d", ErrUnsupported, name, shown, version)
	}
	if domain == "" && (version < MinOpset || version > MaxOpset) {
		return nil, fmt.Errorf("%w opset %d of domain %s (operator %s), want %d to %d", ErrUnsupported, version, shown, name, MinOpset, MaxOpset)
	}
	i := len(defs) - 1
	for i >= 0 && defs[i].since > version {
		i--
	}
	if i < 0 {
		return nil, fmt.Errorf("%w opset %d of operator %s, domain %s, want at least %d", ErrUnsupported, version, name, shown, defs[0].since)
	}
	a := &Attrs{version: version, list: attrs, read: make([]bool, len(attrs))}
	op := defs[i].make(a)
	if a.err == nil {
		a.err = a.unread()
	}
	if a.err != nil {
		return nil, fmt.Errorf("operator %s of domain %s, opset %d: %w", name, shown, version, a.err)
	}
	return op, nil
}

// definitionOf returns the definition that an ai.onnx operator has in an opset. It is looked
// up when it is used, so that operators may be registered in any order.
func definitionOf(name string, version int) func(a *Attrs) graph.Op {
	return func(a *Attrs) graph.Op {
		defs := registry[key{"", name}]
		i := len(defs) - 1
		for defs[i].since > version {
			i--
		}
		a.version = version
		return defs[i].make(a)
	}
}

// Info describes a registered operator.
type Info struct {
	Domain string `json:"domain"`
	Name   string `json:"name"`
	Since  []int  `json:"since"` // the opsets at which its meaning changes, oldest first
}

// List returns all operators, ordered by domain and name.
func List() []Info {
	var l []Info
	for k, defs := range registry {
		in := Info{Domain: k.domain, Name: k.name}
		if in.Domain == "" {
			in.Domain = "ai.onnx"
		}
		for _, d := range defs {
			in.Since = append(in.Since, max(d.since, MinOpset))
		}
		l = append(l, in)
	}
	slices.SortFunc(l, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Name, b.Name))
	})
	return l
}

// Attrs gives a definition its attributes. The first thing that is wrong with
// them is kept and returned by New, so definitions need not check.
type Attrs struct {
	version int
	list    []graph.Attr
	read    []bool
	err     error
}

// Version is the opset version for which the operator is built.
func (a *Attrs) Version() int { return a.version }

// Fail makes New fail with the given error, unless an earlier one stands.
func (a *Attrs) Fail(format string, args ...any) {
	if a.err == nil {
		a.err = fmt.Errorf(format, args...)
	}
}

// Has reports whether the attribute is given, and counts as reading it.
func (a *Attrs) Has(name string) bool {
	_, ok := a.find(name)
	return ok
}

func (a *Attrs) find(name string) (any, bool) {
	for i, at := range a.list {
		if at.Name == name {
			a.read[i] = true
			return at.Value, true
		}
	}
	return nil, false
}

func attr[T any](a *Attrs, name string, missing T) T {
	v, ok := a.find(name)
	if !ok {
		return missing
	}
	t, ok := v.(T)
	if !ok {
		a.Fail("attribute %q is %T, want %T", name, v, missing)
		return missing
	}
	return t
}

// Int returns an integer attribute, or missing if it is not given.
func (a *Attrs) Int(name string, missing int) int {
	v := attr(a, name, int64(missing))
	if int64(int(v)) != v {
		a.Fail("attribute %q is %d, beyond this machine's integers", name, v)
	}
	return int(v)
}

// Only reads an integer attribute of which one value is supported, the one that it
// has when it is not given.
func (a *Attrs) Only(name string, want int) {
	if v := a.Int(name, want); v != want {
		a.Fail("%w %s %d, want %d", ErrUnsupported, name, v, want)
	}
}

// Float returns a float attribute, or missing if it is not given.
func (a *Attrs) Float(name string, missing float32) float32 { return attr(a, name, missing) }

// String returns a string attribute, or missing if it is not given.
func (a *Attrs) String(name, missing string) string { return attr(a, name, missing) }

// Ints returns a list of integers, or nil if it is not given.
func (a *Attrs) Ints(name string) []int {
	var list []int
	for _, v := range attr(a, name, []int64(nil)) {
		if int64(int(v)) != v {
			a.Fail("attribute %q has %d, beyond this machine's integers", name, v)
		}
		list = append(list, int(v))
	}
	return list
}

// Floats returns a list of floats, or nil if it is not given.
func (a *Attrs) Floats(name string) []float32 { return attr(a, name, []float32(nil)) }

// Strings returns a list of strings, or nil if it is not given.
func (a *Attrs) Strings(name string) []string { return attr(a, name, []string(nil)) }

// Tensor returns a tensor attribute, or nil if it is not given.
func (a *Attrs) Tensor(name string) *tensor.Tensor { return attr(a, name, (*tensor.Tensor)(nil)) }

func (a *Attrs) unread() error {
	for i, at := range a.list {
		if !a.read[i] {
			return fmt.Errorf("%w attribute %q", ErrUnsupported, at.Name)
		}
	}
	return nil
}
