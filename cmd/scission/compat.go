package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"scission/split"
	"scission/split/compat"
)

// compatFlag makes "scission plan" be "scission compat".
const compatFlag = "compat"

// compatArgs turns "plan ... --compat ..." into "compat ...", before flags are
// read: the original's are not those of "plan". The flag is looked for before
// a "--".
func compatArgs(args []string) []string {
	if len(args) == 0 || args[0] != "plan" {
		return args
	}
	for i, arg := range args {
		switch arg {
		case "--":
			return args
		case "--" + compatFlag:
			return slices.Concat([]string{"compat"}, args[1:i], args[i+1:])
		}
	}
	return args
}

func (a *app) compatCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "compat BENCHMARK_FOLDER STATISTICS_FILE MODEL [options]",
		Short: "Answer a query as the original Scission does",
		Long: `Answer a query to the original Scission's benchmark files as it does, byte for
byte, oddities included; split/compat/COMPAT.md describes them. "scission plan
--compat" is the same.

With --json, which the original has not, the whole answer is printed with its
numbers unrounded; split/FORMATS.md lists the fields.

The network file is looked for in the folder, and then as it is given.

Options, as the original's:
  -d, --device CRITERIA     what the device must or must not run: a list of
  -e, --edge CRITERIA       LAYER, !LAYER, NAME, !NAME, -1 (unused), !-1 (used);
  -c, --cloud CRITERIA      one that begins with a hyphen is given as --edge=...
      --device-upload MB    most that the device sends
      --edge-upload MB      most that the edge sends
      --device-time T       longest that a tier computes: seconds, or per cent
      --edge-time T         of what all tiers take, such as 25%
      --cloud-time T
  -i, --input MB            size of the input, 0.15 if not given
      --result-count N      show the best N, 5 if not given`,
		Example:            `  scission compat benchmark_data network_stats.csv vgg19 -d '!-1' -e 10 -c 16`,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			answer, err := compat.Ask(a.takeJSON(args))
			if answer != nil {
				if err := a.print(answer, func(w io.Writer) { answer.WriteTo(w) }); err != nil {
					return err
				}
			}
			switch {
			case errors.Is(err, compat.ErrHelp):
				return c.Help()
			case errors.Is(err, compat.ErrGraph): // the answer is there
				fmt.Fprintln(a.err, "scission: note:", err)
				return nil
			case errors.Is(err, compat.ErrUsage), errors.Is(err, split.ErrFormat):
				return wrongUse{err}
			}
			return err
		},
	}
}

// takeJSON takes --json, which is not the original's, from the arguments of
// compat, whose flags are not read by cobra.
func (a *app) takeJSON(args []string) []string {
	for i, arg := range args {
		switch arg {
		case "--":
			return args
		case "--json":
			a.json = true
			return slices.Concat(args[:i], args[i+1:])
		}
	}
	return args
}

// wrongUse makes an error that says enough count as errUsage.
type wrongUse struct{ error }

func (e wrongUse) Unwrap() []error { return []error{errUsage, e.error} }
