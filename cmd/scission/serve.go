package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scission/split/run"
	"scission/transport"
	"scission/transport/keys"
)

// peersFlag reads NAME=ADDR.
func parsePeers(flags []string) (map[string]string, error) {
	peers := map[string]string{}
	for _, f := range flags {
		name, addr, ok := strings.Cut(f, "=")
		if !ok || name == "" || addr == "" {
			return nil, usagef("host %q, want NAME=ADDR", f)
		}
		if _, twice := peers[name]; twice {
			return nil, usagef("host %q is given twice", name)
		}
		peers[name] = addr
	}
	return peers, nil
}

// notMyself refuses an address for this machine, on which nothing is sent.
func notMyself(name string, peers map[string]string) error {
	if addr, ok := peers[name]; ok {
		return usagef("host %s=%s has this machine's own name: give one of the two another, this machine's with --name", name, addr)
	}
	return nil
}

// maxSlowdown bounds --emulate-slowdown.
const maxSlowdown = 1e6

// checkSlowdown refuses what is no factor by which to slow down; 0 is none.
func checkSlowdown(f float64) error {
	if f != 0 && !(f >= 1 && f <= maxSlowdown) {
		return usagef("--emulate-slowdown %g, want 1 to %g", f, maxSlowdown)
	}
	return nil
}

// mayServe refuses keys that those who dial this worker would refuse.
func mayServe(id *keys.Identity, name string) error {
	if id.Name != name || !id.Roles.Has(keys.Serve) {
		return usagef("the keys are those of %s, who may %s: want those of %s, who may serve", id.Name, id.Roles, name)
	}
	return nil
}

func (a *app) serveCommand() *cobra.Command {
	var listen, name, store string
	var peers []string
	var threads int
	var config serveConfig
	var logs logging
	var sec security
	var slowdown float64
	var drain time.Duration
	c := &cobra.Command{
		Use:   "serve --listen ADDR --name NAME --store DIR",
		Short: "Be a worker: run parts of models for others",
		Long: `Listen for other hosts and run the parts of models that they ask for. A model is
sent once and kept in the store under its SHA-256, which is checked.

A worker calls only the hosts that --peer names. When a row of stages goes on to
one of them, the data goes there directly; otherwise it goes through the host
that runs the whole.

Anything but a loopback address needs keys, see "scission keys --help", and then
only hosts with a certificate of the same authority can connect, and do what it
allows them. --insecure is for a network on which you trust everybody: anyone
there can read and change what is sent, and use the worker.

What clients may do is in their certificates; --allow narrows it. --limit bounds
what they can take, and so does a YAML file (--config) with the maps "limits" and
"allow", which holds what is not given as a flag:

  limits:
    connections: 8
    tensor: 64MB
  allow:
    device: run,upload

Limits, with what they are without a word about them:

` + limitsHelp(),
		Example: `  scission serve --listen 127.0.0.1:7001 --name edge --store /var/lib/scission
  scission serve --listen :7001 --name edge --store store --keys edge.pem --peer cloud=10.0.0.9:7001
  scission serve --listen :7001 --name edge --store store --allow device=run,upload --limit connections=8 --limit request-time=30s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if listen == "" || name == "" || store == "" {
				return usagef("--listen, --name and --store are needed")
			}
			if err := checkSlowdown(slowdown); err != nil {
				return err
			}
			bounds, allow, err := config.read(cmd)
			if err != nil {
				return err
			}
			known, err := parsePeers(peers)
			if err != nil {
				return err
			}
			connect, err := sec.options()
			if err != nil {
				return err
			}
			if err := notMyself(name, known); err != nil {
				return err
			}
			connect.Limits = bounds.transport
			if allow != nil && connect.Keys == nil {
				return usagef("--allow is for connections with keys: without, nobody says who he is")
			}
			s, err := run.OpenStore(store, bounds.modelBytes)
			if err != nil {
				return err
			}
			s.Bound(bounds.storeBytes)
			logger, err := logs.logger(a.err)
			if err != nil {
				return err
			}
			n := &bounds.node // with its limits
			n.Name, n.Machine, n.Threads, n.Slowdown, n.Log = name, machine(threads), threads, slowdown, logger
			n.Peers, n.Transport, n.Allow, n.Store, n.Load = known, connect, allow, s, bounds.load
			l, err := transport.Listen(listen, n.Transport)
			if err != nil {
				return err
			}
			protection := "neither encrypted nor authenticated"
			if connect.Encrypts(l.Addr().String()) {
				if err := mayServe(connect.Keys, name); err != nil {
					l.Close()
					return err
				}
				protection = fmt.Sprintf("mutual TLS 1.3, clients of authority %q", connect.Keys.Authority)
			}
			if err := a.print(map[string]string{"name": name, "listening": l.Addr().String(), "connections": protection}, func(w io.Writer) {
				fmt.Fprintf(w, "%s listening on %s\n", name, l.Addr())
				fmt.Fprintf(w, "connections: %s\n", protection)
				if slowdown > 1 {
					fmt.Fprintf(w, "emulated: computing slowed %gx by waiting\n", slowdown)
				}
			}); err != nil {
				l.Close()
				return err
			}
			return serveAndDrain(cmd.Context(), n, l, drain)
		},
	}
	f := c.Flags()
	f.StringVar(&listen, "listen", "", "`ADDR` to listen on, host:port")
	f.StringVar(&name, "name", "", "this worker's `NAME`")
	f.StringVar(&store, "store", "", "folder `DIR` for models")
	f.StringArrayVar(&peers, "peer", nil, "`NAME=ADDR` of a host that this one may hand on to")
	config.flags(c)
	logs.flags(c)
	f.Float64Var(&slowdown, "emulate-slowdown", 0, "wait after computing as if the processor were `N` times slower (emulation, labelled in profiles)")
	f.DurationVar(&drain, "drain", defaultDrain, "how long to answer what is in hand when told to end (SIGTERM, SIGINT); told twice, it ends at once")
	sec.flags(c)
	threadsFlag(c, &threads)
	return c
}
