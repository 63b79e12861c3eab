package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"scission/engine/tensor"
	"scission/engine/tensor/npy"
	"scission/engine/tensor/picture"
	"scission/onnximport"
)

// inputKinds says what can be an input's file.
const inputKinds = "a .npy, .npz, .jpg, .png, .webp or .pb file, or random:SEED[:SHAPE]"

// inputHelp explains --input and --preprocess.
const inputHelp = `An input is a .npy file, an array of a .npz file, a JPEG, PNG or WebP picture, an
ONNX TensorProto (.pb), or random:SEED, with 1 for dimensions that the model leaves
open unless random:SEED:8x3x224x224 gives them. NAME= may be left out for a model
with one input, and for a .npz file whose arrays have the inputs' names;
FILE.npz:ARRAY is one of its arrays. Several files for an input are run one after
the other, in any shapes that the model takes, or with --batch stacked along its
first dimension.

A picture is resized and cropped to the model's input, RGB or grey; 0 to 255
become 0 to 1 for inputs of floating point. --preprocess says otherwise:

  resize: stretch | shorter (cover, the default) | letterbox | none
  size, crop: 224 or [HEIGHT, WIDTH]; 0 is open; crop is in the middle
  filter: nearest | box | bilinear | bicubic | lanczos; aliased: true does not
          average when shrinking, as OpenCV and TensorFlow
  pad: colour around a letterboxed picture, 0 to 255
  color: RGB | BGR | grey     layout: NCHW | NHWC | CHW | HWC | NHW | HW
  scale, mean, std: a number or one for each channel, of (x*scale - mean) / std
  type: float32, uint8, ...

The same stands in MODEL.scission.yaml beside MODEL.onnx, in "preprocess" for all
inputs and in "inputs" by name, with "labels", a file in the same folder; the flag
goes before it, or names another such file.`

// inputFlags say what a model is given.
type inputFlags struct {
	files      []string
	preprocess string
	batch      bool
}

func (f *inputFlags) flags(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.files, "input", nil, "`NAME=FILE` for each input: "+inputKinds)
	c.Flags().StringVar(&f.preprocess, "preprocess", "", "`SPEC` of pictures, such as \"size: 256, crop: 224\", or a .yaml file")
	c.Flags().BoolVar(&f.batch, "batch", false, "stack an input's files along its first dimension")
	c.MarkFlagFilename("input", "npy", "npz", "jpg", "jpeg", "png", "webp", "pb")
	c.MarkFlagFilename("preprocess", "yaml", "yml")
}

// feed is what a model is given, for one run or several.
type feed struct {
	model   *model
	sidecar sidecar
	runs    int
	// specs is how pictures become each input, for what has been loaded.
	specs map[string]picture.Spec

	inputs []onnximport.Input
	flags  inputFlags
	random bool
	given  map[string][]string // files by input; "" is for .npz files of several inputs
	shapes map[string]tensor.Shape
}

// open opens a model for what the flags say. Inputs that are not given are
// random with seed 1 if random is set, and an error otherwise. The model has no
// graph before something is loaded.
func (f inputFlags) open(arg string, random bool) (*feed, error) {
	given := map[string][]string{}
	for _, text := range f.files {
		name, file, ok := strings.Cut(text, "=")
		if !ok {
			name, file = "", text
		}
		given[name] = append(given[name], file)
	}
	m, err := openFile(arg)
	if err != nil {
		return nil, err
	}
	x := &feed{model: m, inputs: m.inputs(), flags: f, random: random, given: given, runs: 1, specs: map[string]picture.Spec{}}
	if files, unnamed := given[""]; unnamed {
		switch {
		case len(x.inputs) == 1 && len(given) == 1:
			delete(given, "")
			given[x.inputs[0].Name] = files
		case !slices.ContainsFunc(files, func(f string) bool { return !strings.EqualFold(filepath.Ext(f), archiveExt) }):
		default:
			return nil, usagef("model %s has inputs %s: give each one as NAME=FILE", m.Name, x.names())
		}
	}
	for name, files := range given {
		if name != "" && x.input(name) == nil {
			return nil, usagef("model %s has no input %q, it has %s", m.Name, name, x.names())
		}
		x.runs = max(x.runs, len(files))
	}
	for name, files := range given {
		if len(files) != 1 && len(files) != x.runs {
			return nil, usagef("%d files for input %q and %d for another: want as many, or one for all runs", len(files), name, x.runs)
		}
	}
	if f.batch {
		x.runs = 1
		if len(given[""]) > 1 {
			return nil, usagef("--batch wants its .npz files as NAME=FILE")
		}
	}
	if x.sidecar, err = readSidecar(arg, f.preprocess); err != nil {
		return nil, err
	}
	for name := range x.sidecar.Inputs {
		if x.input(name) == nil {
			return nil, usagef("%s: model %s has no input %q, it has %s", x.sidecar.path, m.Name, name, x.names())
		}
	}
	return x, nil
}

// openOne opens a model for one run and loads that.
func (f inputFlags) openOne(arg string, random bool) (*model, []*tensor.Tensor, error) {
	x, err := f.open(arg, random)
	if err != nil {
		return nil, nil, err
	}
	if x.runs > 1 {
		return nil, nil, usagef("%d files for an input, want one, or --batch", x.runs)
	}
	in, err := x.load(0)
	return x.model, in, err
}

func (x *feed) input(name string) *onnximport.Input {
	for i := range x.inputs {
		if x.inputs[i].Name == name {
			return &x.inputs[i]
		}
	}
	return nil
}

// names lists the inputs' names.
func (x *feed) names() string {
	var names []string
	for _, in := range x.inputs {
		names = append(names, strconv.Quote(in.Name))
	}
	return strings.Join(names, ", ")
}

// title names the files of run i among several.
func (x *feed) title(i int) string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(x.given)) {
		if files := x.given[name]; len(files) == x.runs {
			names = append(names, files[i])
		}
	}
	return strings.Join(names, ", ")
}

// rows names the rows of what is loaded, where files are stacked.
func (x *feed) rows() []string {
	if !x.flags.batch {
		return nil
	}
	for _, in := range x.inputs {
		if files := x.given[in.Name]; len(files) > 1 && len(files) == x.shapes[in.Name][0] {
			return files
		}
	}
	return nil
}

// load reads the inputs of run i, in the model's order, and builds the model's
// graph for their shapes, if they are others than those of the run before.
func (x *feed) load(i int) ([]*tensor.Tensor, error) {
	read := map[string]*tensor.Tensor{}
	for name, files := range x.given {
		if !x.flags.batch {
			files = files[min(i, len(files)-1):][:1]
		}
		if name == "" {
			continue
		}
		t, err := x.read(*x.input(name), files)
		if err != nil {
			return nil, err
		}
		if t != nil {
			read[name] = t
		}
	}
	if files := x.given[""]; files != nil {
		if err := x.spread(files[min(i, len(files)-1)], read); err != nil {
			return nil, err
		}
	}
	shapes := map[string]tensor.Shape{}
	for _, in := range x.inputs {
		if t := read[in.Name]; t != nil {
			shapes[in.Name] = t.Shape
		} else if _, shape, err := x.randomInput(in.Name, i); err == nil && shape != nil {
			shapes[in.Name] = shape
		}
	}
	if x.model.Graph == nil || !maps.EqualFunc(shapes, x.shapes, tensor.Shape.Equal) {
		if err := x.model.shape(shapes); err != nil {
			return nil, x.explain(err)
		}
	}
	x.shapes = shapes
	var in []*tensor.Tensor
	for k, v := range x.model.Graph.Inputs {
		t := read[v.Name]
		if t == nil {
			seed, shape, err := x.randomInput(v.Name, i)
			if err != nil {
				return nil, err
			}
			if shape != nil && !shape.Equal(v.Shape) {
				return nil, usagef("input %q of model %s has shape %v, want %v", v.Name, x.model.Name, v.Shape, shape)
			}
			t = randomTensor(v.Type, seed+uint64(k))
		}
		if !t.Type.Equal(v.Type) {
			return nil, x.explain(fmt.Errorf("input %q of model %s is %v, want %v", v.Name, x.model.Name, t.Type, v.Type))
		}
		in = append(in, t)
	}
	return in, nil
}

// explain adds to why a model does not take what it is given.
func (x *feed) explain(err error) error {
	if x.flags.batch {
		return fmt.Errorf("%w (files are stacked; without --batch they are run one after the other)", err)
	}
	return err
}

// loadAll loads the inputs of all runs, which must give the model one shape.
func (x *feed) loadAll() ([][]*tensor.Tensor, error) {
	var all [][]*tensor.Tensor
	for i := range x.runs {
		before := x.model.Graph
		in, err := x.load(i)
		if err != nil {
			return nil, err
		}
		if i > 0 && x.model.Graph != before {
			return nil, usagef("%s has another shape than the files before it", x.title(i))
		}
		all = append(all, in)
	}
	return all, nil
}

// randomInput returns the seed of an input that is random in run i, and its shape if
// that is given, else nil.
func (x *feed) randomInput(name string, i int) (uint64, tensor.Shape, error) {
	files := x.given[name]
	if files == nil {
		if !x.random {
			return 0, nil, usagef("input %q of model %s is missing: give --input %s=FILE, %s", name, x.model.Name, name, inputKinds)
		}
		return 1, nil, nil
	}
	file := files[min(i, len(files)-1)]
	number, dims, shaped := strings.Cut(strings.TrimPrefix(file, randomPrefix), ":")
	seed, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return 0, nil, usagef("input %q: %q, want random:SEED or random:SEED:SHAPE with numbers", name, file)
	}
	if !shaped {
		return seed, nil, nil
	}
	var shape tensor.Shape
	for d := range strings.SplitSeq(dims, "x") {
		n, err := strconv.Atoi(d)
		if err != nil || n < 0 {
			return 0, nil, usagef("input %q: %q, want a shape such as 8x3x224x224", name, file)
		}
		shape = append(shape, n)
	}
	return seed, shape, nil
}

// read reads the files of an input and stacks them. It returns nil for one that
// is random.
func (x *feed) read(in onnximport.Input, files []string) (*tensor.Tensor, error) {
	var parts []*tensor.Tensor
	bytes := 0
	for _, file := range files {
		if strings.HasPrefix(file, randomPrefix) {
			if len(files) > 1 {
				return nil, usagef("input %q: %s cannot be stacked", in.Name, file)
			}
			return nil, nil
		}
		t, err := x.readInput(in, file)
		if err != nil {
			return nil, err
		}
		if bytes += len(t.Raw); bytes > maxTensorFile {
			return nil, fmt.Errorf("input %q: more than %d bytes in %d files", in.Name, maxTensorFile, len(files))
		}
		parts = append(parts, t)
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	t, err := stack(parts)
	if err != nil {
		return nil, fmt.Errorf("input %q: %w", in.Name, err)
	}
	return t, nil
}

// stack joins tensors along their first dimension.
func stack(parts []*tensor.Tensor) (*tensor.Tensor, error) {
	first := parts[0].Type
	if len(first.Shape) == 0 {
		return nil, fmt.Errorf("%v has no dimension to stack along", first)
	}
	shape := first.Shape.Clone()
	shape[0] = 0
	for _, p := range parts {
		if p.DType != first.DType || len(p.Shape) != len(first.Shape) || !p.Shape[1:].Equal(first.Shape[1:]) {
			return nil, fmt.Errorf("%v and %v cannot be stacked", first, p.Type)
		}
		shape[0] += p.Shape[0]
	}
	t := tensor.New(first.DType, shape...)
	at := 0
	for _, p := range parts {
		at += copy(t.Raw[at:], p.Raw)
	}
	return t, nil
}

// archiveExt is the extension of archives of arrays.
const archiveExt = ".npz"

// extension is that of a file, or of the archive of FILE.npz:ARRAY, in lower case.
func extension(file string) string {
	if path, _, ok := cutArchive(file); ok {
		file = path
	}
	return strings.ToLower(filepath.Ext(file))
}

// cutArchive divides FILE.npz:ARRAY.
func cutArchive(file string) (path, array string, ok bool) {
	const mark = archiveExt + ":"
	i := strings.LastIndex(strings.ToLower(file), mark)
	if i < 0 {
		return file, "", false
	}
	return file[:i+len(mark)-1], file[i+len(mark):], true
}

// readInput reads one file for an input.
func (x *feed) readInput(in onnximport.Input, file string) (*tensor.Tensor, error) {
	switch extension(file) {
	case archiveExt:
		return readArray(file, in.Name)
	case ".jpg", ".jpeg", ".png", ".webp":
		t, err := x.readPicture(in, file)
		if err != nil {
			err = fmt.Errorf("input %q: %s: %w", in.Name, file, err)
		}
		if errors.Is(err, picture.ErrSpec) {
			err = fmt.Errorf("%w: %w", errUsage, err)
		}
		return t, err
	}
	return readTensor(file)
}

// readPicture makes an input of a picture.
func (x *feed) readPicture(in onnximport.Input, file string) (*tensor.Tensor, error) {
	b, err := readBounded(file, maxTensorFile)
	if err != nil {
		return nil, err
	}
	s, err := x.spec(in)
	if err != nil {
		return nil, err
	}
	p, err := picture.Decode(b)
	if err != nil {
		return nil, err
	}
	return s.Tensor(p)
}

// spec is how pictures become an input.
func (x *feed) spec(in onnximport.Input) (picture.Spec, error) {
	if s, known := x.specs[in.Name]; known {
		return s, nil
	}
	s, err := x.sidecar.spec(in.Name)
	if err != nil {
		return s, err
	}
	var dims []int
	for _, d := range in.Dims {
		dims = append(dims, d.Value)
	}
	if s, err = s.For(in.DType, dims); err != nil {
		return s, err
	}
	x.specs[in.Name] = s
	return s, nil
}

// openArchive opens a .npz file.
func openArchive(path string) (*os.File, *npy.Zip, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil {
		var z *npy.Zip
		if z, err = npy.OpenZip(f, info.Size()); err == nil {
			return f, z, nil
		}
	}
	f.Close()
	return nil, nil, fmt.Errorf("%s: %w", path, err)
}

// readArray reads the array of a .npz file that file names as FILE.npz:ARRAY, or
// else that of the given name, or else its only one.
func readArray(file, name string) (*tensor.Tensor, error) {
	path, array, named := cutArchive(file)
	f, z, err := openArchive(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names := z.Names()
	switch {
	case named:
		name = array
	case slices.Contains(names, name):
	case len(names) == 1:
		name = names[0]
	default:
		return nil, usagef("%s has the arrays %q: give one as %s:ARRAY", path, names, path)
	}
	t, err := z.Read(name, maxTensorFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// spread reads the arrays of a .npz file that have the names of inputs for which
// nothing else is given. Another name is an error.
func (x *feed) spread(path string, read map[string]*tensor.Tensor) error {
	f, z, err := openArchive(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, name := range z.Names() {
		if x.input(name) == nil {
			return usagef("%s: model %s has no input %q, it has %s", path, x.model.Name, name, x.names())
		}
		if x.given[name] != nil {
			continue
		}
		if read[name], err = z.Read(name, maxTensorFile); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}
