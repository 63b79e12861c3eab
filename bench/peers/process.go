package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"scission/engine/tensor"
)

// request is a line on a worker's standard input. A worker runs one model in
// one engine; it ends when its standard input does. When it has no request to
// serve it takes no CPU time.
type request struct {
	// Cmd is one of
	//	load    reads Model and Inputs; replies with Version
	//	run     runs Runs times; replies with SamplesNS
	//	output  runs once and writes the outputs to files in Dir; replies with Outputs
	Cmd     string `json:"cmd"`
	Model   string `json:"model,omitempty"` // path of an ONNX file
	Threads int    `json:"threads,omitempty"`
	Inputs  []file `json:"inputs,omitempty"`
	Runs    int    `json:"runs,omitempty"`
	Dir     string `json:"dir,omitempty"`
}

// reply is a line on a worker's standard output, one for each request.
type reply struct {
	Error     string          `json:"error,omitempty"` // why the request failed
	Version   string          `json:"version,omitempty"`
	SamplesNS []time.Duration `json:"samples_ns,omitempty"`
	Outputs   []file          `json:"outputs,omitempty"`
}

// file is a tensor in a file of its own: its bytes as tensor.Tensor has them.
type file struct {
	Name  string `json:"name"`
	DType string `json:"dtype"` // as NumPy writes it
	Shape []int  `json:"shape"`
	File  string `json:"file"`
}

// writeTensor writes t to a new file.
func writeTensor(path, name string, t *tensor.Tensor) (file, error) {
	return file{name, t.DType.String(), t.Shape, path}, os.WriteFile(path, t.Raw, 0o600)
}

// tensorLimit bounds the bytes of a tensor that a worker hands over.
const tensorLimit = 1 << 30

// read returns the tensor that f describes.
func (f file) read() (*tensor.Tensor, error) {
	var d tensor.DType
	for d.String() != f.DType {
		if d++; d > tensor.BFloat16 {
			return nil, fmt.Errorf("%q has the unknown type %q", f.Name, f.DType)
		}
	}
	typ, err := tensor.CheckType(d, f.Shape, tensorLimit)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", f.Name, err)
	}
	raw, err := os.ReadFile(f.File)
	if err != nil {
		return nil, err
	}
	if len(raw) != typ.Bytes() {
		return nil, fmt.Errorf("%q is %d bytes, want %d for %v", f.Name, len(raw), typ.Bytes(), typ)
	}
	t := tensor.New(d, f.Shape...)
	copy(t.Raw, raw)
	return t, nil
}

// process is a running worker.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// start starts a worker. It is killed when ctx ends.
func start(ctx context.Context, command []string) (*process, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd, in, bufio.NewReader(out)}, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// call sends a request and waits for the reply.
func (p *process) call(r request) (reply, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return reply{}, err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return reply{}, fmt.Errorf("worker ended before %s: %w", r.Cmd, err)
	}
	line, err = p.out.ReadBytes('\n')
	if err != nil {
		return reply{}, fmt.Errorf("worker ended during %s: %w", r.Cmd, err)
	}
	var answer reply
	if err := json.Unmarshal(line, &answer); err != nil {
		return reply{}, fmt.Errorf("worker answered %s with %q: %w", r.Cmd, line, err)
	}
	if answer.Error != "" {
		return reply{}, errors.New(answer.Error)
	}
	return answer, nil
}

// run runs the model n times.
func (p *process) run(n int) ([]time.Duration, error) {
	answer, err := p.call(request{Cmd: "run", Runs: n})
	if err == nil && len(answer.SamplesNS) != n {
		err = fmt.Errorf("worker gave %d samples, want %d", len(answer.SamplesNS), n)
	}
	return answer.SamplesNS, err
}

// outputs runs the model once and returns its outputs.
func (p *process) outputs() ([]*tensor.Tensor, error) {
	dir, err := os.MkdirTemp("", "scission-peers-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	answer, err := p.call(request{Cmd: "output", Dir: dir})
	if err != nil {
		return nil, err
	}
	var ts []*tensor.Tensor
	for _, f := range answer.Outputs {
		if filepath.Dir(f.File) != filepath.Clean(dir) {
			return nil, fmt.Errorf("worker wrote to %q, want a file in %q", f.File, dir)
		}
		t, err := f.read()
		if err != nil {
			return nil, err
		}
		ts = append(ts, t)
	}
	return ts, nil
}

// stop ends the worker.
func (p *process) stop() {
	p.in.Close()
	p.cmd.Wait() // how an engine ends tells nothing about its results
}
