// Package engine makes graphs fast on this machine and runs them.
//
// Optimize rewrites a graph into a simpler one with the same results bit for
// bit, in the same way on every machine. Compile turns it into a Plan for this
// machine: kernels chosen, weights packed, layouts and memory laid out. A
// Session is the memory of one run at a time of a Plan. Shapes are concrete in a
// Plan: a Dynamic has one for each list of input types and keeps those used last.
// Where types depend on values, a Plan compiles the rest in the run.
//
// The results of a run depend on the graph, its inputs and the instruction set
// in use; not on the number of threads, and not on whether the graph is run
// whole or in parts.
//
// The package knows no operator by name, no file format and no host. It
// imports engine/graph and engine/tensor.
package engine
