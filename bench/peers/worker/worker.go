// Package worker is the side of an engine: what bench/peers asks of a process
// that runs a model, and the serving of it for engines that are called from Go.
// python/worker.py serves the others.
package worker

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

	"scission/engine/tensor"
)

// Request is a line on a worker's standard input. A worker runs one model in
// one engine; it ends when its standard input does. When it has no request to
// serve it takes no CPU time.
type Request struct {
	// Cmd is one of
	//	hello    loads the engine's library; replies with Version
	//	convert  writes Model in the engine's own form into Dir, if it has one; replies with Model
	//	load     reads Model, as convert gave it, and Inputs
	//	run      runs Runs times; replies with SamplesNS
	//	output   runs once and writes the outputs to files in Dir; replies with Outputs
	Cmd     string `json:"cmd"`
	Model   string `json:"model,omitempty"` // path; of an ONNX file for convert
	Dir     string `json:"dir,omitempty"`
	Threads int    `json:"threads,omitempty"`
	Inputs  []File `json:"inputs,omitempty"`
	Runs    int    `json:"runs,omitempty"`
}

// Reply is a line on a worker's standard output, one for each request.
type Reply struct {
	Error     string          `json:"error,omitempty"` // why the request failed
	Version   string          `json:"version,omitempty"`
	Model     string          `json:"model,omitempty"`
	SamplesNS []time.Duration `json:"samples_ns,omitempty"`
	Outputs   []File          `json:"outputs,omitempty"`
}

// File is a tensor in a file of its own: its bytes as tensor.Tensor has them.
type File struct {
	Name  string `json:"name"`
	DType string `json:"dtype"` // as NumPy writes it
	Shape []int  `json:"shape"`
	File  string `json:"file"`
}

// Write writes t to a new file.
func Write(path, name string, t *tensor.Tensor) (File, error) {
	return File{name, t.DType.String(), t.Shape, path}, os.WriteFile(path, t.Raw, 0o600)
}

// limit bounds the bytes of a tensor that a worker hands over.
const limit = 1 << 30

// Read returns the tensor that f describes, of at most 1 GiB.
func (f File) Read() (*tensor.Tensor, error) {
	var d tensor.DType
	for d.String() != f.DType {
		if d++; d > tensor.BFloat16 {
			return nil, fmt.Errorf("%q has the unknown type %q", f.Name, f.DType)
		}
	}
	typ, err := tensor.CheckType(d, f.Shape, limit)
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

// Engine is what runs models.
type Engine struct {
	Version string
	// Load prepares an ONNX file's model for runs on the given inputs, by
	// name. What a run returns is valid until the next.
	Load func(path string, threads int, inputs map[string]*tensor.Tensor) (run func() ([]*tensor.Tensor, error), err error)
}

// Serve answers requests from r on w until r ends. An engine that panics gives
// an error as its answer.
func (e Engine) Serve(r io.Reader, w io.Writer) error {
	lines, replies := bufio.NewScanner(r), json.NewEncoder(w)
	s := server{engine: e}
	for lines.Scan() {
		var req Request
		if err := json.Unmarshal(lines.Bytes(), &req); err != nil {
			return err
		}
		answer, err := s.answer(req)
		if err != nil {
			answer = Reply{Error: err.Error()}
		}
		if err := replies.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

// Main serves on the standard streams and ends the process if that fails.
// What the engine prints goes to standard error.
func (e Engine) Main() {
	replies := os.Stdout
	os.Stdout = os.Stderr
	if err := e.Serve(os.Stdin, replies); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// ModuleVersion is the version of a module that the program was built with.
func ModuleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return "unknown"
}

type server struct {
	engine Engine
	model  func() ([]*tensor.Tensor, error)
}

func (s *server) answer(r Request) (answer Reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	switch {
	case r.Cmd == "hello":
		return Reply{Version: s.engine.Version}, nil
	case r.Cmd == "convert":
		return Reply{Model: r.Model}, nil
	case r.Cmd == "load":
		return Reply{}, s.load(r)
	case s.model == nil:
		return Reply{}, fmt.Errorf("%s before load", r.Cmd)
	case r.Cmd == "run":
		return s.run(r.Runs)
	case r.Cmd == "output":
		return s.output(r.Dir)
	}
	return Reply{}, fmt.Errorf("unknown command %q", r.Cmd)
}

func (s *server) load(r Request) (err error) {
	inputs := map[string]*tensor.Tensor{}
	for _, f := range r.Inputs {
		if inputs[f.Name], err = f.Read(); err != nil {
			return err
		}
	}
	s.model, err = s.engine.Load(r.Model, r.Threads, inputs)
	return err
}

func (s *server) run(n int) (Reply, error) {
	if n < 1 {
		return Reply{}, errors.New("no runs")
	}
	samples := make([]time.Duration, n)
	for i := range samples {
		start := time.Now()
		if _, err := s.model(); err != nil {
			return Reply{}, err
		}
		samples[i] = time.Since(start)
	}
	return Reply{SamplesNS: samples}, nil
}

func (s *server) output(dir string) (Reply, error) {
	ts, err := s.model()
	if err != nil {
		return Reply{}, err
	}
	var answer Reply
	for i, t := range ts {
		name := strconv.Itoa(i)
		f, err := Write(filepath.Join(dir, name+".bin"), name, t)
		if err != nil {
			return Reply{}, err
		}
		answer.Outputs = append(answer.Outputs, f)
	}
	return answer, nil
}
