package main

import (
	"bufio"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"scission/ops"
	"scission/split"
)

// machine describes this machine, on which a run uses so many threads, or as
// many as it may if threads is 0. What the system does not tell is left out.
func machine(threads int) split.Machine {
	usable := runtime.GOMAXPROCS(0) // which heeds a container's share of the processors
	if threads == 0 {
		threads = usable
	}
	return split.Machine{
		CPU: cpuName(), ISA: isaName(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Cores: runtime.NumCPU(), Threads: min(threads, usable),
		Memory: memoryLimit(os.ReadFile), Governor: governor(os.ReadFile), ClockTick: clockTick(),
	}
}

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

// memoryLimit is the bytes of memory that this process may use: the machine's,
// or what its control groups (version 2, or 1) leave it; 0 if the system does
// not tell. read is os.ReadFile, or a test's.
func memoryLimit(read func(path string) ([]byte, error)) int64 {
	least := int64(0)
	limit := func(bytes int64, err error) {
		if err == nil && bytes > 0 && (least == 0 || bytes < least) {
			least = bytes
		}
	}
	info, _ := read("/proc/meminfo")
	for line := range strings.Lines(string(info)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" && f[2] == "kB" {
			kilobytes, err := strconv.ParseInt(f[1], 10, 64)
			limit(kilobytes<<10, err)
		}
	}
	groups, _ := read("/proc/self/cgroup")
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		root, name := "/sys/fs/cgroup", "memory.max"
		if strings.Contains(f[1], "memory") {
			root, name = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		// Inside a container the path can be one of the host's; then the root stands for it.
		for dir := path.Clean("/" + f[2]); ; dir = path.Dir(dir) {
			b, err := read(path.Join(root, dir, name))
			if err == nil {
				limit(strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)) // "max" is no number
			}
			if dir == "/" {
				break
			}
		}
	}
	return least
}

// governor is what sets the frequency of the first processor, if the system
// tells it.
func governor(read func(path string) ([]byte, error)) string {
	b, _ := read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
	return strings.TrimSpace(string(b))
}

// tickReadings is how many steps of the clock are looked at.
const tickReadings = 1000

// clockTick is the smallest step of the clock that was seen.
var clockTick = sync.OnceValue(func() time.Duration {
	least := time.Hour
	for range tickReadings {
		start := time.Now()
		step := time.Since(start)
		for step <= 0 {
			step = time.Since(start)
		}
		least = min(least, step)
	}
	return least
})
