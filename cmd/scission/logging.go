package main

import (
	"io"
	"log/slog"

	"github.com/spf13/cobra"
)

// logging is the flags of a command that writes a log.
type logging struct{ format, level string }

func (l *logging) flags(c *cobra.Command) {
	c.Flags().StringVar(&l.format, "log-format", "text", "write the log as `FORMAT`: text or json")
	c.Flags().StringVar(&l.level, "log-level", "info", "log what is at least of `LEVEL`: debug, info, warn or error")
}

func (l *logging) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.level)); err != nil {
		return nil, usagef("--log-level %q, want debug, info, warn or error", l.level)
	}
	o := &slog.HandlerOptions{Level: level}
	switch l.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, usagef("--log-format %q, want text or json", l.format)
}
