package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// worker is a "scission serve" process on an address that it keeps when it is
// started again.
type worker struct {
	name, addr string
	args       []string // in front of "serve"'s own
	flags      []string
	cmd        *exec.Cmd
}

// newWorker starts a worker with an empty store in dir on a free loopback port.
func (h *harness) newWorker(name string, flags ...string) (*worker, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	return h.workerAt(name, addr, nil, flags...)
}

// workerAt is newWorker at an address, run by a command such as "ip netns exec".
func (h *harness) workerAt(name, addr string, by []string, flags ...string) (*worker, error) {
	h.started++
	store := filepath.Join(h.dir, fmt.Sprint("store", h.started))
	w := &worker{name: name, addr: addr, args: append(by, h.scission)}
	w.flags = append([]string{"serve", "--listen", addr, "--name", name, "--store", store, "--threads", "1"}, flags...)
	return w, w.start()
}

func (w *worker) start() error {
	args := append(append([]string(nil), w.args...), w.flags...)
	c := exec.Command(args[0], args[1:]...)
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	var log strings.Builder
	c.Stderr = &log
	if err := c.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, "listening") {
		c.Process.Kill()
		c.Wait()
		return fmt.Errorf("worker %s said %q: %w\n%s", w.name, line, errors.Join(err, errors.New("did not start")), log.String())
	}
	w.cmd = c
	return nil
}

// kill is kill -9, and waits for the end.
func (w *worker) kill() {
	w.cmd.Process.Signal(syscall.SIGKILL)
	w.cmd.Wait()
}

// stop ends the worker as a person would, and returns what it has to say.
func (w *worker) stop() error {
	w.cmd.Process.Signal(syscall.SIGCONT)
	w.cmd.Process.Signal(syscall.SIGTERM)
	return w.cmd.Wait()
}

// resources of a process.
type resources struct {
	rss         int // KiB
	descriptors int
}

func resourcesOf(pid int) (resources, error) {
	var r resources
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return r, err
	}
	r.descriptors = len(fds)
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return r, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	_, err = fmt.Sscan(rest, &r.rss)
	return r, err
}
