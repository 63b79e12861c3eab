package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc: USER_HZ is 100 on every Linux.
const tick = 10 * time.Millisecond

// load is what the machine's CPUs have done up to a moment.
type load struct {
	at   time.Time
	busy time.Duration // of all CPUs: everything but idling, time stolen by the hypervisor included
	own  time.Duration // of some processes
}

// loadOf reads the load, with own for the given processes (proc(5)).
func loadOf(pids ...int) (load, error) {
	l := load{at: time.Now()}
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return load{}, err
	}
	if l.busy, err = parseBusy(string(stat)); err != nil {
		return load{}, err
	}
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return load{}, err
		}
		own, err := parseOwn(string(stat))
		if err != nil {
			return load{}, err
		}
		l.own += own
	}
	return l, nil
}

// parseBusy adds up the first line of /proc/stat, but for idle and iowait. The
// guests' times at the end are part of the users' times.
func parseBusy(stat string) (time.Duration, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	const user, nice, system, irq, softirq, steal = 1, 2, 3, 6, 7, 8
	return sumTicks(fields, user, nice, system, irq, softirq, steal)
}

// parseOwn adds up utime and stime of /proc/PID/stat.
func parseOwn(stat string) (time.Duration, error) {
	// The command's name, in parentheses, may hold blanks and parentheses.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const utime, stime = 14 - 3, 15 - 3
	if len(fields) <= stime {
		return 0, fmt.Errorf("/proc/PID/stat is %q", stat)
	}
	return sumTicks(fields, utime, stime)
}

func sumTicks(fields []string, at ...int) (time.Duration, error) {
	var sum time.Duration
	for _, i := range at {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// othersSince is the share of the machine's CPU time between two loads of the
// same processes that went to others.
func othersSince(from, to load, cpus int) float64 {
	others := (to.busy - from.busy) - (to.own - from.own)
	return max(0, float64(others)/float64(cpus)/float64(to.at.Sub(from.at)))
}

// cpusSince is how many CPUs the processes kept busy between two loads.
func cpusSince(from, to load) float64 {
	return float64(to.own-from.own) / float64(to.at.Sub(from.at))
}

// peakRSS is the most memory that a process has had resident, in bytes: its own
// and what it has mapped from files (VmHWM of proc(5)).
func peakRSS(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parsePeak(string(status))
}

// parsePeak finds VmHWM in /proc/PID/status.
func parsePeak(status string) (int64, error) {
	for line := range strings.Lines(status) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("/proc/PID/status has no VmHWM")
}

// machine describes where the figures are from.
type machine struct {
	CPU   string `json:"cpu"`
	CPUs  int    `json:"cpus"`
	Flags string `json:"flags"` // of the instruction sets that matter here
	OS    string `json:"os"`
}

func thisMachine() machine {
	m := machine{CPU: runtime.GOARCH, CPUs: runtime.NumCPU(), OS: runtime.GOOS}
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return m
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		key, value, _ := strings.Cut(s.Text(), ":")
		switch strings.TrimSpace(key) {
		case "model name":
			m.CPU = strings.TrimSpace(value)
		case "flags", "Features":
			m.Flags = vectorFlags(value)
		}
	}
	return m
}

// vectorFlags keeps the flags that say which kernels an engine may choose.
func vectorFlags(all string) string {
	var kept []string
	for _, flag := range strings.Fields(all) {
		switch flag {
		case "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_tile", "asimd", "asimddp", "sve":
			kept = append(kept, flag)
		}
	}
	return strings.Join(kept, " ")
}
