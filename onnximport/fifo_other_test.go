//go:build !unix

package onnximport

import "errors"

func makeFIFO(string) error { return errors.ErrUnsupported }
