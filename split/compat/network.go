package compat

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"

	"scission/split"
)

const (
	// MaxNetworkBytes is a limit for ReadNetwork that no sensible file reaches.
	MaxNetworkBytes = split.MaxNetworkBytes
	// bytesPerMbit converts Mbit/s to bytes a second.
	bytesPerMbit = 125000
	csvColumns   = 4
	// maxRate bounds ping and bandwidth, so that every sum is finite.
	maxRate = 1e12
)

// Link is the way from one system to another.
type Link struct {
	PingMs float64 // a round trip, all of which a transfer pays
	Rate   float64 // whole bytes a second
}

// Seconds is the time that a number of bytes takes.
func (l Link) Seconds(bytes float64) float64 { return l.PingMs/1000 + bytes/l.Rate }

// Network is the links by the names of sender and receiver.
type Network map[[2]string]Link

// ReadNetwork reads the original's csv of at most limit bytes: a header, which is skipped, then rows of
// source, destination, ping in milliseconds and bandwidth in Mbit/s. As in the original, names are kept as
// they are, blanks included, of two rows for the same link the later counts, and further columns are ignored.
// Unlike there, empty lines are skipped. Errors about the content wrap [split.ErrFormat] and give the line.
func ReadNetwork(r io.Reader, limit int64) (Network, error) {
	limited := &io.LimitedReader{R: r, N: limit + 1}
	n, err := readNetwork(limited)
	if limited.N == 0 {
		err = fmt.Errorf("%w: longer than the limit of %d bytes", split.ErrFormat, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("compat: read network: %w", err)
	}
	return n, nil
}

func readNetwork(r io.Reader) (Network, error) {
	rows := csv.NewReader(r)
	rows.FieldsPerRecord = -1
	rows.LazyQuotes = true
	n := Network{}
	for header := true; ; header = false {
		row, err := rows.Read()
		if err == io.EOF && !header {
			return n, nil
		}
		if err == io.EOF {
			return nil, fmt.Errorf("%w: no header", split.ErrFormat)
		}
		if parse := (*csv.ParseError)(nil); errors.As(err, &parse) {
			return nil, fmt.Errorf("%w: line %d: %w", split.ErrFormat, parse.Line, parse.Err)
		}
		if err != nil {
			return nil, err
		}
		if header {
			continue
		}
		if err := n.add(row); err != nil {
			line, _ := rows.FieldPos(0)
			return nil, fmt.Errorf("%w: line %d: %w", split.ErrFormat, line, err)
		}
	}
}

func (n Network) add(row []string) error {
	if len(row) < csvColumns {
		return fmt.Errorf("%d columns, want %d: source, destination, ping, bandwidth", len(row), csvColumns)
	}
	ping, err := parseFloat(row[2])
	if err != nil || !(ping >= 0 && ping <= maxRate) {
		return fmt.Errorf("ping is %.40q, want milliseconds from 0 to %g", row[2], maxRate)
	}
	mbits, err := parseFloat(row[3])
	if err != nil || !(mbits >= 0 && mbits <= maxRate) {
		return fmt.Errorf("bandwidth is %.40q, want Mbit/s from 0 to %g", row[3], maxRate)
	}
	n[[2]string{row[0], row[1]}] = Link{PingMs: ping, Rate: math.Abs(math.RoundToEven(mbits * bytesPerMbit))} // 0 for -0, too
	return nil
}
