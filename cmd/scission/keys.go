package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"scission/transport/keys"
)

const day = 24 * time.Hour

// maxDays is how long a certificate can be asked for; its authority's own life
// ends it earlier.
const maxDays = 3650

type keysReport struct {
	File      string    `json:"file"`
	Name      string    `json:"name,omitempty"` // of the host
	Roles     string    `json:"roles,omitempty"`
	Authority string    `json:"authority"`
	NotAfter  time.Time `json:"not_after"`
}

func hostReport(file string, id *keys.Identity) keysReport {
	return keysReport{file, id.Name, id.Roles.String(), id.Authority, id.NotAfter}
}

func (r keysReport) print(w io.Writer) {
	until := r.NotAfter.Format(time.DateOnly)
	if r.Name == "" {
		fmt.Fprintf(w, "%s: authority %q until %s\n", r.File, r.Authority, until)
		return
	}
	fmt.Fprintf(w, "%s: host %s, who may %s, by authority %q until %s\n", r.File, r.Name, r.Roles, r.Authority, until)
}

func (a *app) keysCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "Make the keys with which hosts know each other",
		Long: `Connections between machines use mutual TLS 1.3: each side shows a certificate
that an authority of yours has signed. "keys init" makes the authority, once, on
a machine that keeps it safe. "keys issue" makes the file of one host, with its
key, its certificate and the authority's; copy it there and leave no copy.

A certificate has the host's name as stages have it, not an address, and what
the host may do: serve (be a worker), run (run models, measure), upload (send
models) and admin (see a worker's load). --allow of "scission serve" narrows
that for one worker.

Every command that connects or serves finds the file by --keys, $` + keysVariable + `
or in the user's configuration (on Linux ~/.config/` + configFolder + "/" + hostFile + `).`,
		Example: `  scission keys init
  scission keys issue edge -o edge.pem
  scission keys issue device --role run,upload,admin
  scission keys show edge.pem`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return usagef("want keys init, issue or show") },
	}
	c.AddCommand(a.keysInitCommand(), a.keysIssueCommand(), a.keysShowCommand())
	return c
}

// keysPath is the given file, or that of the user's configuration, whose folder
// it makes.
func keysPath(path, name string) (string, error) {
	if path != "" {
		return path, nil
	}
	path, err := configFile(name)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	return path, err
}

func authorityFlag(c *cobra.Command, path *string) {
	c.Flags().StringVar(path, "authority", "", "the authority's `FILE`; the default is "+configFolder+"/"+authorityFile+" in the user's configuration")
}

func (a *app) keysInitCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:     "init",
		Short:   "Make an authority",
		Example: "  scission keys init\n  scission keys init --authority /media/stick/authority.pem",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := keysPath(file, authorityFile)
			if err != nil {
				return err
			}
			authority, err := keys.NewAuthority(time.Now())
			if err != nil {
				return err
			}
			if err := authority.Write(path); err != nil {
				return err
			}
			r := keysReport{File: path, Authority: authority.Name, NotAfter: authority.NotAfter}
			return a.print(r, r.print)
		},
	}
	authorityFlag(c, &file)
	return c
}

func (a *app) keysIssueCommand() *cobra.Command {
	var file, output, roles string
	var days int
	c := &cobra.Command{
		Use:   "issue NAME",
		Short: "Make the keys of a host",
		Long: `Make the file of the host NAME. Without -o it is for this machine and goes where
commands look for it. Files are never replaced.`,
		Example: `  scission keys issue edge -o edge.pem
  scission keys issue device --role run,upload --days 30`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := keys.CheckName(args[0]); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			granted, err := keys.ParseRoles(roles)
			if err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			if days < 1 || days > maxDays {
				return usagef("--days %d, want 1 to %d", days, maxDays)
			}
			from, err := keysPath(file, authorityFile)
			if err != nil {
				return err
			}
			authority, err := keys.ReadAuthority(from)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%w; \"scission keys init\" makes an authority", err)
			}
			if err != nil {
				return err
			}
			id, err := authority.Issue(args[0], granted, time.Now(), time.Duration(days)*day)
			if err != nil {
				return err
			}
			path, err := keysPath(output, hostFile)
			if err != nil {
				return err
			}
			if err := id.Write(path); err != nil {
				return err
			}
			r := hostReport(path, id)
			return a.print(r, r.print)
		},
	}
	authorityFlag(c, &file)
	f := c.Flags()
	f.StringVarP(&output, "output", "o", "", "the `FILE` to make")
	f.StringVar(&roles, "role", (keys.Serve | keys.Run | keys.Upload).String(), "what the host may do: some of "+keys.All.String())
	f.IntVar(&days, "days", int(keys.DefaultLife/day), "days for which the certificate is valid")
	return c
}

func (a *app) keysShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show [FILE...]",
		Short:   "Say whose keys files are",
		Long:    `Say whose keys the files are, or those in the user's configuration.`,
		Example: "  scission keys show\n  scission keys show edge.pem",
		RunE: func(_ *cobra.Command, files []string) error {
			if len(files) == 0 {
				for _, name := range []string{authorityFile, hostFile} {
					path, err := configFile(name)
					if err != nil {
						return err
					}
					if _, err := os.Stat(path); err == nil {
						files = append(files, path)
					}
				}
			}
			reports := []keysReport{}
			for _, file := range files {
				id, err := keys.Read(file)
				if err == nil {
					reports = append(reports, hostReport(file, id))
					continue
				}
				authority, otherwise := keys.ReadAuthority(file)
				if otherwise != nil {
					return err
				}
				reports = append(reports, keysReport{File: file, Authority: authority.Name, NotAfter: authority.NotAfter})
			}
			return a.print(map[string]any{"keys": reports}, func(w io.Writer) {
				for _, r := range reports {
					r.print(w)
				}
			})
		},
	}
}
