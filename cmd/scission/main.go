// Scission runs ONNX networks, finds the best way to spread a network over a
// device, an edge server and the cloud, and runs it that way.
//
// See README.md, or run "scission help".
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"scission/ops"
	"scission/split"
	"scission/transport"
)

// Exit codes.
const (
	exitOK           = 0
	exitFailure      = 1
	exitUsage        = 2
	exitNoPartition  = 3
	exitVerification = 4
)

// errUsage is in the errors of a command that was called wrongly.
var errUsage = errors.New("usage")

// errMismatch is in the errors of commands that found a wrong result.
var errMismatch = errors.New("verification failed")

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errUsage, fmt.Errorf(format, args...))
}

// app is what the commands share.
type app struct {
	out, err io.Writer
	json     bool
	started  bool // the arguments were fine and a command is running
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// execute runs a command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{out: stdout, err: stderr}
	if err := ops.CheckISA(); err != nil {
		fmt.Fprintln(stderr, "scission:", err)
		return exitUsage
	}
	root := &cobra.Command{
		Use:   "scission",
		Short: "Run ONNX networks, here or spread over several machines",
		Long: `Scission is a pure-Go engine for ONNX networks that can cut a network at any
layer, find the best way to spread it over a device, an edge server and the
cloud, and run it that way.

MODEL is an ONNX file, or zoo:NAME for a built-in network with seeded weights
(see "scission zoo list").

Exit codes: 0 ok, 1 failure at run time, 2 wrong usage, 3 no partition
satisfies the query, 4 a result is not as it should be.`,
		Example: `  scission demo
  scission inspect model.onnx --cuts
  scission run model.onnx --input data=picture.npy --output results`,
		SilenceErrors:    true,
		SilenceUsage:     true,
		PersistentPreRun: func(*cobra.Command, []string) { a.started = true },
		// Called without a command, show the help as a mistake.
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(stderr)
			cmd.Help()
			return usagef("a command is missing")
		},
		Args: cobra.NoArgs,
	}
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print results as JSON")
	root.SetArgs(compatArgs(args))
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(
		a.demoCommand(), a.inspectCommand(), a.runCommand(), a.benchCommand(), a.verifyCommand(),
		a.serveCommand(), a.profileCommand(), a.linkCommand(), a.planCommand(), a.compatCommand(), a.simulateCommand(), a.execCommand(),
		a.extractCommand(), a.reportCommand(), a.zooCommand(), a.opsCommand(), a.keysCommand(), a.topCommand(), a.accuracyCommand(),
		a.compareCommand(),
	)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "scission:", err)
	if errors.Is(err, transport.ErrPlaintext) {
		fmt.Fprintln(stderr, `scission: connections that leave this machine need keys, see "scission keys --help"; or --insecure where you trust everybody on the network`)
	}
	switch {
	case errors.Is(err, errUsage) || !a.started:
		return exitUsage
	case errors.Is(err, split.ErrNoPartition):
		return exitNoPartition
	case errors.Is(err, errMismatch):
		return exitVerification
	}
	return exitFailure
}

// print writes a result: as JSON, or by text for people.
func (a *app) print(v any, text func(w io.Writer)) error {
	if !a.json {
		text(a.out)
		return nil
	}
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
