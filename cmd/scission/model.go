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

// openModel opens a file or builds a network of the zoo. Dimensions that a file
// leaves open become 1.
func openModel(arg string) (*model, error) {
	m, err := openFile(arg)
	if err != nil {
		return nil, err
	}
	return m, m.shape(nil)
}

// openFile is openModel without the graph of a file, which shape builds.
func openFile(arg string) (*model, error) {
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
	return &model{Model: run.Model{Name: name}, file: m}, nil
}

// inputs lists the inputs as the model declares them.
func (m *model) inputs() []onnximport.Input {
	if m.file != nil {
		return m.file.Inputs()
	}
	var list []onnximport.Input
	for _, v := range m.Graph.Inputs {
		in := onnximport.Input{Name: v.Name, DType: v.DType}
		for _, d := range v.Shape {
			in.Dims = append(in.Dims, onnximport.Dim{Value: d})
		}
		list = append(list, in)
	}
	return list
}

// shape builds the file's graph for the given shapes of inputs.
func (m *model) shape(shapes map[string]tensor.Shape) error {
	if m.file == nil {
		return nil
	}
	g, err := m.file.Graph(shapes)
	if err != nil {
		return err
	}
	m.Graph, m.Shapes = g, map[string]tensor.Shape{}
	for _, in := range g.Inputs {
		m.Shapes[in.Name] = in.Shape
	}
	return nil
}

// portable fills in what a worker needs to get the model: its content as one
// ONNX file, and the digest of that.
func (m *model) portable() error {
	var f *onnximport.File
	if m.file != nil && !m.file.External() {
		f = m.file.File()
		sum := m.file.Digest()
		m.Digest = hex.EncodeToString(sum[:])
	} else {
		var err error
		if f, err = onnximport.Encode(m.Graph); err != nil {
			return err
		}
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(f, 0, f.Size())); err != nil {
			return err
		}
		m.Digest = hex.EncodeToString(h.Sum(nil))
	}
	m.Content = run.NewContent(f, f.Size(), ranges(f.Weights()))
	return nil
}

func ranges(list []onnximport.Range) []run.Range {
	out := make([]run.Range, len(list))
	for i, r := range list {
		out[i] = run.Range(r)
	}
	return out
}

// loadStored is run.Node.Load for ONNX files.
func loadStored(path string, shapes map[string]tensor.Shape) (*graph.Graph, io.Closer, error) {
	return loadWithin(path, shapes, onnximport.Limits{})
}

func loadWithin(path string, shapes map[string]tensor.Shape, l onnximport.Limits) (*graph.Graph, io.Closer, error) {
	m, err := onnximport.Open(path, onnximport.Options{Limits: l, Alone: true})
	if err != nil {
		return nil, nil, err
	}
	g, uses, err := m.GraphUses(shapes)
	if err != nil {
		m.Close()
		return nil, nil, err
	}
	return g, storedModel{m, uses}, nil
}

// storedModel is an open file of which weights may be missing.
type storedModel struct {
	*onnximport.Model
	uses *onnximport.Uses
}

// Spare implements run.Sparer.
func (m storedModel) Spare(use func(layer int) bool) []run.Range { return ranges(m.uses.Unused(use)) }

// maxTensorFile bounds the bytes of a tensor that is read from a file.
const maxTensorFile = 1 << 30

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

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes", path, limit)
	}
	return b, nil
}

// readTensor reads a .npy file or an ONNX TensorProto.
func readTensor(path string) (*tensor.Tensor, error) {
	ext := extension(path)
	if ext != ".npy" && ext != ".pb" {
		return nil, usagef("%s: want %s", path, inputKinds)
	}
	b, err := readBounded(path, maxTensorFile)
	if err != nil {
		return nil, err
	}
	var t *tensor.Tensor
	if ext == ".npy" {
		t, err = npy.Read(bytes.NewReader(b), maxTensorFile)
	} else {
		t, _, err = onnximport.ReadTensor(b, maxTensorFile)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// writeTensor writes a tensor as NAME.npy into dir.
func writeTensor(dir, name string, t *tensor.Tensor) (path string, err error) {
	path = filepath.Join(dir, safeName(name)+".npy")
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

// safeName is a name as that of a file, with what cannot stand there replaced.
func safeName(name string) string {
	safe := strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r == ':' || r < ' ' {
			return '_'
		}
		return r
	}, name)
	if safe == "" || safe == "." || safe == ".." {
		return "output"
	}
	return safe
}
