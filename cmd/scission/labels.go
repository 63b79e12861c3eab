package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
)

const (
	// maxLabelsFile bounds the bytes of a labels' file, maxLabels the number of
	// classes.
	maxLabelsFile = 1 << 22
	maxLabels     = 1 << 20
)

// readLabels reads the names of classes: one a line, or in a .json file a list,
// or an object from class to name. Where JSON has a list in place of a name, as
// Keras's index of ImageNet has, the last of it is the name.
func readLabels(path string) ([]string, error) {
	b, err := readBounded(path, maxLabelsFile)
	if err != nil {
		return nil, err
	}
	labels, err := parseLabels(b, strings.ToLower(filepath.Ext(path)) == ".json")
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUsage, path, err)
	}
	return labels, nil
}

func parseLabels(b []byte, isJSON bool) ([]string, error) {
	labels, err := linesOf(string(b)), error(nil)
	if isJSON {
		labels, err = jsonLabels(b)
	}
	switch {
	case err != nil:
		return nil, err
	case len(labels) == 0:
		return nil, errors.New("no labels")
	case len(labels) > maxLabels:
		return nil, fmt.Errorf("%d labels, want at most %d", len(labels), maxLabels)
	}
	for i, l := range labels {
		labels[i] = printable(l)
	}
	return labels, nil
}

// linesOf returns the lines of a text, without empty ones at its end.
func linesOf(text string) []string {
	text = strings.TrimRight(strings.TrimPrefix(text, "\ufeff"), "\r\n\t ")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// printable is a name without what would move a terminal's cursor.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
	return strings.TrimSpace(s)
}

func jsonLabels(b []byte) ([]string, error) {
	var list []label
	listErr := json.Unmarshal(b, &list)
	if listErr == nil {
		labels := make([]string, len(list))
		for i, l := range list {
			labels[i] = string(l)
		}
		return labels, nil
	}
	var byClass map[string]label
	if err := json.Unmarshal(b, &byClass); err != nil {
		return nil, fmt.Errorf("neither a list of names (%w) nor an object of them (%w)", listErr, err)
	}
	last := -1
	classes := map[int]string{}
	for key, l := range byClass {
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= maxLabels {
			return nil, fmt.Errorf("class %q, want a number of 0 to %d", key, maxLabels-1)
		}
		if _, twice := classes[i]; twice {
			return nil, fmt.Errorf("class %d is named twice", i)
		}
		classes[i] = string(l)
		last = max(last, i)
	}
	labels := make([]string, last+1)
	for i, l := range classes {
		labels[i] = l
	}
	return labels, nil
}

// label is a name in JSON, or a list whose last is the name.
type label string

func (l *label) UnmarshalJSON(b []byte) error {
	var list []string
	if json.Unmarshal(b, &list) == nil && len(list) > 0 {
		*l = label(list[len(list)-1])
		return nil
	}
	return json.Unmarshal(b, (*string)(l))
}
