package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
)

// busyArg is the first argument of this program when it is the process that
// takes a CPU; the second is the CPU that it stays on, or anywhere.
const (
	busyArg  = "busy"
	anywhere = "anywhere"
)

// beBusy computes until standard input ends, which ends the process. It returns
// if it cannot.
func beBusy(where string) error {
	runtime.LockOSThread()
	if where != anywhere {
		cpu, err := strconv.Atoi(where)
		if err != nil {
			return err
		}
		if err := stayOn(cpu); err != nil {
			return fmt.Errorf("stay on CPU %d: %w", cpu, err)
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
	}
}

// busy is a process that takes a CPU.
type busy struct {
	cmd *exec.Cmd
	in  io.WriteCloser
}

// startBusy starts a process that takes a CPU until it is stopped.
func startBusy(ctx context.Context, where string) (*busy, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, busyArg, where)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return &busy{cmd, in}, cmd.Start()
}

func (b *busy) stop() error { return errors.Join(b.in.Close(), b.cmd.Wait()) }
