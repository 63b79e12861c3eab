package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// cpuTick is the unit of the times in /proc: USER_HZ is 100 on every Linux.
const cpuTick = 10 * time.Millisecond

// cpuLoad is what the machine's processors have done up to a moment.
type cpuLoad struct {
	at   time.Time
	busy time.Duration // of all processors: everything but idling, time that a hypervisor took included
	own  time.Duration // of the processes that run this program, workers among them
}

// readLoad reads the load where the system has /proc as Linux does (proc(5)).
func readLoad() (cpuLoad, error) {
	l := cpuLoad{at: time.Now()}
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return l, err
	}
	if l.busy, err = parseBusy(string(stat)); err != nil {
		return l, err
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return l, err
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return l, err
	}
	for _, dir := range processes {
		if exe, err := os.Readlink(filepath.Join(dir, "exe")); err != nil || exe != program {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended
		}
		own, err := parseProcess(string(stat))
		if err != nil {
			return l, err
		}
		l.own += own
	}
	return l, nil
}

// othersSince is the share of the machine's processors between two loads that
// went to other programs, from 0 to 1.
func othersSince(from, to cpuLoad, cpus int) float64 {
	others := (to.busy - from.busy) - (to.own - from.own)
	return max(0, float64(others)/float64(cpus)/float64(max(to.at.Sub(from.at), 1)))
}

// unknownLoad is the share of others where the system does not tell it.
const unknownLoad = -1

// watchOthers returns a function that says which share of the processors has
// gone to other programs since, or unknownLoad.
func watchOthers() func() float64 {
	from, err := readLoad()
	if err != nil {
		return func() float64 { return unknownLoad }
	}
	return func() float64 {
		to, err := readLoad()
		if err != nil {
			return unknownLoad
		}
		return othersSince(from, to, runtime.NumCPU())
	}
}

// parseBusy adds up the first line of /proc/stat, but for idle and iowait. The
// guests' times at the end are part of the users' times.
func parseBusy(stat string) (time.Duration, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %.80q", line)
	}
	const user, nice, system, irq, softirq, steal = 1, 2, 3, 6, 7, 8
	return sumTicks(fields, user, nice, system, irq, softirq, steal)
}

// parseProcess adds up utime and stime of /proc/PID/stat.
func parseProcess(stat string) (time.Duration, error) {
	// The command's name, in parentheses, may hold blanks and parentheses.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const utime, stime = 14 - 3, 15 - 3
	if len(fields) <= stime {
		return 0, fmt.Errorf("/proc/PID/stat is %.80q", stat)
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
		sum += time.Duration(n) * cpuTick
	}
	return sum, nil
}
