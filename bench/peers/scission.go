package main

import (
	"context"
	"fmt"
	"runtime/debug"

	"scission/bench/peers/worker"
	"scission/engine"
	"scission/engine/tensor"
	"scission/onnximport"
)

// workerArg is the only argument of this program when it is scission's worker.
const workerArg = "worker"

// scission is the engine that this program holds itself.
func scission() worker.Engine { return worker.Engine{Version: version(), Load: loadScission} }

func loadScission(path string, threads int, inputs map[string]*tensor.Tensor) (func() ([]*tensor.Tensor, error), error) {
	m, err := onnximport.Open(path, onnximport.Options{}) // mapped until the process ends
	if err != nil {
		return nil, err
	}
	g, err := m.Graph(nil)
	if err != nil {
		return nil, err
	}
	var in []*tensor.Tensor
	for _, v := range g.Inputs {
		t := inputs[v.Name]
		if t == nil {
			return nil, fmt.Errorf("no input %q", v.Name)
		}
		in = append(in, t)
	}
	plan, err := engine.Compile(g, engine.Options{Threads: threads})
	if err != nil {
		return nil, err
	}
	session := plan.NewSession()
	return func() ([]*tensor.Tensor, error) { return session.Run(context.Background(), in) }, nil
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
