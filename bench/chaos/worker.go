package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// worker is a "scission serve" process on an address that it keeps when it is
// started again.
type worker struct {
	name, addr string
	args       []string // in front of "serve"'s own
	flags      []string
	cmd        *exec.Cmd
	log        *bytes.Buffer // of the process, complete when it has ended
	idle       int           // descriptors when it had no clients
	faults     []error       // of processes that have ended
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
	if h.authority != nil {
		file := filepath.Join(h.dir, fmt.Sprint("keys", h.started))
		if err := h.issue(name).Write(file); err != nil {
			return nil, err
		}
		w.flags = append(w.flags, "--keys", file)
	} else if by != nil {
		w.flags = append(w.flags, "--insecure")
	}
	return w, w.start()
}

func (w *worker) start() error {
	args := append(append([]string(nil), w.args...), w.flags...)
	c := exec.Command(args[0], args[1:]...)
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	w.log = &bytes.Buffer{}
	c.Stderr = w.log
	if err := c.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, "listening") {
		c.Process.Kill()
		c.Wait()
		return fmt.Errorf("worker %s said %q: %w\n%s", w.name, line, errors.Join(err, errors.New("did not start")), w.log.String())
	}
	w.cmd = c
	r, err := resourcesOf(c.Process.Pid)
	w.idle = r.descriptors
	return err
}

// kill is kill -9, and waits for the end.
func (w *worker) kill() {
	w.cmd.Process.Signal(syscall.SIGKILL)
	w.cmd.Wait()
	w.look()
}

// look notes what no worker may have said.
func (w *worker) look() {
	for _, fault := range []string{"panic:", "fatal error:", "DATA RACE"} {
		if i := strings.Index(w.log.String(), fault); i >= 0 {
			w.faults = append(w.faults, fmt.Errorf("worker %s: %s", w.name, w.log.String()[i:]))
			break
		}
	}
}

// A worker without clients may hold as many descriptors more than at its start,
// those of models that it keeps, once it has noticed that they are gone.
const (
	descriptorsKept = 2
	noticed         = 15 * time.Second
)

// stop ends the worker, which has no clients any more, as a person would, and
// returns what is wrong with it.
func (w *worker) stop() error {
	w.cmd.Process.Signal(syscall.SIGCONT)
	var r resources
	var err error
	for begin := time.Now(); time.Since(begin) < noticed; time.Sleep(10 * time.Millisecond) {
		if r, err = resourcesOf(w.cmd.Process.Pid); err != nil || r.descriptors <= w.idle+descriptorsKept {
			break
		}
	}
	if n := r.descriptors - w.idle; n > descriptorsKept {
		err = fmt.Errorf("worker %s holds %d descriptors more than at its start", w.name, n)
	}
	w.cmd.Process.Signal(syscall.SIGTERM)
	if e := w.cmd.Wait(); e != nil {
		err = errors.Join(err, fmt.Errorf("worker %s: %w", w.name, e))
	}
	w.look()
	return errors.Join(append(w.faults, err)...)
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
