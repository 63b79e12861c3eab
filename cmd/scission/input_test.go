package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"scission/engine/tensor"
	"scission/engine/tensor/npy"
	"scission/engine/tensor/picture"
)

// field is a field of a protobuf message that holds bytes.
func field(n protowire.Number, parts ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), bytes.Join(parts, nil))
}

// number is one that holds a number.
func number(n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
}

// writeModel writes an ONNX file by hand: a chain of operators from the first
// input, which the second joins at the first operator. A dimension of -1 is open.
// The numbers are those of onnx.proto.
func writeModel(t *testing.T, path string, inputs map[string][]int, ops ...string) string {
	t.Helper()
	var graph, names []byte
	var sorted []string
	for name := range inputs {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		names = append(names, field(1, []byte(name))...)
	}
	for i, op := range ops {
		graph = append(graph, field(1, names, field(2, fmt.Append(nil, "v", i)), field(4, []byte(op)))...)
		names = field(1, fmt.Append(nil, "v", i))
	}
	graph = append(graph, field(2, []byte("g"))...)
	for _, name := range sorted {
		var shape []byte
		for i, d := range inputs[name] {
			dim := field(2, fmt.Append(nil, name, i))
			if d >= 0 {
				dim = number(1, uint64(d))
			}
			shape = append(shape, field(1, dim)...)
		}
		const float32Type = 1
		graph = append(graph, field(11, field(1, []byte(name)), field(2, field(1, number(1, float32Type), field(2, shape))))...)
	}
	graph = append(graph, field(12, field(1, fmt.Append(nil, "v", len(ops)-1)))...)
	model := bytes.Join([][]byte{number(1, 8), field(7, graph), field(8, number(2, 13))}, nil)
	if err := os.WriteFile(path, model, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// meanColour is a model that says how red, green and blue its input is.
func meanColour(t *testing.T, dir string, dims ...int) string {
	return writeModel(t, filepath.Join(dir, "colour.onnx"), map[string][]int{"picture": dims}, "GlobalAveragePool", "Flatten")
}

// writePicture writes a picture of one colour, as its name's end says.
func writePicture(t *testing.T, path string, w, h int, c color.Color) string {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		m.Set(i%w, i/w, c)
	}
	err := writeFile(path, func(w io.Writer) error {
		if filepath.Ext(path) == ".png" {
			return png.Encode(w, m)
		}
		return jpeg.Encode(w, m, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

type runReport struct {
	Preprocess map[string]string
	Outputs    []outputReport
	Identical  *bool
}

// runJSON runs a command line with --json.
func runJSON(t *testing.T, args ...string) runReport {
	t.Helper()
	out, _ := want(t, exitOK, append(args, "--json")...)
	var r runReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

var (
	red    = color.RGBA{255, 0, 0, 255}
	blue   = color.RGBA{0, 0, 255, 255}
	yellow = color.RGBA{255, 255, 0, 255}
)

func TestPicturesInNamesOut(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	model := meanColour(t, dir, 1, 3, 32, 32)
	picture := writePicture(t, in("blue.png"), 70, 50, blue)
	for _, labels := range []string{
		write(t, in("lines.txt"), "\ufeffred\r\nlight\tgreen\r\nblue\r\n\r\n"),
		write(t, in("list.json"), `["red", "light green", "blue"]`),
		write(t, in("map.json"), `{"2": "blue", "0": "red", "1": "light green"}`),
		write(t, in("keras.json"), `{"0": ["n1", "red"], "1": ["n2", "light green"], "2": ["n3", "blue"]}`),
	} {
		r := runJSON(t, "run", model, picture, "--labels", labels)
		top := r.Outputs[0].Top
		if len(top) != 3 || top[0].Label != "blue" || top[0].Index != 2 || *top[0].Probability != 1 || top[1].Label != "red" || top[2].Label != "light green" || r.Outputs[0].Probabilities != asTheyAre {
			t.Errorf("%s: got %+v", labels, r.Outputs[0])
		}
	}
	out, _ := want(t, exitOK, "run", model, "--input", "picture="+picture, "--labels", in("lines.txt"), "--top", "1")
	for _, line := range []string{
		"input picture from pictures: resize: shorter, size: 32, filter: bilinear, crop: 32, layout: NCHW, color: RGB, scale: 1/255, mean: 0, std: 1, type: float32\n",
		"\n  100.00 %  blue (class 2)\n  the output is a probability distribution; no softmax was applied\n",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("got %q, want %q in it", out, line)
		}
	}
	// Without labels it may not be a classifier: numbers as they are.
	if out, _ := want(t, exitOK, "run", model, picture, "--top", "1"); !strings.Contains(out, "  class 2: 1\n") || strings.Contains(out, "%") {
		t.Errorf("without labels: %q", out)
	}
	for _, c := range []struct{ says, args string }{
		{"lines.txt has 3 labels, but no output has as many classes: \"v1\" has 2", "run " + writeModel(t, in("two.onnx"), map[string][]int{"x": {1, 2, 4, 4}}, "GlobalAveragePool", "Flatten") + " random:1 --labels " + in("lines.txt")},
		{"no labels", "run " + model + " random:1 --labels " + write(t, in("empty.txt"), "\n")},
		{"neither a list of names", "run " + model + " random:1 --labels " + write(t, in("bad.json"), `{"0": 1}`)},
		{`class "x"`, "run " + model + " random:1 --labels " + write(t, in("bad2.json"), `{"x": "y"}`)},
		{"--top -1", "run " + model + " random:1 --top -1"},
	} {
		if _, stderr := want(t, exitUsage, strings.Fields(c.args)...); !strings.Contains(stderr, c.says) {
			t.Errorf("%s: says %q, want %q", c.args, stderr, c.says)
		}
	}
}

// Yellow is red and green in equal parts: 1, 1, 0 is no distribution, and its
// softmax is e/(2e+1). After a sigmoid it is 1/(1+1/e), and 1/2 for blue.
func TestProbabilitiesSayWhatTheyAre(t *testing.T) {
	dir := t.TempDir()
	labels := write(t, filepath.Join(dir, "labels.txt"), "red\ngreen\nblue\n")
	picture := writePicture(t, filepath.Join(dir, "yellow.png"), 8, 8, yellow)
	dims := map[string][]int{"x": {1, 3, 8, 8}}
	for _, c := range []struct {
		ops         []string
		how         probabilities
		first, last float64
	}{
		{[]string{"GlobalAveragePool", "Flatten"}, bySoftmax, math.E / (2*math.E + 1), 1 / (2*math.E + 1)},
		{[]string{"GlobalAveragePool", "Flatten", "Softmax"}, asTheyAre, math.E / (2*math.E + 1), 1 / (2*math.E + 1)},
		{[]string{"GlobalAveragePool", "Flatten", "LogSoftmax"}, bySoftmax, math.E / (2*math.E + 1), 1 / (2*math.E + 1)},
		{[]string{"GlobalAveragePool", "Sigmoid", "Flatten"}, ofSigmoid, 1 / (1 + 1/math.E), 0.5},
		{[]string{"GlobalAveragePool", "Sigmoid", "Neg"}, bySoftmax, 1 / (2 + math.Exp(1/(1+1/math.E)-0.5)), 0},
	} {
		o := runJSON(t, "run", writeModel(t, filepath.Join(dir, "m.onnx"), dims, c.ops...), picture, "--labels", labels).Outputs[0]
		if o.Probabilities != c.how {
			t.Errorf("%v: probabilities by %q, want %q", c.ops, o.Probabilities, c.how)
		}
		first, last := *o.Top[0].Probability, *o.Top[2].Probability
		if o.Top[0].Label == "blue" { // the negative sigmoid has its order turned round
			first, last = *o.Top[2].Probability, 0
		}
		if math.Abs(first-c.first) > 1e-6 || math.Abs(last-c.last) > 1e-6 {
			t.Errorf("%v: %v to %v, want %v to %v", c.ops, first, last, c.first, c.last)
		}
	}
}

func TestSeveralFilesAreRunsOrABatch(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	labels := write(t, in("labels.txt"), "red\ngreen\nblue\n")
	a, b := writePicture(t, in("a.png"), 40, 30, red), writePicture(t, in("b.jpg"), 10, 90, blue)
	fixed := meanColour(t, t.TempDir(), 1, 3, 16, 16)
	r := runJSON(t, "run", fixed, a, b, "--labels", labels, "--output", in("results"))
	if len(r.Outputs) != 2 || r.Outputs[0].Input != a || r.Outputs[0].Top[0].Label != "red" || r.Outputs[1].Input != b || r.Outputs[1].Top[0].Label != "blue" {
		t.Errorf("one after the other: %+v", r.Outputs)
	}
	if r.Outputs[1].File != filepath.Join(in("results"), "2-b", "v1.npy") {
		t.Errorf("the second is written to %s", r.Outputs[1].File)
	}
	if _, stderr := want(t, exitFailure, "run", fixed, a, b, "--batch"); !strings.Contains(stderr, "without --batch they are run one after the other") {
		t.Errorf("a batch of two for a model of one: %s", stderr)
	}
	open := meanColour(t, t.TempDir(), -1, 3, 16, 16)
	r = runJSON(t, "run", open, a, b, a, "--batch", "--labels", labels)
	rows := r.Outputs[0].Rows
	if len(r.Outputs) != 1 || !r.Outputs[0].Shape.Equal(tensor.Shape{3, 3}) || len(rows) != 3 || r.Outputs[0].Top != nil {
		t.Fatalf("as a batch: %+v", r.Outputs)
	}
	for i, w := range []struct{ file, label string }{{a, "red"}, {b, "blue"}, {a, "red"}} {
		if rows[i].Input != w.file || rows[i].Top[0].Label != w.label {
			t.Errorf("row %d: %+v, want %v", i, rows[i], w)
		}
	}
	// Where the model leaves the size open, each run has that of its picture.
	anySize := meanColour(t, t.TempDir(), 1, 3, -1, -1)
	r = runJSON(t, "run", anySize, a, b, "--labels", labels)
	if r.Outputs[0].Top[0].Label != "red" || r.Outputs[1].Top[0].Label != "blue" || !strings.HasPrefix(r.Preprocess["picture"], "resize: none, ") {
		t.Errorf("of any size: %+v", r)
	}
	// Split execution and benchmarks take them, too.
	r = runJSON(t, "exec", fixed, a, b, "--stages", "device:0-end", "--check", "--labels", labels)
	if len(r.Outputs) != 2 || r.Outputs[1].Top[0].Label != "blue" || !*r.Identical || r.Preprocess["picture"] == "" {
		t.Errorf("exec: %+v", r)
	}
	want(t, exitOK, "bench", fixed, "--input", a, "--runs", "1")
	want(t, exitOK, "bench", open, "--input", a, "--input", b, "--batch", "--runs", "1")
	for _, c := range []struct{ says, args string }{
		{"2 files for an input, want one, or --batch", "bench " + fixed + " --input " + a + " --input " + b},
		{"has another shape than the files before it", "exec " + anySize + " " + a + " " + b + " --stages device:0-end"},
		{"random:1 cannot be stacked", "run " + open + " " + a + " random:1 --batch"},
		{"a.gif: want a .npy, .npz, .jpg", "run " + fixed + " a.gif"},
	} {
		if _, stderr := want(t, exitUsage, strings.Fields(c.args)...); !strings.Contains(stderr, c.says) {
			t.Errorf("%s: says %q, want %q", c.args, stderr, c.says)
		}
	}
	random := runJSON(t, "run", fixed, "random:1", "random:2")
	if len(random.Outputs) != 2 || random.Outputs[0].Mean == random.Outputs[1].Mean || random.Outputs[1].Input != "random:2" {
		t.Errorf("two seeds: %+v", random.Outputs)
	}
}

// writeArchive writes a .npz file, whose arrays are given by turns name and tensor.
func writeArchive(t *testing.T, path string, arrays ...any) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(arrays); i += 2 {
		w, err := z.Create(arrays[i].(string) + ".npy")
		if err == nil {
			err = npy.Write(w, arrays[i+1].(*tensor.Tensor))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return write(t, path, b.String())
}

func TestArchivesGiveInputsByName(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	model := writeModel(t, in("sub.onnx"), map[string][]int{"a": {2}, "b": {2}}, "Sub")
	x, y := tensor.Of([]float32{5, 7}, 2), tensor.Of([]float32{1, 10}, 2)
	both, more := writeArchive(t, in("both.npz"), "b", y, "a", x), writeArchive(t, in("more.npz"), "p", x, "q", y)
	one := writeArchive(t, in("one.npz"), "whatever", x)
	for _, c := range []struct {
		args     string
		min, max float64 // of the difference's two elements
	}{
		{both, -3, 4},
		{"--input a=" + both + " --input b=" + both, -3, 4},
		{"--input a=" + more + ":q --input b=" + more + ":p", -4, 3},
		{"--input a=" + one + " --input b=" + one, 0, 0},
		{"--input " + both + " --input b=" + one, 0, 0},
	} {
		o := runJSON(t, append([]string{"run", model}, strings.Fields(c.args)...)...).Outputs[0]
		if o.Min != c.min || o.Max != c.max {
			t.Errorf("%s: %v to %v, want %v to %v", c.args, o.Min, o.Max, c.min, c.max)
		}
	}
	if r := runJSON(t, "run", model, both, both); len(r.Outputs) != 2 || r.Outputs[1].Max != 4 || r.Outputs[1].Input != both {
		t.Errorf("two archives: %+v", r.Outputs)
	}
	for _, c := range []struct {
		code int
		says string
		args string
	}{
		{exitUsage, `has no input "p", it has "a", "b"`, more},
		{exitUsage, `input "b" of model sub is missing`, "--input a=" + one},
		{exitUsage, "give each one as NAME=FILE", one + ":whatever --input a=" + one},
		{exitUsage, `has the arrays ["p" "q"]: give one as`, "--input a=" + more + " --input b=" + more},
		{exitFailure, `no array "r"`, "--input a=" + more + ":r --input b=" + more + ":q"},
		{exitUsage, "give each one as NAME=FILE", "random:1"},
		{exitFailure, "not a readable .npy file", "--input a=" + write(t, in("bad.npz"), "PK\x03\x04") + " --input b=" + one},
	} {
		if _, stderr := want(t, c.code, append([]string{"run", model}, strings.Fields(c.args)...)...); !strings.Contains(stderr, c.says) {
			t.Errorf("%s: says %q, want %q", c.args, stderr, c.says)
		}
	}
}

func TestTheFileBesideAModelSaysHowItIsUsed(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	model := meanColour(t, dir, 1, 3, 16, 16)
	picture := writePicture(t, in("red.png"), 20, 20, red)
	beside := in("colour.scission.yaml")
	write(t, in("names.txt"), "red\ngreen\nblue\n")
	write(t, beside, "# BGR: red is the last channel\npreprocess:\n  color: BGR\n  mean: 0.5\n  std: [0.5, 0.5, 0.25]\ninputs:\n  picture: {filter: box}\nlabels: names.txt\n")
	r := runJSON(t, "run", model, picture)
	if o := r.Outputs[0]; o.Top[0].Label != "blue" || o.Max != 2 || o.Min != -1 || !strings.Contains(r.Preprocess["picture"], "filter: box, crop: 16, layout: NCHW, color: BGR") {
		t.Errorf("by the file: %+v", r)
	}
	r = runJSON(t, "run", model, picture, "--preprocess", "color: RGB, std: 1")
	if o := r.Outputs[0]; o.Top[0].Label != "red" || o.Max != 0.5 || o.Min != -0.5 || !strings.Contains(r.Preprocess["picture"], "filter: box") {
		t.Errorf("by the flag before the file: %+v", r)
	}
	other := write(t, in("other.yaml"), "preprocess: {scale: 1}\n")
	r = runJSON(t, "run", model, picture, "--preprocess", other)
	if o := r.Outputs[0]; o.Max != 255 || o.Top[0].Label != "" {
		t.Errorf("by another file: %+v", r)
	}
	r = runJSON(t, "run", "zoo:mobilenetv2", picture, "--preprocess", write(t, in("zoo.yml"), ""))
	if !strings.Contains(r.Preprocess["input"], "crop: 224") {
		t.Errorf("with an empty file: %+v", r)
	}
	for _, c := range []struct{ says, text string }{
		{"field preproces not found", "preproces: {}"},
		{"field sise not found", "inputs: {picture: {sise: 3}}"},
		{`has no input "image"`, "inputs: {image: {size: 3}}"},
		{"labels \"../names.txt\", want a file in this folder", "labels: ../names.txt"},
		{"labels \"/etc/passwd\", want a file in this folder", "labels: /etc/passwd"},
		{"mean 127.5 and std  without a scale", "preprocess: {mean: 127.5}"},
		{"std is 0", "preprocess: {std: 0}"},
		{`input "picture": picture: wrong preprocessing: std is 0`, "inputs: {picture: {std: 0}}"},
		{"more than one document", "labels: names.txt\n---\nlabels: names.txt"},
		{"yaml:", "labels: [\n"},
	} {
		write(t, beside, c.text)
		if _, stderr := want(t, exitUsage, "run", model, picture); !strings.Contains(stderr, c.says) {
			t.Errorf("%s: says %q, want %q", c.text, stderr, c.says)
		}
	}
	if err := os.Remove(beside); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitUsage, "field colour not found", []string{"--preprocess", "colour: RGB"}},
		{exitUsage, "color grey has 1 channels, but the input has 3", []string{"--preprocess", "color: grey"}},
		{exitFailure, "no such file", []string{"--preprocess", in("absent.yaml")}},
		{exitUsage, "cannot be cropped", []string{"--preprocess", "resize: stretch, size: 8"}},
		{exitFailure, "not a readable JPEG, PNG or WebP file", []string{"--input", write(t, in("no.png"), "hello")}},
	} {
		args := append([]string{"run", model}, c.args...)
		if c.args[0] != "--input" {
			args = append(args, picture)
		}
		if _, stderr := want(t, c.code, args...); !strings.Contains(stderr, c.says) {
			t.Errorf("%v: says %q, want %q", c.args, stderr, c.says)
		}
	}
}

// The kitten's tensor is 224 x 224 pixels in BGR: as a PNG file it gives the
// same bits.
func TestAPictureOfTheKittenGivesTheBitsOfItsTensor(t *testing.T) {
	dir := shared(t, "squeezenet_fp32")
	model, pb := filepath.Join(dir, "model.onnx"), filepath.Join(dir, "test_data_set_1", "input_0.pb")
	x, err := readTensor(pb)
	if err != nil {
		t.Fatal(err)
	}
	const side = 224
	m := image.NewRGBA(image.Rect(0, 0, side, side))
	for i := range side * side {
		var bgr [3]uint8
		for c := range bgr {
			v := x.F32()[c*side*side+i]
			if bgr[c] = uint8(v); float32(bgr[c]) != v {
				t.Skipf("the tensor holds %v", v)
			}
		}
		m.SetRGBA(i%side, i/side, color.RGBA{bgr[2], bgr[1], bgr[0], 255})
	}
	tmp := t.TempDir()
	file := filepath.Join(tmp, "kitten.png")
	if err := writeFile(file, func(w io.Writer) error { return png.Encode(w, m) }); err != nil {
		t.Fatal(err)
	}
	names := make([]string, 1000)
	names[281] = "tabby"
	labels := write(t, filepath.Join(tmp, "labels.txt"), strings.Join(names, "\n")+".")
	byPicture := runJSON(t, "run", model, file, "--preprocess", "color: BGR, scale: 1", "--labels", labels, "--output", filepath.Join(tmp, "1")).Outputs[0]
	byTensor := runJSON(t, "run", model, pb, "--output", filepath.Join(tmp, "2")).Outputs[0]
	if top := byPicture.Top[0]; top.Label != "tabby" || *top.Probability < 0.5 || byPicture.Probabilities != asTheyAre {
		t.Errorf("the kitten is %+v", byPicture)
	}
	a, err := os.ReadFile(byPicture.File)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(byTensor.File)
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("the picture's result differs from the tensor's, error %v", err)
	}
}

// FuzzSidecar reads any file as the one beside a model.
func FuzzSidecar(f *testing.F) {
	f.Add("preprocess:\n  color: BGR\n  mean: 0.5\n  std: [0.5, 1/2, 0.25]\ninputs:\n  picture: {filter: box, size: [3, 0]}\nlabels: names.txt\n", "size: 3")
	f.Add("a: &a [*a, *a, *a]\nlabels: *a", "")
	f.Add("inputs: {x: {pad: [1, 2, 3], type: int8}, ? [a] : 3}", "type: float16")
	f.Add("labels: ../x\n--- \n%YAML 1.1", "{}")
	f.Fuzz(func(t *testing.T, text, inline string) {
		var s sidecar
		if err := s.parse([]byte(text)); err != nil {
			return
		}
		s.inline = inline
		if s.Labels != "" && !filepath.IsLocal(s.Labels) {
			t.Fatalf("labels %q", s.Labels)
		}
		for name := range s.Inputs {
			spec, err := s.spec(name)
			if err == nil {
				err = spec.Check()
			}
			if err != nil && !errors.Is(err, picture.ErrSpec) {
				t.Fatalf("error %v", err)
			}
		}
	})
}

// FuzzLabels reads any file as labels.
func FuzzLabels(f *testing.F) {
	f.Add("red\ngreen\r\n\x1b[31mblue\n\n", false)
	f.Add(`["red", null, ["n1", "blue"]]`, true)
	f.Add(`{"0": "red", "7": ["n1", "blue"]}`, true)
	f.Add(`{"1048575": "a", "01": "b"}`, true)
	f.Fuzz(func(t *testing.T, text string, isJSON bool) {
		labels, err := parseLabels([]byte(text), isJSON)
		if (err == nil) != (len(labels) > 0) || len(labels) > maxLabels {
			t.Fatalf("%d labels, error %v", len(labels), err)
		}
		for _, l := range labels {
			if strings.ContainsFunc(l, func(r rune) bool { return r < ' ' }) {
				t.Fatalf("label %q", l)
			}
		}
	})
}
