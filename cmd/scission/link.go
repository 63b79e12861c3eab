package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scission/split"
	"scission/split/run"
)

type linkReport struct {
	Host       string        `json:"host"`
	Address    string        `json:"address"`
	RoundTrip  time.Duration `json:"round_trip_ns"` // median
	RoundTrips split.Samples `json:"round_trip_samples_ns"`
	There      linkSpeed     `json:"there"`
	Back       linkSpeed     `json:"back"`
}

type linkSpeed struct {
	Latency   time.Duration `json:"latency_ns"` // one way, half of the median round trip
	Bandwidth float64       `json:"bytes_per_second"`
	Bytes     int           `json:"bytes"` // sent to find out
	Took      time.Duration `json:"took_ns"`
}

func newLinkReport(host, addr string, l *run.LinkReport) linkReport {
	return linkReport{
		host, addr, l.RoundTrip.Median(), l.RoundTrip,
		linkSpeed{l.There.Latency, l.There.Bandwidth, l.Up.Bytes, l.Up.Took},
		linkSpeed{l.Back.Latency, l.Back.Bandwidth, l.Down.Bytes, l.Down.Took},
	}
}

func printLinks(w io.Writer, reports []linkReport) {
	table(w, "host\taddress\tround trip\tthere\tback", func(row func(...any)) {
		for _, r := range reports {
			row(r.Host, r.Address, ms(r.RoundTrip), mbit(r.There.Bandwidth), mbit(r.Back.Bandwidth))
		}
	})
}

func (a *app) linkCommand() *cobra.Command {
	var output, from string
	var sec security
	var atLeast time.Duration
	c := &cobra.Command{
		Use:   "link [NAME=]ADDR...",
		Short: "Measure the network to workers",
		Long: `Measure round trip and bandwidth to a worker with frames as a run sends them, in
both directions. With -o the links are written as a network file for "scission
plan"; a worker's name there is NAME, or what it calls itself.`,
		Example: "  scission link 127.0.0.1:7001\n  scission link edge=10.0.0.8:7001 cloud=10.0.0.9:7001 -o network.json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			workers, err := parseWorkers(args, from)
			if err != nil {
				return err
			}
			connect, err := sec.options()
			if err != nil {
				return err
			}
			var reports []linkReport
			network := &split.Network{Date: time.Now().UTC().Truncate(time.Second), Note: "measured by scission link"}
			for _, w := range workers {
				name, addr := w.name, w.addr
				if name == "" {
					name = addr
				}
				n := &run.Node{Name: from, Peers: map[string]string{name: addr}, Transport: connect}
				l, err := n.MeasureLink(cmd.Context(), name, atLeast)
				if err != nil {
					return err
				}
				if w.name == "" {
					name = l.Host
				}
				if network.Linked(from, name) || name == from {
					return usagef("%s calls itself %s, as another worker or this machine does: give it a name with NAME=%s", addr, name, addr)
				}
				if err := errors.Join(network.Set(from, name, l.There), network.Set(name, from, l.Back)); err != nil {
					return err
				}
				reports = append(reports, newLinkReport(name, addr, l))
			}
			if output != "" {
				if err := writeFile(output, network.Write); err != nil {
					return err
				}
			}
			return a.print(map[string]any{"links": reports}, func(w io.Writer) {
				printLinks(w, reports)
				if output != "" {
					fmt.Fprintf(w, "written to %s\n", output)
				}
			})
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "write a network `FILE`")
	c.Flags().StringVar(&from, "name", deviceName, "this machine's `NAME` in the network file")
	c.Flags().DurationVar(&atLeast, "at-least", 200*time.Millisecond, "how long a transfer must take to count")
	sec.flags(c)
	return c
}

// worker is a worker's address, and the name that it is to have if it is not to
// say it itself.
type worker struct{ name, addr string }

// parseWorkers reads ADDR and NAME=ADDR, each name and address once; from is the
// name of this machine.
func parseWorkers(args []string, from string) ([]worker, error) {
	var workers []worker
	for _, arg := range args {
		name, addr, named := strings.Cut(arg, "=")
		if !named {
			name, addr = "", arg
		}
		if addr == "" || named && name == "" {
			return nil, usagef("%q, want NAME=ADDR or ADDR", arg)
		}
		if name == from {
			return nil, usagef("%q: %s is the name of this machine, see --name", arg, name)
		}
		for _, w := range workers {
			if w.addr == addr || named && w.name == name {
				return nil, usagef("%q: that name or address is given twice", arg)
			}
		}
		workers = append(workers, worker{name, addr})
	}
	return workers, nil
}

// writeFile has a file written, which is then there as a whole or, after an
// error, as it was before.
func writeFile(path string, write func(io.Writer) error) error {
	part := path + ".part"
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		part = path // a device or a pipe
	}
	f, err := os.Create(part)
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Close())
	if part == path {
		return err
	}
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		os.Remove(part)
	}
	return err
}
