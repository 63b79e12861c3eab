package main

import "golang.org/x/sys/unix"

// stayOn binds the calling thread to a CPU.
func stayOn(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return unix.SchedSetaffinity(0, &set)
}
