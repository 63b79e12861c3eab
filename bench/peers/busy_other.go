//go:build !linux

package main

import "errors"

// stayOn binds the calling thread to a CPU.
func stayOn(int) error { return errors.ErrUnsupported }
