package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"scission/bench/zoo"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/npy"
	"scission/onnximport"
	"scission/split/run"
)

// zooPrefix marks the name of a built-in network where a model is expected.
const zooPrefix = "zoo:"

// model is a model that a command works on. A file stays mapped until the
// process ends, since results may lie in it.
type model struct {
	run.Model
	file *onnximport.Model // nil for a built-in network
}

// openModel opens a file or builds a network of the zoo. Inputs whose shape the
// file leaves open get it from shapes.
func openModel(arg string, shapes map[string]tensor.Shape) (*model, error) {
	if name, ok := strings.CutPrefix(arg, zooPrefix); ok {
		g, err := zoo.Build(name)
		if errors.Is(err, zoo.ErrUnknown) {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		if err != nil {
			return nil, err
		}
		return &model{Model: run.Model{Name: arg, Graph: g}}, nil
	}
	m, err := onnximport.Open(arg, onnximport.Options{})
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(filepath.Base(arg), filepath.Ext(arg))
	return (&model{Model: run.Model{Name: name}, file: m}).shape(shapes)
}

// shape builds the file's graph for the given shapes of inputs.
func (m *model) shape(shapes map[string]tensor.Shape) (*model, error) {
	if m.file == nil {
		return m, nil
	}
	g, err := m.file.Graph(shapes)
	if err != nil {
		return nil, err
	}
	m.Graph, m.Shapes = g, map[string]tensor.Shape{}
	for _, in := range g.Inputs {
		m.Shapes[in.Name] = in.Shape
	}
	return m, nil
}

// portable fills in what a worker needs to get the model: its content as one
// ONNX file, and the digest of that.
func (m *model) portable(path string) error {
	if m.file != nil && !m.file.External() {
		sum := m.file.Digest()
		m.Digest = hex.EncodeToString(sum[:])
		m.Content = func() (io.ReadCloser, int64, error) { return run.OpenContent(path) }
		return nil
	}
	h := sha256.New()
	n := &counter{w: h}
	if err := onnximport.Save(n, m.Graph); err != nil {
		return err
	}
	m.Digest = hex.EncodeToString(h.Sum(nil))
	m.Content = func() (io.ReadCloser, int64, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(onnximport.Save(w, m.Graph)) }()
		return r, n.n, nil
	}
	return nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return c.w.Write(b)
}

// loadStored is run.Node.Load for ONNX files.
func loadStored(path string, shapes map[string]tensor.Shape) (*graph.Graph, io.Closer, error) {
	m, err := onnximport.Open(path, onnximport.Options{})
	if err != nil {
		return nil, nil, err
	}
	g, err := m.Graph(shapes)
	if err != nil {
		m.Close()
		return nil, nil, err
	}
	return g, m, nil
}

// maxTensorFile bounds the bytes of a tensor that is read from a file.
const maxTensorFile = 1 << 30

// openWithInputs opens a model for the inputs that --input gives, NAME=FILE or,
// for a model with one input, FILE. FILE is a .npy, an ONNX TensorProto .pb, or
// random:SEED. Inputs that are not given are random with seed 1 if random is
// set, and an error otherwise.
func openWithInputs(arg string, flags []string, random bool) (*model, []*tensor.Tensor, error) {
	given := map[string]string{}
	for _, f := range flags {
		name, file, ok := strings.Cut(f, "=")
		if !ok {
			name, file = "", f
		}
		if _, twice := given[name]; twice {
			return nil, nil, usagef("input %q is given twice", name)
		}
		given[name] = file
	}
	read := map[string]*tensor.Tensor{}
	shapes := map[string]tensor.Shape{}
	for name, file := range given {
		if strings.HasPrefix(file, randomPrefix) {
			continue
		}
		t, err := readTensor(file)
		if err != nil {
			return nil, nil, err
		}
		read[name] = t
		shapes[name] = t.Shape
	}
	m, err := openModel(arg, nil)
	if err != nil {
		return nil, nil, err
	}
	if _, unnamed := given[""]; unnamed {
		if len(m.Graph.Inputs) != 1 || len(given) > 1 {
			return nil, nil, usagef("model %s has inputs %s: give each one as NAME=FILE", m.Name, inputNames(m.Graph))
		}
		only := m.Graph.Inputs[0].Name
		given[only], read[only], shapes[only] = given[""], read[""], shapes[""]
		delete(given, "")
	}
	for name := range given {
		if !hasInput(m.Graph, name) {
			return nil, nil, usagef("model %s has no input %q, it has %s", m.Name, name, inputNames(m.Graph))
		}
	}
	for name, s := range shapes {
		if s == nil && read[name] == nil {
			delete(shapes, name)
		}
	}
	delete(shapes, "")
	if m, err = m.shape(shapes); err != nil {
		return nil, nil, err
	}
	var in []*tensor.Tensor
	for i, v := range m.Graph.Inputs {
		t := read[v.Name]
		if t == nil {
			file, ok := given[v.Name]
			if !ok && !random {
				return nil, nil, usagef("input %q of model %s is missing: give --input %s=FILE (.npy, .pb or random:SEED)", v.Name, m.Name, v.Name)
			}
			seed := uint64(1)
			if ok {
				if seed, err = strconv.ParseUint(strings.TrimPrefix(file, randomPrefix), 10, 64); err != nil {
					return nil, nil, usagef("input %q: %q, want random:SEED with a number", v.Name, file)
				}
			}
			t = randomTensor(v.Type, seed+uint64(i))
		}
		if !t.Type.Equal(v.Type) {
			return nil, nil, fmt.Errorf("input %q of model %s is %v, want %v", v.Name, m.Name, t.Type, v.Type)
		}
		in = append(in, t)
	}
	return m, in, nil
}

func hasInput(g *graph.Graph, name string) bool {
	for _, v := range g.Inputs {
		if v.Name == name {
			return true
		}
	}
	return false
}

func inputNames(g *graph.Graph) string {
	var names []string
	for _, v := range g.Inputs {
		names = append(names, strconv.Quote(v.Name))
	}
	return strings.Join(names, ", ")
}

// randomPrefix marks a seed where an input's file is expected.
const randomPrefix = "random:"

// randomTensor is uniform in [-1, 1) for floating-point types, and 0 or 1 for
// the others, the same for a seed everywhere.
func randomTensor(t tensor.Type, seed uint64) *tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 0))
	x := tensor.New(t.DType, t.Shape...)
	for i := range t.Shape.Elems() {
		f := 2*r.Float32() - 1
		switch t.DType {
		case tensor.Float32:
			x.F32()[i] = f
		case tensor.Float64:
			tensor.View[float64](x)[i] = float64(f)
		case tensor.Float16:
			tensor.View[uint16](x)[i] = tensor.Float32ToFloat16(f)
		case tensor.BFloat16:
			tensor.View[uint16](x)[i] = tensor.Float32ToBFloat16(f)
		default:
			x.Raw[i*t.DType.Size()] = byte(r.IntN(2))
		}
	}
	return x
}

// readTensor reads a .npy file or an ONNX TensorProto.
func readTensor(path string) (*tensor.Tensor, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTensorFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxTensorFile {
		return nil, fmt.Errorf("%s: more than %d bytes", path, maxTensorFile)
	}
	var t *tensor.Tensor
	switch filepath.Ext(path) {
	case ".npy":
		t, err = npy.Read(bytes.NewReader(b), maxTensorFile)
	case ".pb":
		t, _, err = onnximport.ReadTensor(b, maxTensorFile)
	default:
		return nil, usagef("%s: want a .npy or .pb file, or random:SEED", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// writeTensor writes a tensor as NAME.npy into dir, with what cannot stand in
// a file's name replaced.
func writeTensor(dir, name string, t *tensor.Tensor) (path string, err error) {
	safe := strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r == ':' || r < ' ' {
			return '_'
		}
		return r
	}, name)
	if safe == "" || safe == "." || safe == ".." {
		safe = "output"
	}
	path = filepath.Join(dir, safe+".npy")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	if err := npy.Write(f, t); err != nil {
		f.Close()
		return "", err
	}
	return path, f.Close()
}
