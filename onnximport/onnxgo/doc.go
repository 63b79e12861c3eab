// Package onnxgo runs models that onnx-go decodes (github.com/owulveryck/onnx-go
// v0.5.0): Graph is one of its computation backends, so that a program written for
// onnx-go gets this project's engine by changing the line that makes its backend.
//
//	backend := gorgonnx.NewGraph()                            // before
//	backend := onnxgo.NewGraph(onnxgo.Options{Opset: 13})     // now
//
// It is not how this project reads models: package onnximport has a decoder of its
// own, which knows what onnx-go drops. onnx-go does not say which opset a file is
// written in, so the caller does, and it has no place for domains, functions,
// subgraphs, external data, or tensors without elements. UnmarshalBinary of its
// Model panics on some files and misreads others. Unmarshal of this package is
// safe for any bytes: it names what onnx-go cannot read, and takes the opset from
// the file.
//
// The package imports onnx-go, gorgonia.org/tensor and gonum's graph interfaces,
// and of this project onnximport, engine and what they are made of. It is empty on
// riscv64, for which gorgonia.org/tensor does not compile.
package onnxgo
