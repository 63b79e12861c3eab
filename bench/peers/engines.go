package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	_ "embed"
)

// An engine that Python reaches is a module of its own in the folder python
// and a line in pythonEngines.
var (
	//go:embed python/worker.py
	pythonWorker []byte
	//go:embed python/peer_onnxruntime.py
	onnxRuntime []byte

	pythonEngines = map[string][]byte{"onnxruntime": onnxRuntime}
)

// subject is the engine that the others are compared with.
const subject = "scission"

// contender is an engine: something that runs models in a worker process.
type contender struct {
	name    string
	command []string // starts a worker, see request
}

// engines returns the engines of the given names, the subject first. The
// Python modules are unpacked into dir.
func engines(names []string, python, dir string) ([]contender, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	list := []contender{{subject, []string{self, workerArg}}}
	script := filepath.Join(dir, "worker.py")
	if err := os.WriteFile(script, pythonWorker, 0o600); err != nil {
		return nil, err
	}
	for _, name := range names {
		if name == subject {
			continue
		}
		module, ok := pythonEngines[name]
		if !ok {
			return nil, fmt.Errorf("unknown engine %q, want some of %s", name, strings.Join(engineNames(), ", "))
		}
		if err := os.WriteFile(filepath.Join(dir, "peer_"+name+".py"), module, 0o600); err != nil {
			return nil, err
		}
		list = append(list, contender{name, []string{python, script, name}})
	}
	return list, nil
}

// engineNames lists all engines, the subject first.
func engineNames() []string {
	names := []string{}
	for name := range pythonEngines {
		names = append(names, name)
	}
	slices.Sort(names)
	return append([]string{subject}, names...)
}
