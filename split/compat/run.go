package compat

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Run answers a command line of the original and writes what that prints, as far as it comes, to w. Its errors
// are those of [Ask], or come from writing.
func Run(w io.Writer, args []string) error {
	a, err := Ask(args)
	if a == nil {
		return err
	}
	if _, writeErr := a.WriteTo(w); writeErr != nil {
		return fmt.Errorf("compat: %w", writeErr)
	}
	return err
}

// Ask answers a command line of the original. The folder of benchmarks is taken as it is given, and the network
// file from the folder, as the original does, or else as it is given.
//
// An error wraps [ErrHelp], [ErrUsage], [split.ErrFormat] or [ErrGraph], or comes from reading. There is an
// answer beside it where the original prints something before it dies; after ErrGraph that is complete but for
// a line about the graph.
func Ask(args []string) (*Answer, error) {
	q, err := ParseArgs(args)
	if err != nil {
		return nil, err
	}
	systems, err := ReadFolder(os.DirFS(q.Folder))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", q.Folder, err)
	}
	n, err := openNetwork(q)
	if err != nil {
		return nil, err
	}
	a, err := systems.Answer(n, q)
	if err == nil {
		err = a.Fails
	}
	return a, err
}

func openNetwork(q *Query) (Network, error) {
	path := q.Statistics
	if !filepath.IsAbs(path) {
		path = filepath.Join(q.Folder, path)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && path != q.Statistics {
		f, err = os.Open(q.Statistics)
	}
	if err != nil {
		return nil, fmt.Errorf("compat: network: %w", err)
	}
	defer f.Close()
	n, err := ReadNetwork(f, MaxNetworkBytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}
