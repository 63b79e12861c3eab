package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"scission/engine/tensor"
	"scission/engine/tensor/picture"
	"scission/engine/tensor/tensortest"
)

// labelledHelp explains --data.
const labelledHelp = `The labelled set is a .npz file with the arrays images and labels (or x and y, or
x_test and y_test), one example in each row: bytes are pictures, [N, H, W] or
[N, H, W, 3], and anything else is what the model takes, without further ado. Or
it is a folder of pictures with labels.txt, or any other .txt or .csv file beside
pictures: a line for each, the picture's file and its class, with a blank or a
comma between them. Classes are numbers from 0, or names if the model has labels.
Pictures become inputs as "scission run --help" says.`

// labelled is a set of examples and the classes that they are of.
type labelled struct {
	name   string
	labels []int
	// load makes the model's input of example i. It may be called by several
	// goroutines at once.
	load func(i int) (*tensor.Tensor, error)
}

const (
	// maxListFile bounds the bytes of a list of pictures, maxListed its lines.
	maxListFile = 64 << 20
	maxListed   = 1 << 22
	// keptInputs bounds the bytes of inputs that are kept once they are made.
	keptInputs = 256 << 20
)

// labelledSet opens a labelled set for the model of x, which has one input.
func (x *feed) labelledSet(path string) (*labelled, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	list := path
	if info.IsDir() {
		list = filepath.Join(path, "labels.txt")
	}
	var set *labelled
	switch extension(list) {
	case archiveExt:
		set, err = x.labelledArrays(path)
	case ".txt", ".csv":
		set, err = x.labelledPictures(list)
	default:
		return nil, usagef("--data %s: want a .npz, .txt or .csv file, or a folder", path)
	}
	if err != nil {
		return nil, err
	}
	set.name = filepath.Base(filepath.Clean(path))
	return set, nil
}

// labelledArrays reads a .npz file.
func (x *feed) labelledArrays(path string) (*labelled, error) {
	f, z, err := openArchive(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names := z.Names()
	var pair []string
	for _, p := range [][]string{{"images", "labels"}, {"x", "y"}, {"x_test", "y_test"}} {
		if slices.Contains(names, p[0]) && slices.Contains(names, p[1]) {
			pair = p
			break
		}
	}
	if pair == nil {
		return nil, usagef("%s has the arrays %q, want images and labels", path, names)
	}
	var arrays [2]*tensor.Tensor
	for i, name := range pair {
		if arrays[i], err = z.Read(name, maxTensorFile); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	set, err := x.examples(arrays[0], arrays[1])
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUsage, path, err)
	}
	return set, nil
}

// examples makes a labelled set of two arrays.
func (x *feed) examples(images, labels *tensor.Tensor) (*labelled, error) {
	if len(images.Shape) == 0 || images.Shape[0] < 1 || labels.Shape.Elems() != images.Shape[0] || len(labels.Shape) == 0 {
		return nil, fmt.Errorf("images %v and labels %v, want as many labels as images", images.Type, labels.Type)
	}
	set := &labelled{}
	for i := range images.Shape[0] {
		class := tensortest.At(labels, i)
		if class != float64(int32(class)) || class < 0 || class >= maxLabels {
			return nil, fmt.Errorf("label %d is %g, want a number of 0 to %d", i, class, maxLabels-1)
		}
		set.labels = append(set.labels, int(class))
	}
	stride, shape := len(images.Raw)/images.Shape[0], images.Shape[1:]
	row := func(i int) []byte { return images.Raw[i*stride : (i+1)*stride] }
	in := x.inputs[0]
	if images.DType == tensor.Uint8 && in.DType != tensor.Uint8 {
		channels := 1
		if len(shape) == 3 {
			channels = shape[2]
		}
		if len(shape) != 2 && len(shape) != 3 || channels != 1 && channels != 3 {
			return nil, fmt.Errorf("images %v, want pictures, [N, H, W] or [N, H, W, 3]", images.Type)
		}
		spec, err := x.spec(in)
		if err != nil {
			return nil, err
		}
		set.load = func(i int) (*tensor.Tensor, error) {
			return spec.Tensor(pictureOf(row(i), shape[0], shape[1], channels))
		}
		return set, nil
	}
	if images.DType != in.DType {
		return nil, fmt.Errorf("images %v, want %v or pictures of bytes", images.Type, in.DType)
	}
	one := shape.Clone()
	if len(in.Dims) == len(one)+1 {
		one = append(tensor.Shape{1}, one...) // the batch
	}
	set.load = func(i int) (*tensor.Tensor, error) {
		return &tensor.Tensor{Type: tensor.Type{DType: in.DType, Shape: one}, Raw: row(i)}, nil
	}
	return set, nil
}

// pictureOf is a picture of bytes, grey ones or those of three channels.
func pictureOf(b []byte, height, width, channels int) *picture.Picture {
	p := &picture.Picture{Width: width, Height: height, Pix: b}
	if channels == 1 {
		p.Pix = make([]byte, 0, 3*len(b))
		for _, v := range b {
			p.Pix = append(p.Pix, v, v, v)
		}
	}
	return p
}

// labelledPictures reads a list of pictures that are in the same folder, or in
// folders there.
func (x *feed) labelledPictures(list string) (*labelled, error) {
	b, err := readBounded(list, maxListFile)
	if err != nil {
		return nil, err
	}
	var names []string
	if source := x.sidecar.labels(); source != "" {
		if names, err = readLabels(source); err != nil {
			return nil, err
		}
	}
	set, files, err := parseList(string(b), names)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUsage, list, err)
	}
	in := x.inputs[0]
	if _, err := x.spec(in); err != nil { // which is known from here on
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	dir := filepath.Dir(list)
	set.load = func(i int) (*tensor.Tensor, error) { return x.readPicture(in, filepath.Join(dir, files[i])) }
	return set, nil
}

// parseList reads the lines of a list: a local file and a class, which may be
// one of names.
func parseList(text string, names []string) (*labelled, []string, error) {
	set, files := &labelled{}, []string(nil)
	for i, line := range linesOf(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		at := strings.LastIndexAny(line, ", \t")
		if comma := strings.LastIndexByte(line, ','); comma >= 0 {
			at = comma // so that a name may have blanks
		}
		if at < 0 {
			return nil, nil, fmt.Errorf("line %d: %.80q, want a file and a class", i+1, line)
		}
		file, name := strings.TrimSpace(line[:at]), strings.TrimSpace(line[at+1:])
		class, err := strconv.Atoi(name)
		if err != nil {
			class = slices.Index(names, name)
		}
		if class < 0 || class >= maxLabels {
			return nil, nil, fmt.Errorf("line %d: class %.80q, want a number of 0 to %d or one of the model's labels", i+1, name, maxLabels-1)
		}
		if !filepath.IsLocal(file) {
			return nil, nil, fmt.Errorf("line %d: %.80q, want a file in this folder", i+1, file)
		}
		if len(files) == maxListed {
			return nil, nil, fmt.Errorf("more than %d lines", maxListed)
		}
		set.labels, files = append(set.labels, class), append(files, filepath.FromSlash(file))
	}
	if len(files) == 0 {
		return nil, nil, fmt.Errorf("no pictures")
	}
	return set, files, nil
}

// keep makes a set remember inputs once they are made, as many as keptInputs
// holds.
func (s *labelled) keep() {
	var mu sync.Mutex
	kept, bytes := map[int]*tensor.Tensor{}, 0
	load := s.load
	s.load = func(i int) (*tensor.Tensor, error) {
		mu.Lock()
		t := kept[i]
		mu.Unlock()
		if t != nil {
			return t, nil
		}
		t, err := load(i)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		if kept[i] == nil && bytes+len(t.Raw) <= keptInputs {
			kept[i], bytes = t, bytes+len(t.Raw)
		}
		return t, nil
	}
}
