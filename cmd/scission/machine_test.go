package main

import (
	"os"
	"testing"
)

func TestMemoryIsTheLeastOfMachineAndControlGroups(t *testing.T) {
	const total = "MemFree:  1 kB\nMemTotal:  8192 kB\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing known":     {nil, 0},
		"no group":          {map[string]string{"/proc/meminfo": total}, 8 << 20},
		"group without end": {map[string]string{"/proc/meminfo": total, "/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/memory.max": "max\n"}, 8 << 20},
		"version 2, parent": {map[string]string{"/proc/meminfo": total, "/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max": "max\n", "/sys/fs/cgroup/a/memory.max": "4194304\n"}, 4 << 20},
		"version 2, inside": {map[string]string{"/proc/meminfo": total, "/proc/self/cgroup": "0::/host/path\n", "/sys/fs/cgroup/memory.max": "1048576\n"}, 1 << 20},
		"version 1":         {map[string]string{"/proc/meminfo": total, "/proc/self/cgroup": "3:cpu:/x\n2:memory:/a\n", "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "2097152\n"}, 2 << 20},
		"larger than all":   {map[string]string{"/proc/meminfo": total, "/proc/self/cgroup": "2:memory:/\n", "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 8 << 20},
	} {
		got := memoryLimit(func(path string) ([]byte, error) {
			if s, ok := c.files[path]; ok {
				return []byte(s), nil
			}
			return nil, os.ErrNotExist
		})
		if got != c.want {
			t.Errorf("%s: got %d bytes, want %d", name, got, c.want)
		}
	}
}

func TestMachineKnowsItsClockAndThreads(t *testing.T) {
	m := machine(1000)
	if m.ClockTick <= 0 || m.Threads < 1 || m.Threads > m.Cores || m.CPU == "" {
		t.Errorf("got %+v", m)
	}
}
