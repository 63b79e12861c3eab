package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/engine/tensor/npy"
	"scission/engine/tensor/tensortest"
	"scission/onnximport"
	"scission/ops"
)

// asProgram makes the test binary be the program itself, so that tests can
// start workers as processes of their own.
const asProgram = "SCISSION_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// cli runs a command line in this process.
func cli(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = execute(context.Background(), args, &out, &err)
	return code, out.String(), err.String()
}

// want runs a command line that must end with the given code.
func want(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	got, stdout, stderr := cli(args...)
	if got != code {
		t.Fatalf("scission %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	return stdout, stderr
}

// startWorker starts a worker process on a free loopback port.
func startWorker(t *testing.T, name string, args ...string) (addr string) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), asProgram+"=1")
	return startWorkerProcess(t, c, name, args...)
}

// startWorkerProcess starts c, which is the program, as a worker.
func startWorkerProcess(t *testing.T, c *exec.Cmd, name string, args ...string) (addr string) {
	t.Helper()
	c.Args = append(append(c.Args, "serve", "--listen", "127.0.0.1:0", "--name", name, "--store", t.TempDir()), args...)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c.Stderr = &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	t.Cleanup(func() {
		c.Process.Signal(syscall.SIGTERM)
		if err := c.Wait(); err != nil {
			t.Errorf("worker %s: %v\n%s", name, err, log.String())
		}
	})
	_, addr, ok := strings.Cut(strings.TrimSpace(line), " listening on ")
	if err != nil || !ok {
		t.Fatalf("worker %s said %q, error %v", name, line, err)
	}
	return addr
}

// A real split over three processes: chained when the edge knows the cloud,
// relayed when it does not. The program itself compares with the unsplit run.
func TestThreeProcessesGiveTheBitsOfOne(t *testing.T) {
	cloud := startWorker(t, "cloud")
	for _, chained := range []bool{true, false} {
		var flags []string
		if chained {
			flags = []string{"--peer", "cloud=" + cloud}
		}
		edge := startWorker(t, "edge", flags...)
		for i, stages := range []string{
			"device:0-17,edge@%s:18-80,cloud@%s:81-end",
			"device:0-1,edge@%s:2-2,cloud@%s:3-end",
			"edge@%s:0-120,cloud@%s:121-end",
			"device:0-100,edge@%s:101-156,cloud@%s:157-end",
		} {
			codec := []string{"raw", "shuffle+zstd"}[i%2]
			out, _ := want(t, exitOK, "exec", "zoo:mobilenetv2", "--stages", fmt.Sprintf(stages, edge, cloud),
				"--input", "random:3", "--codec", codec, "--check", "--json")
			var r execReport
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				t.Fatal(err)
			}
			if r.Identical == nil || !*r.Identical || r.Relayed == chained {
				t.Errorf("%s, chained %v: identical %v, relayed %v", stages, chained, r.Identical, r.Relayed)
			}
		}
	}
}

// Many runs at once over three processes: each gives the bits of the unsplit run,
// and the report says what limits them.
func TestPipelineOverThreeProcesses(t *testing.T) {
	cloud := startWorker(t, "cloud", "--limit", "in-flight=3")
	edge := startWorker(t, "edge", "--peer", "cloud="+cloud, "--emulate-slowdown", "3")
	out, _ := want(t, exitOK, "exec", "zoo:mobilenetv2", "--stages", "device:0-17,edge@"+edge+":18-80,cloud@"+cloud+":81-end",
		"--input", "random:1", "--pipeline", "--depth", "5", "--runs", "10", "--check", "--json")
	var r execReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Identical == nil || !*r.Identical {
		t.Error("the outputs differ from those of the unsplit run")
	}
	p := r.Throughput
	if p == nil || p.Depth != 5 || len(p.Parts) != 7 || p.Share != p.Parts[0].Busy.Seconds()/p.Interval.Seconds() || len(r.Total.Samples) != 10 {
		t.Fatalf("got %+v of %d runs", p, len(r.Total.Samples))
	}
	if p.Parts[0].Host == "" || p.Parts[0].Busy < p.Parts[6].Busy {
		t.Errorf("the busiest part is %+v, want a host", p.Parts[0])
	}
	want(t, exitUsage, "exec", "zoo:mobilenetv2", "--stages", "device:0-end", "--input", "random:1", "--depth", "5")
}

// profile, link, plan and exec, each reading what the one before has written.
func TestFromProfileToRealRun(t *testing.T) {
	dir := t.TempDir()
	edge := startWorker(t, "edge", "--emulate-slowdown", "2")
	cloud := startWorker(t, "cloud")
	profiles, network, plan, results := filepath.Join(dir, "profiles"), filepath.Join(dir, "network.json"), filepath.Join(dir, "plan.json"), filepath.Join(dir, "results")
	want(t, exitOK, "profile", "zoo:mobilenetv2", "--host", "edge="+edge, "--host", "cloud="+cloud, "-o", profiles, "--runs", "2", "--warmup", "1")
	want(t, exitOK, "link", "edge="+edge, "cloud="+cloud, "-o", network, "--at-least", "5ms")
	out, _ := want(t, exitOK, "plan", "zoo:mobilenetv2", "--profiles", profiles, "--network", network, "--use", "device,edge,cloud", "--top", "3", "-o", plan, "--json")
	var p planFile
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Estimates) != 3 || len(p.Estimates[0].Partition) != 3 || !slices.ContainsFunc(p.Emulated, func(s string) bool { return strings.HasPrefix(s, "edge: ") }) {
		t.Errorf("got %d estimates, first %v, emulated %q", len(p.Estimates), p.Estimates[0].Partition, p.Emulated)
	}
	out, _ = want(t, exitOK, "exec", "zoo:mobilenetv2", "--plan", plan, "--rank", "2", "--host", "edge="+edge, "--host", "cloud="+cloud,
		"--input", "random:1", "--runs", "2", "--check", "--output", results, "--json")
	var r execReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Stages.String() != p.Estimates[1].Partition.String() || r.Predicted != p.Estimates[1].Total || !*r.Identical {
		t.Errorf("ran %v, predicted %v; want %v, %v", r.Stages, r.Predicted, p.Estimates[1].Partition, p.Estimates[1].Total)
	}
	for _, s := range r.Spans {
		if s.What == "compute" && s.Predicted == nil {
			t.Errorf("no prediction for %+v", s.Span)
		}
	}
	f, err := os.Open(r.Outputs[0].File)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x, err := npy.Read(f, 1<<20)
	if err != nil || x.Shape.String() != "[1 1000]" {
		t.Errorf("the output's file has %v, error %v", x, err)
	}
	want(t, exitNoPartition, "plan", "zoo:mobilenetv2", "--profiles", profiles, "--split-only", "--hosts", "device")
	want(t, exitUsage, "plan", "zoo:mobilenetv2", "--profiles", profiles, "--network", network, "--avoid", "moon")
}

// Written and read again, the parts give the bits of the whole.
func TestExtractedPartsFitTogether(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	want(t, exitOK, "run", "zoo:mobilenetv2", "--input", "random:5", "--output", in("whole"))
	want(t, exitOK, "extract", "zoo:mobilenetv2", "--layers", "0-40", "-o", in("head.onnx"))
	want(t, exitOK, "extract", "zoo:mobilenetv2", "--layers", "41-end", "-o", in("tail.onnx"))
	out, _ := want(t, exitOK, "run", in("head.onnx"), "--input", "random:5", "--output", in("head"), "--json")
	var r struct{ Outputs []outputReport }
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	args := []string{"run", in("tail.onnx"), "--output", in("tail")}
	for _, o := range r.Outputs {
		args = append(args, "--input", o.Name+"="+o.File)
	}
	want(t, exitOK, args...)
	whole, err := os.ReadFile(filepath.Join(in("whole"), "output.npy"))
	if err != nil {
		t.Fatal(err)
	}
	tail, err := os.ReadFile(filepath.Join(in("tail"), "output.npy"))
	if err != nil || !bytes.Equal(whole, tail) {
		t.Errorf("the parts' result differs from the whole's, error %v", err)
	}
	want(t, exitUsage, "extract", "zoo:mobilenetv2", "--layers", "41-1000", "-o", in("x.onnx"))
	want(t, exitUsage, "extract", "zoo:mobilenetv2", "--layers", "5-4", "-o", in("x.onnx"))
}

func TestDemoEndsIdentical(t *testing.T) {
	out, _ := want(t, exitOK, "demo", "--runs", "1")
	for _, text := range []string{"identical: yes", "emulated: device: computing slowed", "predicted", "link device–edge"} {
		if !strings.Contains(out, text) {
			t.Errorf("the demo does not say %q:\n%s", text, out)
		}
	}
}

func TestMistakesHaveTheirExitCodesAndSayWhat(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	random := make([]byte, 4096)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	garbage := write("garbage.onnx", string(random))
	good := filepath.Join(dir, "good.onnx")
	want(t, exitOK, "zoo", "export", "mobilenetv2", "-o", good)
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	truncated := write("truncated.onnx", string(b[:len(b)/2]))
	empty := write("empty.onnx", "")
	badNpy := write("bad.npy", "\x93NUMPY\x01\x00")
	hugeNpy := write("huge.npy", "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"+strings.Repeat(" ", 0x76-71)+"\n")
	if err := os.Mkdir(filepath.Join(dir, "profiles"), 0o755); err != nil {
		t.Fatal(err)
	}
	write("profiles/device.json", `{"version":"scission-profile/1"`)
	for _, c := range []struct {
		code int
		says string
		args string
	}{
		{exitUsage, "a command is missing", ""},
		{exitUsage, "unknown command", "fly"},
		{exitUsage, "unknown flag", "run x --fly"},
		{exitUsage, "accepts 1 arg", "inspect"},
		{exitUsage, `unknown network "vgg99"`, "inspect zoo:vgg99"},
		{exitFailure, "no such file", "inspect " + filepath.Join(dir, "absent.onnx")},
		{exitFailure, "", "inspect " + garbage},
		{exitFailure, "", "inspect " + truncated},
		{exitFailure, "", "inspect " + empty},
		{exitFailure, "", "run " + dir + " --input random:1"},
		{exitUsage, `input "input" of model zoo:mobilenetv2 is missing`, "run zoo:mobilenetv2"},
		{exitUsage, `has no input "data"`, "run zoo:mobilenetv2 --input data=random:1"},
		{exitUsage, "want random:SEED", "run zoo:mobilenetv2 --input random:x"},
		{exitFailure, "bad.npy", "run zoo:mobilenetv2 --input " + badNpy},
		{exitFailure, "huge.npy", "run zoo:mobilenetv2 --input " + hugeNpy},
		{exitUsage, "--runs 0", "bench zoo:mobilenetv2 --runs 0"},
		{exitUsage, "no model.onnx", "verify " + filepath.Join(dir, "profiles")},
		{exitUsage, "--listen", "serve"},
		{exitFailure, "plaintext", "serve --listen 0.0.0.0:0 --name x --store " + filepath.Join(dir, "store")},
		{exitFailure, "plaintext", "link 192.0.2.1:7001"},
		{exitUsage, "want NAME=ADDR", "profile zoo:mobilenetv2 --host edge -o " + dir},
		{exitUsage, "host device=127.0.0.1:1 has this machine's own name", "profile zoo:mobilenetv2 --host device=127.0.0.1:1 -o " + dir},
		{exitUsage, "host me=127.0.0.1:1 has this machine's own name", "profile zoo:mobilenetv2 --no-local --name me --host me=127.0.0.1:1 -o " + dir},
		{exitUsage, "host device=127.0.0.1:1 has this machine's own name", "exec zoo:mobilenetv2 random:1 --stages device:0-end --host device=127.0.0.1:1"},
		{exitUsage, "host device=127.0.0.1:1 has this machine's own name", "exec zoo:mobilenetv2 random:1 --stages device@127.0.0.1:1:0-end"},
		{exitUsage, "host edge=127.0.0.1:1 has this machine's own name", "serve --listen 127.0.0.1:0 --name edge --peer edge=127.0.0.1:1 --store " + filepath.Join(dir, "store")},
		{exitUsage, "device.json", "plan zoo:mobilenetv2 --profiles " + filepath.Join(dir, "profiles")},
		{exitUsage, "no profiles", "plan zoo:mobilenetv2 --profiles " + filepath.Join(dir, "nothing")},
		{exitUsage, "either --stages or --plan", "exec zoo:mobilenetv2 --input random:1"},
		{exitUsage, "stages", "exec zoo:mobilenetv2 --input random:1 --stages device:5-1"},
		{exitUsage, "stages", "exec zoo:mobilenetv2 --input random:1 --stages device:0-10"},
		{exitUsage, "edge has no address", "exec zoo:mobilenetv2 --input random:1 --stages device:0-10,edge:11-end"},
		{exitFailure, "host edge", "exec zoo:mobilenetv2 --input random:1 --stages device:0-10,edge@127.0.0.1:1:11-end --no-fallback"},
		{exitUsage, "codec", "exec zoo:mobilenetv2 --input random:1 --stages device:0-end --codec magic"},
		{exitUsage, "--emulate-slowdown NaN", "exec zoo:mobilenetv2 --input random:1 --stages device:0-end --emulate-slowdown NaN"},
		{exitUsage, "--emulate-slowdown -3", "exec zoo:mobilenetv2 --input random:1 --stages device:0-end --emulate-slowdown -3"},
		{exitUsage, "--emulate-slowdown +Inf", "serve --listen 127.0.0.1:0 --name x --emulate-slowdown Inf --store " + filepath.Join(dir, "store")},
		{exitUsage, "limit memory=-1", "serve --listen 127.0.0.1:0 --name x --max-memory -1 --store " + filepath.Join(dir, "store")},
		{exitUsage, "--threads -1", "run zoo:mobilenetv2 --input random:1 --threads -1"},
		{exitFailure, "want 1 to", "exec zoo:mobilenetv2 --input random:1 --stages device:0-end --runs 2000000000"},
	} {
		_, stderr := want(t, c.code, strings.Fields(c.args)...)
		if !strings.Contains(stderr, c.says) || !strings.HasPrefix(stderr[strings.LastIndex("\n"+stderr, "\nscission: "):], "scission: ") {
			t.Errorf("scission %s: says %q, want %q", c.args, stderr, c.says)
		}
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	out, _ := want(t, exitOK, "--help")
	commands := regexp.MustCompile(`(?m)^  (\w+) +\S`).FindAllStringSubmatch(out[strings.Index(out, "Available Commands:"):], -1)
	if len(commands) < 12 {
		t.Errorf("found %d commands in the help", len(commands))
	}
	for _, c := range commands {
		if c[1] == "completion" || c[1] == "help" {
			continue
		}
		help, _ := want(t, exitOK, c[1], "--help")
		if !strings.Contains(help, "Examples:\n  scission "+c[1]) {
			t.Errorf("scission %s --help has no example", c[1])
		}
	}
}

func TestJSONIsTheOnlyThingOnStandardOutput(t *testing.T) {
	for _, args := range [][]string{
		{"ops"}, {"zoo", "list"}, {"inspect", "zoo:mobilenetv2", "--cuts"}, {"run", "zoo:mobilenetv2", "--input", "random:1"},
		{"bench", "zoo:mobilenetv2", "--runs", "2", "--layers"},
	} {
		out, _ := want(t, exitOK, append(args, "--json")...)
		d := json.NewDecoder(strings.NewReader(out))
		var v map[string]any
		if err := d.Decode(&v); err != nil || len(v) == 0 || d.More() {
			t.Errorf("%v: not one JSON object: %v", args, err)
		}
	}
}

func TestExactRunsSumDirectly(t *testing.T) {
	whole := []string{"bench", "zoo:densenet121", "--runs", "1", "--warmup", "0", "--layers", "--json"}
	fast, _ := want(t, exitOK, whole...)
	exact, _ := want(t, exitOK, append(whole, "--exact")...)
	if strings.Contains(exact, "winograd") || ops.ISA() != "go" && !strings.Contains(fast, "winograd") {
		t.Errorf("Winograd kernels: with --exact %d, without %d", strings.Count(exact, "winograd"), strings.Count(fast, "winograd"))
	}
}

// The counts of Keras Applications, which the models' authors publish.
func TestZooListHasTheParametersOfKeras(t *testing.T) {
	out, _ := want(t, exitOK, "zoo", "list", "--json")
	var list struct {
		Networks []struct {
			Name   string
			Params int
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, n := range list.Networks {
		got[n.Name] = n.Params
	}
	for name, params := range map[string]int{"mobilenetv2": 3_538_984, "resnet50": 25_636_712, "vgg16": 138_357_544} {
		if got[name] != params {
			t.Errorf("%s has %d parameters, want %d", name, got[name], params)
		}
	}
}

// shared is where real models lie beside the project in a developer's tree.
func shared(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "models", name)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s is not beside the project", name)
	}
	return dir
}

// SqueezeNet was trained by others on ImageNet: class 281 is a tabby cat, class
// 0 a tench.
func TestSqueezeNetKnowsTheKittenAndTheFish(t *testing.T) {
	dir := shared(t, "squeezenet_fp32")
	for set, class := range map[string]int{"test_data_set_1": 281, "test_data_set_2": 0} {
		out, _ := want(t, exitOK, "run", filepath.Join(dir, "model.onnx"), "--input", filepath.Join(dir, set, "input_0.pb"), "--json")
		var r struct{ Outputs []outputReport }
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		if got := r.Outputs[0].Top[0].Index; got != class {
			t.Errorf("%s: class %d, want %d", set, got, class)
		}
	}
}

func TestRealModelsAgreeWithTheirReferences(t *testing.T) {
	for _, name := range []string{"squeezenet_fp32", "mnist_8", "mobilenet_v2_050_128", "yamnet_256", "super_resolution_10"} {
		t.Run(name, func(t *testing.T) {
			out, _ := want(t, exitOK, "verify", shared(t, name), "--json")
			var r verifyReport
			if err := json.Unmarshal([]byte(out), &r); err != nil || r.Passed != 1 || r.Cases[0].Sets == 0 {
				t.Errorf("got %+v, error %v", r, err)
			}
		})
	}
}

func TestVerifyTellsWrongResults(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "case")
	set := filepath.Join(dir, "test_data_set_0")
	if err := os.MkdirAll(set, 0o755); err != nil {
		t.Fatal(err)
	}
	want(t, exitOK, "zoo", "export", "mobilenetv2", "-o", filepath.Join(dir, "model.onnx"))
	if err := os.WriteFile(filepath.Join(set, "input_0.pb"), tensorProto(tensortest.Random(1, 1, 3, 224, 224).Raw, 1, 3, 224, 224), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(set, "output_0.pb"), tensorProto(tensortest.Random(2, 1, 1000).Raw, 1, 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	out, stderr := want(t, exitVerification, "verify", dir)
	if !strings.Contains(out, "failed") || !strings.Contains(out, "worst at index") || !strings.Contains(stderr, "1 of 1 cases") {
		t.Errorf("got %q, %q", out, stderr)
	}
}

// A model without layers hands an input on; where the data set lacks that
// input, the case is an error and not the program.
func TestVerifyOfAModelWithoutLayers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "case[1") // no pattern for files' names
	set := filepath.Join(dir, "test_data_set_0")
	if err := os.MkdirAll(set, 0o755); err != nil {
		t.Fatal(err)
	}
	g := &graph.Graph{Name: "empty"}
	for _, name := range []string{"a", "b"} {
		g.Input(name, tensor.Type{DType: tensor.Float32, Shape: tensor.Shape{2}})
	}
	g.Outputs = g.Inputs[1:]
	if err := writeFile(filepath.Join(dir, "model.onnx"), func(w io.Writer) error { return onnximport.Save(w, g) }); err != nil {
		t.Fatal(err)
	}
	for i, code := range []int{exitFailure, exitOK} {
		proto := tensorProto(tensortest.Random(1, 2).Raw, 2)
		for _, name := range []string{fmt.Sprintf("input_%d.pb", i), "output_0.pb"} {
			if err := os.WriteFile(filepath.Join(set, name), proto, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want(t, code, "verify", dir)
	}
}

// JSON has no infinity, to which a mean of the largest numbers may be rounded.
func TestOutputsThatAreNoNumbersAreReported(t *testing.T) {
	for n := range 300 {
		x := tensor.New(tensor.Float32, n+1)
		for i := range x.F32() {
			x.F32()[i] = float32(math.NaN())
		}
		r := describeOutput("y", x)
		r.classify(x, 1, nil, 5, false, nil)
		if _, err := json.Marshal(r); err != nil {
			t.Fatalf("%d elements: %v", n+1, err)
		}
	}
}

// tensorProto writes a float32 TensorProto by hand: dims (1), data_type (2) and
// raw_data (9) of onnx.proto.
func tensorProto(raw []byte, dims ...int) []byte {
	varint := func(b []byte, v int) []byte {
		for ; v >= 0x80; v >>= 7 {
			b = append(b, byte(v)|0x80)
		}
		return append(b, byte(v))
	}
	var b []byte
	for _, d := range dims {
		b = varint(append(b, 1<<3), d)
	}
	b = varint(append(b, 2<<3), 1)
	b = varint(append(b, 9<<3|2), len(raw))
	return append(b, raw...)
}
