package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"scission/ops"
)

func (a *app) opsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ops",
		Short: "List the supported operators",
		Long: `List the supported operators with the opsets at which their meaning changes. Each
is supported from the first of these on, up to the newest opset known here.`,
		Example: "  scission ops\n  scission ops --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			list := ops.List()
			return a.print(map[string]any{"operators": list, "max_opset": ops.MaxOpset}, func(w io.Writer) {
				table(w, "domain\toperator\topsets", func(row func(...any)) {
					for _, o := range list {
						var since []string
						for i, s := range o.Since {
							last := ops.MaxOpset
							if i+1 < len(o.Since) {
								last = o.Since[i+1] - 1
							}
							since = append(since, fmt.Sprintf("%d-%d", s, last))
						}
						row(o.Domain, o.Name, strings.Join(since, ", "))
					}
				})
			})
		},
	}
}
