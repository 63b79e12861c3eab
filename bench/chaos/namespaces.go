package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Addresses of a network namespace with a worker in it, which this program's
// other processes hardly have.
var (
	subnet     = fmt.Sprintf("10.79.%d.", os.Getpid()%256)
	hostAddr   = subnet + "1"
	workerAddr = subnet + "2"
)

const workerPort = "7070"

// namespace is a network namespace behind a pair of interfaces.
type namespace struct{ name, here, there string }

func ip(args ...string) error { return command("ip", args...) }

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// newNamespace needs root and iproute2.
func newNamespace() (*namespace, error) {
	id := fmt.Sprint(os.Getpid())
	n := &namespace{"scission-" + id, "sc" + id + "a", "sc" + id + "b"}
	err := ip("netns", "add", n.name)
	for _, args := range [][]string{
		{"link", "add", n.here, "type", "veth", "peer", "name", n.there, "netns", n.name},
		{"addr", "add", hostAddr + "/24", "dev", n.here},
		{"link", "set", n.here, "up"},
		{"-n", n.name, "addr", "add", workerAddr + "/24", "dev", n.there},
		{"-n", n.name, "link", "set", n.there, "up"},
		{"-n", n.name, "link", "set", "lo", "up"},
	} {
		if err == nil {
			err = ip(args...)
		}
	}
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *namespace) close() error { return ip("netns", "del", n.name) }

// Rate of the link when it is shaped, in Mbit/s.
const shapedRate = 20

// namespaces has the only worker behind a link that the kernel shapes, and that
// loses everything for a while, n times: nobody is told. Every second time the
// worker is started anew meanwhile, so that its clients' connections are half open.
func (h *harness) namespaces(n int) func(r *row) error {
	return func(r *row) (err error) {
		r.fallback = true
		ns, err := newNamespace()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, ns.close()) }()
		if err := command("tc", "qdisc", "add", "dev", ns.here, "root", "tbf", "rate", fmt.Sprint(shapedRate, "mbit"), "burst", "16kb", "latency", "400ms"); err != nil {
			return err
		}
		edge, err := h.workerAt("edge", workerAddr+":"+workerPort, []string{"ip", "netns", "exec", ns.name})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, edge.stop()) }()
		k, ev, err := h.keep(h.node(edge), true, "device:0-1,edge:2-7")
		if err != nil {
			return err
		}
		defer k.Close()
		stop := make(chan struct{})
		wait := h.load(&r.tally, k, callers, deadline, stop)
		defer wait()
		defer close(stop)
		for i := range n {
			h.pause(2 * time.Second)
			if err := ip("-n", ns.name, "link", "set", ns.there, "down"); err != nil {
				return err
			}
			if i%2 == 1 {
				edge.kill()
				if err := edge.start(); err != nil {
					return err
				}
			}
			time.Sleep(8 * time.Second)
			if err := ip("-n", ns.name, "link", "set", ns.there, "up"); err != nil {
				return err
			}
			time.Sleep(2 * time.Second)
		}
		r.note("link of %d Mbit/s; %v", shapedRate, ev)
		return nil
	}
}
