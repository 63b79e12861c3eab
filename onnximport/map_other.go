//go:build !unix

package onnximport

import "os"

const openFlags = os.O_RDONLY

// mapFile reads f, as this system's mappings are not used.
func mapFile(f *os.File, limit int64) (contents, error) { return readFile(f, limit) }

// links is 1: the number of names is not known here.
func links(*os.File) (uint64, error) { return 1, nil }
