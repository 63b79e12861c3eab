// Command differential runs models for differential.py, which compares what it
// answers with ONNX Runtime: requests come in as lines of JSON, and so do answers
// go out, in the same order.
//
// The process ends with its standard input. A model that is refused gives an error
// in its answer; a panic ends the process, as it would a user's.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"scission/engine"
	"scission/engine/tensor"
	"scission/onnximport"
	"scission/ops"
)

// maxLine bounds a request, and maxTensor a tensor of it, in bytes.
const (
	maxLine   = 64 << 20
	maxTensor = 64 << 20
)

// request is a model and its inputs, in the order of the model.
type request struct {
	Model  []byte   `json:"model"`  // an ONNX file
	Inputs [][]byte `json:"inputs"` // a TensorProto each
}

// answer is the outputs, in the order of the model, or an error.
type answer struct {
	Outputs     []output `json:"outputs,omitempty"`
	Error       string   `json:"error,omitempty"`
	Unsupported bool     `json:"unsupported,omitempty"` // the error says that something is not covered
}

type output struct {
	DType tensor.DType `json:"dtype"`
	Shape []int        `json:"shape"`
	Data  []byte       `json:"data"` // row-major, little-endian
}

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "differential:", err)
		os.Exit(1)
	}
}

func serve(r io.Reader, w io.Writer) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	out := json.NewEncoder(w)
	for lines.Scan() {
		var q request
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return err
		}
		tensors, err := run(q)
		var a answer
		if err != nil {
			a.Error, a.Unsupported = err.Error(), errors.Is(err, ops.ErrUnsupported)
		}
		for _, t := range tensors {
			a.Outputs = append(a.Outputs, output{t.DType, append([]int{}, t.Shape...), t.Raw})
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}

// run returns the outputs of a model.
func run(q request) ([]*tensor.Tensor, error) {
	m, err := onnximport.Parse(q.Model, onnximport.Options{})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	var in []*tensor.Tensor
	for _, b := range q.Inputs {
		t, _, err := onnximport.ReadTensor(b, maxTensor)
		if err != nil {
			return nil, err
		}
		in = append(in, t)
	}
	out, err := engine.NewDynamic(m.GraphFor, engine.Options{}, 1).NewSession().Run(context.Background(), in)
	if err != nil {
		return nil, err
	}
	for i, t := range out {
		out[i] = t.Clone()
	}
	return out, nil
}
