package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"scission/engine/tensor"
	"scission/engine/tensor/npy"
	"scission/engine/tensor/tensortest"
	"scission/ops"
)

// withARM is the environment variable that asks for the test of emulated ARM.
const withARM = "SCISSION_TEST_ARM"

// The program built for 64-bit and 32-bit ARM runs a network, is the edge of an
// amd64 device and the device of an amd64 edge. On 64-bit ARM its results have
// the bits of this machine's, if that too fuses multiply and add; else they
// agree within rounding.
//
// The emulation takes minutes, so it runs only where it is asked for: .ci/run does.
func TestARMAgreesWithThisMachine(t *testing.T) {
	if os.Getenv(withARM) == "" {
		t.Skipf("%s is not set", withARM)
	}
	for _, target := range []struct{ arch, qemu string }{{"arm64", "qemu-aarch64-static"}, {"arm", "qemu-arm-static"}} {
		t.Run(target.arch, func(t *testing.T) {
			qemu, err := exec.LookPath(target.qemu)
			if err != nil {
				t.Skipf("%s, which runs programs for %s, is not installed", target.qemu, target.arch)
			}
			dir := t.TempDir()
			program := filepath.Join(dir, "scission")
			build := exec.Command("go", "build", "-o", program, ".")
			build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+target.arch, "GOARM=7")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			model := filepath.Join(dir, "model.onnx")
			want(t, exitOK, "zoo", "export", "mobilenetv2", "-o", model)
			want(t, exitOK, "run", model, "--input", "random:7", "--output", filepath.Join(dir, "here"))
			reference := readNpy(t, filepath.Join(dir, "here", "output.npy"))
			fused := target.arch == "arm64" && ops.ISA() != "go"
			agree := func(what string) {
				t.Helper()
				y := readNpy(t, filepath.Join(dir, what, "output.npy"))
				if err := tensortest.Diff(y, reference, 1e-4, 1e-7); err != nil {
					t.Errorf("%s: %v", what, err)
				} else if fused && !y.Identical(reference) {
					t.Errorf("%s: the bits are not those of this machine", what)
				}
			}
			emulated := func(args ...string) {
				t.Helper()
				if out, err := exec.Command(qemu, append([]string{program}, args...)...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %v\n%s", args, err, out)
				}
			}

			emulated("run", model, "--input", "random:7", "--output", filepath.Join(dir, "run"))
			agree("run")

			edge := startWorkerProcess(t, exec.Command(qemu, program), "edge")
			out, _ := want(t, exitOK, "exec", model, "--stages", fmt.Sprintf("device:0-40,edge@%s:41-end", edge),
				"--input", "random:7", "--warmup", "0", "--output", filepath.Join(dir, "edge"), "--json")
			var r execReport
			if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Hops) != 2 {
				t.Errorf("edge: %d hops, error %v", len(r.Hops), err)
			}
			agree("edge")

			edge = startWorker(t, "edge")
			emulated("exec", model, "--stages", fmt.Sprintf("device:0-40,edge@%s:41-end", edge),
				"--input", "random:7", "--warmup", "0", "--output", filepath.Join(dir, "device"))
			agree("device")
		})
	}
}

func readNpy(t *testing.T, path string) *tensor.Tensor {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x, err := npy.Read(f, maxTensorFile)
	if err != nil {
		t.Fatal(err)
	}
	return x
}
