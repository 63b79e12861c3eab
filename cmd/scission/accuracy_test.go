package main

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"scission/engine/tensor"
	"scission/engine/tensor/npy"
	"scission/split"
	"scission/split/run"
	"scission/transport"
)

// The classifier that bench/classifier trains, and a thousand labelled images.
const (
	fashionModel = "../../testdata/models/fashion.onnx"
	fashionData  = "../../testdata/models/fashion.npz"
)

// fashionTrial opens the classifier with the first of its images.
func fashionTrial(t *testing.T, examples int, codecs ...string) *trial {
	t.Helper()
	x, err := inputFlags{}.open(fashionModel, true)
	if err != nil {
		t.Fatal(err)
	}
	tr := &trial{node: &run.Node{Name: deviceName, Threads: 1}}
	for _, name := range codecs {
		c, err := transport.CodecByName(name)
		if err != nil {
			t.Fatal(err)
		}
		tr.codecs = append(tr.codecs, c)
	}
	if err := tr.open(x, fashionData, examples); err != nil {
		t.Fatal(err)
	}
	if err := tr.model.portable(); err != nil {
		t.Fatal(err)
	}
	return tr
}

// PyTorch's answers were recorded when it had trained the network.
func TestAnswersAreThoseOfPyTorch(t *testing.T) {
	want, err := readTensor("../../testdata/models/fashion.answers.npy")
	if err != nil {
		t.Fatal(err)
	}
	tr := fashionTrial(t, 0)
	r, err := tr.measure(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	others, right := 0, 0
	for i, answer := range tr.answers {
		if int(want.Raw[i]) != answer {
			others++
		}
		if int(want.Raw[i]) == tr.set.labels[i] {
			right++
		}
	}
	if len(tr.answers) != 1000 || others > 1 || max(right-r.Correct, r.Correct-right) > 1 {
		t.Errorf("%d examples, %d right, PyTorch has %d right and %d other answers", len(tr.answers), r.Correct, right, others)
	}
	if r.Top1() < .91 {
		t.Errorf("top-1 is %g, want 0.91 of a network that was trained", r.Top1())
	}
}

func TestLosslessCodecsLoseNothingAtAnyCut(t *testing.T) {
	tr := fashionTrial(t, 25, codecNames()...)
	cuts, err := cutsNamed(tr.model.Graph, []string{"all"}, 2)
	if err != nil {
		t.Fatal(err)
	}
	r, err := tr.measure(t.Context(), cuts)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Validate(); err != nil || len(r.Cuts) < 15 {
		t.Fatalf("%d cuts, %v", len(r.Cuts), err)
	}
	for _, c := range r.Cuts {
		for _, k := range c.Codecs {
			if k.Same != r.Examples || k.Correct != r.Correct || k.Name == split.RawCodec && k.WireBytes < c.Bytes {
				t.Errorf("cut %d: %+v of %d", c.Position, k, r.Examples)
			}
		}
	}
}

// A worker with a socket between it and this host must lose as much as was measured.
func TestAccuracyIsThatOfARealSplit(t *testing.T) {
	tr := fashionTrial(t, 60, allCodecNames()...)
	layers := len(tr.model.Graph.Nodes)
	cuts, err := cutsNamed(tr.model.Graph, []string{fmt.Sprint(layers / 2), "end", "0"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := tr.measure(t.Context(), cuts)
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWorld(t.Context(), []emulatedHost{{"device", 1}, {"edge", 1}}, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range r.Cuts {
		for _, k := range c.Codecs {
			p := split.Partition{{Host: "device", Segment: split.Segment{From: 0, To: c.Position}}, {Host: "edge", Segment: split.Segment{From: c.Position, To: layers}}}
			hop := split.Hop{From: "device", To: "edge", Position: c.Position}
			switch c.Position {
			case 0:
				p = p[1:]
			case layers: // the outputs come back
				p = split.Partition{{Host: "edge", Segment: split.Segment{From: 0, To: layers}}}
				hop = split.Hop{From: "edge", To: "device", Position: layers, Back: true}
			}
			e, err := w.direct.Open(t.Context(), run.Deployment{Model: tr.model.Model, Stages: p, Codecs: map[split.Hop]string{hop: k.Name}, Lossy: true})
			if err != nil {
				t.Fatal(err)
			}
			correct, same := 0, 0
			for i, label := range tr.set.labels {
				in, err := tr.set.load(i)
				if err != nil {
					t.Fatal(err)
				}
				out, _, err := e.Run(t.Context(), []*tensor.Tensor{in})
				if err != nil {
					t.Fatal(err)
				}
				if answer := tr.answer(out); answer == label {
					correct++
				}
				if tr.answer(out) == tr.answers[i] {
					same++
				}
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			if correct != k.Correct || same != k.Same {
				t.Errorf("cut %d, codec %s: %d right and %d the same, measured %d and %d", c.Position, k.Name, correct, same, k.Correct, k.Same)
			}
		}
	}
}

// writeArrays writes a .npz file.
func writeArrays(t *testing.T, path string, arrays map[string]*tensor.Tensor) {
	t.Helper()
	err := writeFile(path, func(w io.Writer) error {
		z := zip.NewWriter(w)
		for name, a := range arrays {
			member, err := z.Create(name + ".npy")
			if err != nil {
				return err
			}
			if err := npy.Write(member, a); err != nil {
				return err
			}
		}
		return z.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLabelledSetsOfAllFormsAreOne(t *testing.T) {
	const n = 20
	tr := fashionTrial(t, n)
	images, err := readArray(fashionData+":images", "")
	if err != nil {
		t.Fatal(err)
	}
	names, err := readLabels("../../testdata/models/fashion.labels.txt")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "pictures"), 0o755); err != nil {
		t.Fatal(err)
	}
	var numbered, named strings.Builder
	all := tensor.New(tensor.Float32, n, 1, 28, 28)
	classes := tensor.New(tensor.Int64, n)
	for i := range n {
		pixels := images.Raw[i*28*28:][:28*28]
		file := fmt.Sprintf("pictures/no %d.png", i)
		if err := writeFile(filepath.Join(dir, file), func(w io.Writer) error {
			return png.Encode(w, &image.Gray{Pix: pixels, Stride: 28, Rect: image.Rect(0, 0, 28, 28)})
		}); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&numbered, "%s %d\n", file, tr.set.labels[i])
		fmt.Fprintf(&named, "%s, %s\r\n\n", file, names[tr.set.labels[i]])
		in, err := tr.set.load(i)
		if err != nil {
			t.Fatal(err)
		}
		copy(all.F32()[i*28*28:], in.F32())
		tensor.View[int64](classes)[i] = int64(tr.set.labels[i])
	}
	for name, text := range map[string]string{"labels.txt": numbered.String(), "names.csv": named.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	writeArrays(t, filepath.Join(dir, "inputs.npz"), map[string]*tensor.Tensor{"x_test": all, "y_test": classes, "z": classes})
	var first *split.Accuracy
	for _, data := range []string{fashionData, dir, filepath.Join(dir, "names.csv"), filepath.Join(dir, "inputs.npz")} {
		out, _ := want(t, exitOK, "accuracy", fashionModel, "--data", data, "--examples", fmt.Sprint(n), "--cut", "0,end", "--codec", "raw", "--json")
		r, err := split.ReadAccuracy(strings.NewReader(out), split.MaxAccuracyBytes)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = r
		}
		if r.Correct != first.Correct || r.Examples != n || !slices.EqualFunc(r.Cuts, first.Cuts, func(a, b split.CutAccuracy) bool { return slices.Equal(a.Codecs, b.Codecs) }) {
			t.Errorf("%s: got %+v, want %+v", data, r, first)
		}
	}
}

func TestWrongLabelledSetsAreRefused(t *testing.T) {
	dir := t.TempDir()
	bytes := func(shape ...int) *tensor.Tensor { return tensor.New(tensor.Uint8, shape...) }
	negative := tensor.New(tensor.Float32, 2)
	negative.F32()[1] = -1
	half := tensor.New(tensor.Float32, 2)
	half.F32()[1] = .5
	eleventh := bytes(2)
	eleventh.Raw[1] = 10
	for name, arrays := range map[string]map[string]*tensor.Tensor{
		"want images and labels":    {"a": bytes(2, 28, 28), "labels": bytes(2)},
		"want as many labels":       {"images": bytes(2, 28, 28), "labels": bytes(3)},
		"as many labels as images":  {"images": bytes(0, 28, 28), "labels": bytes(0)},
		"label 1 is -1":             {"images": bytes(2, 28, 28), "labels": negative},
		"label 1 is 0.5":            {"images": bytes(2, 28, 28), "labels": half},
		"want pictures":             {"images": bytes(2, 28, 28, 2), "labels": bytes(2)},
		"or pictures of bytes":      {"images": tensor.New(tensor.Int32, 2, 28, 28), "labels": bytes(2)},
		"want rank 4":               {"images": tensor.New(tensor.Float32, 2, 28, 28), "labels": bytes(2)},
		"--data":                    {"images": tensor.New(tensor.Float32, 2, 3, 28, 28), "labels": bytes(2)},
		"example of class 10":       {"images": bytes(2, 28, 28), "labels": eleventh},
		"as many labels as images,": {"images": bytes(), "labels": bytes()},
	} {
		path := filepath.Join(dir, "set.npz")
		writeArrays(t, path, arrays)
		if _, text := want(t, exitUsage, "accuracy", fashionModel, "--data", path, "--cut", "0"); !strings.Contains(text, strings.TrimSuffix(name, ",")) {
			t.Errorf("got %s, want %q", text, name)
		}
	}
	for text, expected := range map[string]string{
		"":              "no pictures",
		"a.png":         "want a file and a class",
		"a.png 1.5":     "class \"1.5\"",
		"a.png -1":      "class \"-1\"",
		"../a.png 1":    "want a file in this folder",
		"a.png, Gloves": "class \"Gloves\"",
	} {
		path := filepath.Join(dir, "list.txt")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, got := want(t, exitUsage, "accuracy", fashionModel, "--data", path); !strings.Contains(got, expected) {
			t.Errorf("%q: got %s, want %q", text, got, expected)
		}
	}
	for _, args := range [][]string{
		{}, {"--data", fashionModel}, {"--data", fashionData, "--cut", "1000"}, {"--data", fashionData, "--cut", "first"},
		{"--data", fashionData, "--codec", "mp3"}, {"--data", fashionData, "--max-width", "0"}, {"--data", fashionData, "--examples", "-1"},
		{"--data", fashionData, "--threads", "-1"}, {"--data", fashionData, "--preprocess", "colour: grey"},
	} {
		want(t, exitUsage, append([]string{"accuracy", fashionModel}, args...)...)
	}
	want(t, exitFailure, "accuracy", fashionModel, "--data", filepath.Join(dir, "nothing.npz"))
}

func FuzzParseList(f *testing.F) {
	f.Add("a.png 1\nb c.jpg, 2\n")
	f.Add("../a 0\n\n,\n a")
	f.Fuzz(func(t *testing.T, text string) {
		set, files, err := parseList(text, []string{"zero", "one"})
		if (set == nil) == (err == nil) {
			t.Fatalf("got %v and %v, want a set or an error", set, err)
		}
		if err != nil {
			return
		}
		if len(files) == 0 || len(files) != len(set.labels) {
			t.Fatalf("%d files, %d labels", len(files), len(set.labels))
		}
		for i, file := range files {
			if !filepath.IsLocal(file) || set.labels[i] < 0 || set.labels[i] >= maxLabels {
				t.Fatalf("%q is of class %d", file, set.labels[i])
			}
		}
	})
}

func TestSpreadTakesBothEnds(t *testing.T) {
	all := make([]int, 100)
	for i := range all {
		all[i] = i
	}
	for n, want := range map[int][]int{2: {0, 99}, 3: {0, 49, 99}, 100: all, 1000: all} {
		if got := spread(all, n); !slices.Equal(got, want) {
			t.Errorf("%d: got %v", n, got)
		}
	}
}

// The plan's codecs are those that the measured accuracy allows.
func TestPlansKeepTheAccuracy(t *testing.T) {
	dir := t.TempDir()
	profiles := filepath.Join(dir, "profiles")
	for _, host := range []string{"device", "edge"} {
		want(t, exitOK, "profile", fashionModel, "--name", host, "--lossy", "--runs", "1", "--warmup", "0", "--threads", "1", "-o", profiles)
	}
	measured := filepath.Join(dir, "accuracy.json")
	want(t, exitOK, "accuracy", fashionModel, "--data", fashionData, "--examples", "10", "--cut", "all", "-o", measured)
	a, err := readAccuracy(measured)
	if err != nil {
		t.Fatal(err)
	}
	// What was measured does not matter: nine of ten are right, and each codec but raw loses one.
	a.Correct = 9
	for i := range a.Cuts {
		for k := range a.Cuts[i].Codecs {
			c := &a.Cuts[i].Codecs[k]
			if c.Correct, c.Same = 9, 10; c.Name != split.RawCodec {
				c.Correct, c.Same = 8, 9
			}
		}
	}
	if err := writeFile(measured, a.Write); err != nil {
		t.Fatal(err)
	}
	base := []string{"plan", fashionModel, "--profiles", profiles, "--network", "preset:3g", "--split-only", "--top", "1000", "--json", "--accuracy", measured}
	for _, limit := range [][]string{{"--max-loss", "0"}, {"--max-loss", "0.1"}, {"--min-accuracy", fmt.Sprint(a.Top1() - .1)}} {
		out, _ := want(t, exitOK, append(base, limit...)...)
		var p planFile
		if err := json.Unmarshal([]byte(out), &p); err != nil {
			t.Fatal(err)
		}
		most := 0
		for _, e := range p.Estimates {
			n := 0
			for _, h := range e.Hops {
				n += len(lossyOf([]string{h.Codec}))
			}
			if share := a.Top1() - float64(n)/float64(a.Examples); e.Accuracy < share-1e-9 || e.Accuracy > share+1e-9 {
				t.Errorf("%v: accuracy is %g, want %g with %d lossy hops", e, e.Accuracy, share, n)
			}
			most = max(most, n)
		}
		allowed := 1
		if limit[1] == "0" {
			allowed = 0
		}
		if most != allowed {
			t.Errorf("%v: up to %d lossy hops, want %d", limit, most, allowed)
		}
	}
	want(t, exitNoPartition, append(base, "--min-accuracy", "1", "--max-loss", "1")...)
	want(t, exitUsage, base...)
	want(t, exitUsage, append(base, "--min-accuracy", "1.5")...)
	want(t, exitUsage, "plan", fashionModel, "--profiles", profiles, "--network", "preset:3g", "--max-loss", "0.1")
	want(t, exitUsage, append(base, "--max-loss", "0.1", "--accuracy", fashionModel)...)
	a.Model.Digest = "other"
	if err := writeFile(measured, a.Write); err != nil {
		t.Fatal(err)
	}
	want(t, exitUsage, append(base, "--max-loss", "0.1")...)
}
