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

	"scission/bench/peers/worker"
	"scission/engine/tensor"
)

// process is a running worker.
type process struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      *bufio.Reader
	patience time.Duration
}

// start starts a worker. It is killed when ctx ends, or when it takes longer
// than patience to answer.
func start(ctx context.Context, command []string, patience time.Duration) (*process, error) {
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
	return &process{cmd, in, bufio.NewReader(out), patience}, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// call sends a request and waits for the reply.
func (p *process) call(r worker.Request) (worker.Reply, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return worker.Reply{}, err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return worker.Reply{}, fmt.Errorf("worker ended before %s: %w", r.Cmd, err)
	}
	timer := time.AfterFunc(p.patience, func() { p.cmd.Process.Kill() })
	line, err = p.out.ReadBytes('\n')
	if !timer.Stop() {
		return worker.Reply{}, fmt.Errorf("no answer to %s within %v", r.Cmd, p.patience)
	}
	if err != nil {
		return worker.Reply{}, fmt.Errorf("worker ended during %s: %w", r.Cmd, err)
	}
	var answer worker.Reply
	if err := json.Unmarshal(line, &answer); err != nil {
		return worker.Reply{}, fmt.Errorf("worker answered %s with %q: %w", r.Cmd, line, err)
	}
	if answer.Error != "" {
		return worker.Reply{}, errors.New(answer.Error)
	}
	return answer, nil
}

// hello waits until the engine's library is loaded and returns its version.
func (p *process) hello() (version string, err error) {
	answer, err := p.call(worker.Request{Cmd: "hello"})
	return answer.Version, err
}

// load loads the form of m that the engine takes.
func (p *process) load(m model, form string, threads int) error {
	_, err := p.call(worker.Request{Cmd: "load", Model: form, Threads: threads, Inputs: m.inputs})
	return err
}

// run runs the model n times.
func (p *process) run(n int) ([]time.Duration, error) {
	answer, err := p.call(worker.Request{Cmd: "run", Runs: n})
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
	answer, err := p.call(worker.Request{Cmd: "output", Dir: dir})
	if err != nil {
		return nil, err
	}
	var ts []*tensor.Tensor
	for _, f := range answer.Outputs {
		if filepath.Dir(f.File) != filepath.Clean(dir) {
			return nil, fmt.Errorf("worker wrote to %q, want a file in %q", f.File, dir)
		}
		t, err := f.Read()
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
