package main

import (
	"testing"
	"time"
)

func TestBusyTimeLeavesOutIdlingAndGuests(t *testing.T) {
	// user nice system idle iowait irq softirq steal guest guest_nice
	got, err := parseBusy("cpu  100 20 3 99999 88888 4 50 6 77 66\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
	if want := 1830 * time.Millisecond; err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"", "cpu 1 2 3\n", "cpu a b c d e f g h i j\n"} {
		if _, err := parseBusy(bad); err == nil {
			t.Errorf("parseBusy(%q) is no error", bad)
		}
	}
}

func TestOwnTimeIsFoundBehindAnyName(t *testing.T) {
	got, err := parseOwn("4242 (a) b (c)) S 1 4242 4242 0 -1 4194304 1000 0 0 0 150 25 7 7 20 0 3 0 5000 1 1 1")
	if want := 1750 * time.Millisecond; err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := parseOwn("4242 (short) S 1"); err == nil {
		t.Error("a short line is no error")
	}
}

func TestOthersAreWhatIsBusyAndNotOwn(t *testing.T) {
	start := time.Now()
	from := load{at: start, busy: 10 * time.Second, own: 2 * time.Second}
	to := load{at: start.Add(time.Second), busy: 11300 * time.Millisecond, own: 2900 * time.Millisecond}
	if got := othersSince(from, to, 2); got < 0.1999 || got > 0.2001 {
		t.Errorf("0.4 of 2 CPU seconds went to others, got a share of %v", got)
	}
	if got := othersSince(from, load{at: to.at, busy: from.busy, own: to.own}, 2); got != 0 {
		t.Errorf("rounding of ticks gives a share of %v, want 0", got)
	}
}

func TestOnlyVectorFlagsAreKept(t *testing.T) {
	if got := vectorFlags(" fpu sse avx avx2 aes fma avx512fp16"); got != "avx avx2 fma" {
		t.Errorf("got %q", got)
	}
}

func TestPeakOfMemoryIsInBytes(t *testing.T) {
	if got, err := parsePeak("Name:\tx\nVmPeak:\t  9999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"); err != nil || got != 2<<20 {
		t.Errorf("got %v, %v, want 2 MiB", got, err)
	}
	if _, err := parsePeak("VmRSS:\t 1 kB\n"); err == nil {
		t.Error("no VmHWM is no error")
	}
}

func TestCPUsAreOwnTimeByTime(t *testing.T) {
	start := time.Now()
	from, to := load{at: start, own: time.Second}, load{at: start.Add(2 * time.Second), own: 4 * time.Second}
	if got := cpusSince(from, to); got != 1.5 {
		t.Errorf("got %v, want 1.5", got)
	}
}
