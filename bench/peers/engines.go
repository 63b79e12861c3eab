package main

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// subject is the engine that the others are compared with, reference the one
// that the outputs of all are compared with.
const (
	subject   = "scission"
	reference = "onnxruntime"
)

// engineList is all engines, the subject first, then the reference. A Python
// engine is a module of its own in the folder python; a Go engine is a program
// of its own in a folder of its name, so that it takes memory of no other.
var engineList = []struct {
	name     string
	language string // that its worker is written in
}{
	{subject, "go"},
	{reference, "python"},
	{"openvino", "python"},
	{"ncnn", "python"},
	{"mnn", "python"},
	{"litert", "python"},
	{"tract", "python"},
	{"gomlx", "go"},
	{"onnxgo", "go"},
}

//go:embed python/*.py
var pythonFiles embed.FS

// contender is an engine: something that runs models in a worker process.
type contender struct {
	name    string
	command []string // starts a worker, see worker.Request
}

// engines returns the engines of the given names in the order of engineList,
// the subject always among them. home is the folder that setup.sh and run.sh
// have put them into. The Python modules are unpacked into dir.
func engines(names []string, home, dir string) ([]contender, error) {
	for _, name := range names {
		if !slices.Contains(engineNames(), name) {
			return nil, fmt.Errorf("unknown engine %q, want some of %s", name, strings.Join(engineNames(), ", "))
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(dir, pythonFiles); err != nil {
		return nil, err
	}
	var list []contender
	for _, e := range engineList {
		var command []string
		switch {
		case e.name == subject:
			command = []string{self, workerArg}
		case !slices.Contains(names, e.name):
			continue
		case e.language == "go":
			command = []string{filepath.Join(home, "go", e.name)}
		default:
			command = []string{pythonOf(home), filepath.Join(dir, "python", "worker.py"), e.name}
		}
		list = append(list, contender{e.name, command})
	}
	return list, nil
}

// pythonOf is the interpreter that has the engines.
func pythonOf(home string) string { return filepath.Join(home, "bin", "python") }

func engineNames() []string {
	var names []string
	for _, e := range engineList {
		names = append(names, e.name)
	}
	return names
}
