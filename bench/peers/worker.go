package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

	"scission/engine"
	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/onnximport"
)

// workerArg is the only argument of this program when it is a worker of its own.
const workerArg = "worker"

// worker runs a model in scission.
type worker struct {
	session *engine.Session
	inputs  []*tensor.Tensor
	outputs []*graph.Value
}

// serve answers requests from r on w until r ends.
func serve(r io.Reader, w io.Writer) error {
	lines, replies := bufio.NewScanner(r), json.NewEncoder(w)
	var wk worker
	for lines.Scan() {
		var req request
		if err := json.Unmarshal(lines.Bytes(), &req); err != nil {
			return err
		}
		answer, err := wk.answer(req)
		if err != nil {
			answer = reply{Error: err.Error()}
		}
		if err := replies.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (w *worker) answer(r request) (reply, error) {
	switch {
	case r.Cmd == "load":
		return w.load(r)
	case w.session == nil:
		return reply{}, fmt.Errorf("%s before load", r.Cmd)
	case r.Cmd == "run":
		return w.run(r.Runs)
	case r.Cmd == "output":
		return w.output(r.Dir)
	}
	return reply{}, fmt.Errorf("unknown command %q", r.Cmd)
}

func (w *worker) load(r request) (reply, error) {
	g, err := onnximport.LoadFile(r.Model)
	if err != nil {
		return reply{}, err
	}
	files := map[string]file{}
	for _, f := range r.Inputs {
		files[f.Name] = f
	}
	w.inputs = nil
	for _, v := range g.Inputs {
		t, err := files[v.Name].read()
		if err != nil {
			return reply{}, err
		}
		w.inputs = append(w.inputs, t)
	}
	plan, err := engine.Compile(g, engine.Options{Threads: r.Threads})
	if err != nil {
		return reply{}, err
	}
	w.session, w.outputs = plan.NewSession(), g.Outputs
	return reply{Version: version()}, nil
}

func (w *worker) run(n int) (reply, error) {
	samples := make([]time.Duration, n)
	for i := range samples {
		start := time.Now()
		if _, err := w.session.Run(context.Background(), w.inputs); err != nil {
			return reply{}, err
		}
		samples[i] = time.Since(start)
	}
	return reply{SamplesNS: samples}, nil
}

func (w *worker) output(dir string) (reply, error) {
	ts, err := w.session.Run(context.Background(), w.inputs)
	if err != nil {
		return reply{}, err
	}
	var answer reply
	for i, t := range ts {
		f, err := writeTensor(filepath.Join(dir, strconv.Itoa(i)+".bin"), w.outputs[i].Name, t)
		if err != nil {
			return reply{}, err
		}
		answer.Outputs = append(answer.Outputs, f)
	}
	return answer, nil
}

// version is the commit that this program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, modified := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			const short = 12 // characters of a commit
			revision = s.Value[:min(short, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+changes"
		}
	}
	return revision + modified
}
