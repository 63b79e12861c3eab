// Package isa chooses, once at start, the instruction set that kernels may use.
//
// It knows no kernel. Every kernel package keeps one ordered list of implementations, each tagged with the Level it
// needs, and asks Have for each of them. The build tag purego leaves only Go.
package isa

import (
	"fmt"
	"os"
)

// Level is an instruction set that kernels are written for. A higher level includes the lower ones.
type Level uint8

const (
	Go     Level = iota // portable Go, on every platform
	AVX2                // amd64 with AVX2 and FMA
	AVX512              // amd64 with AVX-512 F, DQ, BW and VL, as well as AVX2 and FMA
)

// Env names the environment variable that lowers the level: go, avx2 or avx512. It exists for tests and for
// comparing levels; it can never raise the level above what the processor has.
const Env = "SCISSION_ISA"

var names = [...]string{Go: "go", AVX2: "avx2", AVX512: "avx512"}

// String returns the name that Env takes.
func (l Level) String() string {
	if int(l) < len(names) {
		return names[l]
	}
	return fmt.Sprintf("isa(%d)", uint8(l))
}

var best, err = choose(detect(), os.Getenv(Env))

// Best returns the highest level that kernels may use.
func Best() Level { return best }

// Have reports whether kernels of level l may run.
func Have(l Level) bool { return l <= best }

// Err returns what is wrong with the value of Env, nil if nothing is. The level is then the processor's own.
func Err() error { return err }

// choose returns the level for a processor that has cpu when the user asks for want ("" is no wish).
func choose(cpu Level, want string) (Level, error) {
	if want == "" {
		return cpu, nil
	}
	for l, name := range names {
		if name != want {
			continue
		}
		if Level(l) > cpu {
			return cpu, fmt.Errorf("isa: %s=%s is more than this processor or build has, want at most %s", Env, want, cpu)
		}
		return Level(l), nil
	}
	return cpu, fmt.Errorf("isa: %s=%q is unknown, want go, avx2 or avx512", Env, want)
}
