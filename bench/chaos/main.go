// Chaos asks a model that is spread over worker processes questions whose
// answers it knows, while it kills the workers, spoils the connections to them
// and takes them away, and prints how each request ended. No answer may differ
// in a bit from that of the model in one piece, no request may be lost without an
// error or end after its deadline, and no goroutine or descriptor may be left.
//
//	go run . [-kills 200] [-cycles 1000] [-requests 50000] [-clients 200] [-only NAME] [-tls] [-race]
//
// Nor may a worker panic, or hold a descriptor once its clients are gone. With
// -race the workers look for data races; "CGO_ENABLED=1 go run -race . -race" has
// this program do so, too.
//
// It is a module of its own, so that what it needs is no part of the product.
// The link of the kernel that it takes away needs root and iproute2.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rs/zerolog"

	"scission/transport/keys"
)

// kills begins the names of the scenarios that kill workers.
const kills = "kill -9"

// sizes says how much of each scenario is run.
type sizes struct {
	kills, silences, toxics, cycles, requests, clients int
	seed                                               uint64
	only                                               string
	tls, race                                          bool
}

func main() {
	var s sizes
	flag.IntVar(&s.kills, "kills", 200, "moments at which a worker is killed")
	flag.IntVar(&s.silences, "silences", 5, "times that a worker, or the way to it, falls silent")
	flag.IntVar(&s.toxics, "toxics", 10, "times that a proxy breaks a connection, and a tenth of it for what takes long")
	flag.IntVar(&s.cycles, "cycles", 1000, "connections that are opened and closed")
	flag.IntVar(&s.requests, "requests", 50000, "requests through one connection")
	flag.IntVar(&s.clients, "clients", 200, "clients at the same time")
	flag.Uint64Var(&s.seed, "seed", 1, "of the random moments")
	flag.StringVar(&s.only, "only", "", "scenarios whose names contain this")
	flag.BoolVar(&s.tls, "tls", false, "mutual TLS on all connections")
	flag.BoolVar(&s.race, "race", false, "build the workers with the race detector, which needs a C compiler")
	verbose := flag.Bool("v", false, "tell every event")
	flag.Parse()
	zerolog.SetGlobalLevel(zerolog.Disabled) // the proxy's
	log := func(string, ...any) {}
	if *verbose {
		log = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	}
	h, err := newHarness(context.Background(), s, log)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
	rows := h.all(s)
	h.close()
	if !printRows(os.Stdout, rows) {
		os.Exit(1)
	}
}

// newHarness builds the program and asks the questions.
func newHarness(ctx context.Context, s sizes, log func(format string, args ...any)) (*harness, error) {
	dir, err := os.MkdirTemp("", "scission-chaos-")
	if err != nil {
		return nil, err
	}
	go notice()
	h := &harness{scission: filepath.Join(dir, "scission"), dir: dir, rand: rand.New(rand.NewPCG(s.seed, 0)), log: log}
	if s.tls {
		if h.authority, err = keys.NewAuthority(time.Now()); err != nil {
			h.close()
			return nil, err
		}
	}
	args, cgo := []string{"build", "-o", h.scission}, "CGO_ENABLED=0"
	if s.race {
		args, cgo = append(args, "-race"), "CGO_ENABLED=1"
	}
	build := exec.CommandContext(ctx, "go", append(args, "./cmd/scission")...)
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), cgo)
	if out, err := build.CombinedOutput(); err != nil {
		h.close()
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	if h.model, err = network(); err == nil {
		h.questions, err = questions(h.model, 16)
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *harness) close() { os.RemoveAll(h.dir) }

// all runs the scenarios.
func (h *harness) all(s sizes) []*row {
	type scenario struct {
		name string
		do   func(r *row) error
	}
	list := []scenario{
		{fmt.Sprintf("%s of one of 3 workers, %d times", kills, s.kills), h.kills(s.kills, true)},
		{fmt.Sprintf("%s without fallback, %d times", kills, (s.kills+3)/4), h.kills((s.kills+3)/4, false)},
		{fmt.Sprintf("worker process stands still, %d times", s.silences), h.stops(s.silences)},
	}
	for _, x := range toxics {
		times := s.toxics
		if x.long {
			times = (times + 9) / 10
		}
		list = append(list, scenario{fmt.Sprintf("%s, %d times", x.name, times), h.proxied(x, times)})
	}
	if os.Geteuid() == 0 {
		list = append(list, scenario{fmt.Sprintf("kernel's link goes down, %d times", s.silences), h.namespaces(s.silences)})
	}
	list = append(list,
		scenario{fmt.Sprintf("%d connections, one after the other", s.cycles), h.cycles(s.cycles)},
		scenario{fmt.Sprintf("%d requests", s.requests), h.requests(s.requests)},
		scenario{fmt.Sprintf("%d clients at once", s.clients), h.clients(s.clients, 5)},
	)
	var rows []*row
	for _, x := range list {
		if strings.Contains(x.name, s.only) {
			h.log("%s", x.name)
			start := time.Now()
			r := checked(x.name, x.do)
			r.took = time.Since(start)
			rows = append(rows, r)
		}
	}
	return rows
}

// printRows prints the table and returns whether all is well.
func printRows(w io.Writer, rows []*row) bool {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "scenario\trequests\tright\terrors\twrong\tlate\tslowest\ttook\t")
	well := true
	for _, r := range rows {
		verdict := "ok"
		if len(r.bad) > 0 {
			verdict, well = "FAILED", false
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%v\t%v\t%s\n", r.name, r.asked, r.right, r.failed, r.wrong, r.late,
			r.slowest.Round(time.Millisecond), r.took.Round(time.Second), verdict)
	}
	t.Flush()
	for _, r := range rows {
		for _, n := range r.notes {
			fmt.Fprintf(w, "%s: %s\n", r.name, n)
		}
		for _, b := range r.bad {
			fmt.Fprintf(w, "FAILED: %s: %s\n", r.name, b)
		}
	}
	return well
}
