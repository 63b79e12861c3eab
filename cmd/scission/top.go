package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"scission/split/run"
)

// topRow is a worker's load, with what it did since the row before.
type topRow struct {
	Address   string        `json:"address"`
	Error     string        `json:"error,omitempty"` // why there is no status
	RoundTrip time.Duration `json:"round_trip_ns,omitempty"`
	*run.Status
	// Of one processor, so up to that of all of them: over the time since the
	// row before, or since the process began.
	CPUShare float64 `json:"cpu_share"`
	Rate     float64 `json:"requests_per_second"`
}

// since fills in what the worker did after before, which may be nil or of a
// process that has ended.
func (r *topRow) since(before *run.Status) {
	if before == nil || before.Up > r.Up || before.CPU > r.CPU || before.Requests > r.Requests {
		before = &run.Status{}
	}
	if up := (r.Up - before.Up).Seconds(); up > 0 {
		r.CPUShare = (r.CPU - before.CPU).Seconds() / up
		r.Rate = float64(r.Requests-before.Requests) / up
	}
}

// clearScreen moves to the top left and clears what is below.
const clearScreen = "\x1b[H\x1b[J"

func (a *app) topCommand() *cobra.Command {
	var interval time.Duration
	var once bool
	var sec security
	c := &cobra.Command{
		Use:   "top [NAME=]ADDR...",
		Short: "Show the load of workers",
		Long: `Show what workers are doing, again and again until interrupted: connections and
how many there may be, deployments that are open, requests under way and each
second, processors in use, memory of the process, and the models in the store.
The first lines are since the workers began, the next ones since those before.

It takes a certificate with the role run or admin. The connection that asks is
one of those shown; a worker that has no room for it answers all the same.`,
		Example: "  scission top edge=10.0.0.8:7001 cloud=10.0.0.9:7001\n  scission top 127.0.0.1:7001 --once --json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if interval <= 0 {
				return usagef("--interval %v, want a positive time", interval)
			}
			workers, err := parseWorkers(args, deviceName)
			if err != nil {
				return err
			}
			connect, err := sec.options()
			if err != nil {
				return err
			}
			n := &run.Node{Name: deviceName, Peers: map[string]string{}, Transport: connect}
			for i, w := range workers {
				if w.name == "" {
					workers[i].name = w.addr
				}
				n.Peers[workers[i].name] = w.addr
			}
			before := make([]*run.Status, len(workers))
			for {
				rows, err := a.topRows(cmd.Context(), n, workers, before)
				if err != nil && (once || cmd.Context().Err() != nil) {
					return err
				}
				if !once && !a.json && isTerminal(a.out) {
					fmt.Fprint(a.out, clearScreen)
				}
				if err := a.print(map[string]any{"workers": rows}, func(w io.Writer) { printLoads(w, rows) }); err != nil || once {
					return err
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(interval):
				}
			}
		},
	}
	c.Flags().DurationVar(&interval, "interval", time.Second, "time between two looks")
	c.Flags().BoolVar(&once, "once", false, "look once, and fail if a worker does not answer")
	sec.flags(c)
	return c
}

// topTime is how long a worker may take to say how it is doing.
const topTime = 5 * time.Second

// topRows asks the workers at once. The error is that of the first one that does
// not answer, which a row has, too. before is what they said the last time.
func (a *app) topRows(ctx context.Context, n *run.Node, workers []worker, before []*run.Status) ([]topRow, error) {
	ctx, cancel := context.WithTimeout(ctx, topTime)
	defer cancel()
	rows, errs := make([]topRow, len(workers)), make([]error, len(workers))
	done := make(chan struct{})
	for i, w := range workers {
		go func() {
			rows[i].Address = w.addr
			rows[i].Status, rows[i].RoundTrip, errs[i] = n.Status(ctx, w.name)
			done <- struct{}{}
		}()
	}
	for range workers {
		<-done
	}
	var first error
	for i := range rows {
		if errs[i] != nil {
			rows[i].Error = errs[i].Error()
			if first == nil {
				first = errs[i]
			}
			continue
		}
		rows[i].since(before[i])
		before[i] = rows[i].Status
	}
	return rows, first
}

func printLoads(w io.Writer, rows []topRow) {
	table(w, "worker\tconnections\tdeployments\trunning\trequests/s\tfailed\tcpu\tmemory\tmodels\tround trip\tup", func(row func(...any)) {
		for _, r := range rows {
			if r.Status == nil {
				row(r.Address, "-", "-", "-", "-", "-", "-", "-", "-", "-", "-")
				continue
			}
			row(printable(r.Name), fmt.Sprintf("%d of %d", r.Connections, r.Max), r.Deployments, r.Running, fmt.Sprintf("%.1f", r.Rate), r.Failed,
				fmt.Sprintf("%.0f%% of %d00%%", 100*r.CPUShare, r.Processors), size(r.Memory),
				fmt.Sprintf("%d, %s", r.Models, size(r.ModelBytes)), ms(r.RoundTrip), r.Up.Round(time.Second))
		}
	})
	for _, r := range rows {
		if r.Error != "" {
			fmt.Fprintf(w, "%s: %s\n", r.Address, r.Error)
		}
	}
}
