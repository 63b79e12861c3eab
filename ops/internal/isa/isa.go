// Package isa chooses, once at start, the instruction set that kernels may use.
//
// It knows no kernel. Every kernel package keeps one ordered list of implementations, each tagged with the Level it
// needs, and asks Have for each of them. The build tag purego leaves only Go.
package isa

import (
	"fmt"
	"os"
	"slices"
)

// Level is an instruction set that kernels are written for. Of the levels of one processor family a higher one
// includes the lower ones, and all include Go.
type Level uint8

const (
	Go     Level = iota // portable Go, on every platform
	AVX2                // amd64 with AVX2 and FMA
	AVX512              // amd64 with AVX-512 F, DQ, BW and VL, as well as AVX2 and FMA
	NEON                // arm64, every processor of which has it
)

// Env names the environment variable that lowers the level: go, avx2, avx512 or neon. It exists for tests and for
// comparing levels; it can never raise the level above what the processor has.
const Env = "SCISSION_ISA"

var names = [...]string{Go: "go", AVX2: "avx2", AVX512: "avx512", NEON: "neon"}

// String returns the name that Env takes.
func (l Level) String() string {
	if int(l) < len(names) {
		return names[l]
	}
	return fmt.Sprintf("isa(%d)", uint8(l))
}

// had are the levels that kernels may use, the lowest first.
var had, err = choose(detect(), os.Getenv(Env))

// Best returns the highest level that kernels may use.
func Best() Level { return had[len(had)-1] }

// Have reports whether kernels of level l may run.
func Have(l Level) bool { return slices.Contains(had, l) }

// Err returns what is wrong with the value of Env, nil if nothing is. The level is then the processor's own.
func Err() error { return err }

// choose returns the levels for a processor that has those of cpu when the user asks for want ("" is no wish).
func choose(cpu []Level, want string) ([]Level, error) {
	if want == "" {
		return cpu, nil
	}
	l := slices.Index(names[:], want)
	if l < 0 {
		return cpu, fmt.Errorf("isa: %s=%q is unknown, want go, avx2, avx512 or neon", Env, want)
	}
	at := slices.Index(cpu, Level(l))
	if at < 0 {
		return cpu, fmt.Errorf("isa: %s=%s is more than this processor or build has, want one of %s", Env, want, cpu)
	}
	return cpu[:at+1], nil
}
