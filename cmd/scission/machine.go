package main

import (
	"bufio"
	"os"
	"runtime"
	"strings"

	"scission/ops"
)

// isaName names the instruction set of the kernels in use.
func isaName() string { return ops.ISA() }

// cpuName is the processor's name where the system tells it, and the
// architecture elsewhere.
func cpuName() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		key, value, ok := strings.Cut(s.Text(), ":")
		switch strings.TrimSpace(key) {
		case "model name", "Model", "uarch":
			if ok {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}
