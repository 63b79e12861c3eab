// Package split plans how to run a model over several hosts: it holds what was measured (profiles of
// hosts, links of a network), prices a partition of the model's layers over hosts, and finds the best ones.
//
// # Terms
//
// A model is a list of layers numbered 0 to n-1 in topological order. A [Segment] is a range of layers, a
// [Stage] a segment on a host, a [Partition] the stages that tile the model. A cut at position p has layers
// [0, p) before it and [p, n) behind it; what crosses it is a set of tensors with a total size in bytes and a
// width, which is their number (a tensor read by two later layers counts once). Position 0 is crossed by the
// model's inputs and position n by its outputs. The source is the host that has the inputs and wants the
// outputs.
//
// # The model of time
//
// A run takes the sum of its stages' compute times and of its hops' times. [Hops] lists the hops, there and
// back, and is what an executor follows too. A stage takes the sum of its layers' typical times on its
// host, measured inside the whole model, and what the cuts at its two ends add (see [CutProfile]). A hop takes
// encoding on the sender, latency, bytes on the wire divided by bandwidth, and decoding on the receiver. Costs
// are whole nanoseconds, so sums are exact and do not depend on their order.
//
// # Questions
//
// [Problem.Rank] orders partitions by a [Query]: an [Objective], and limits of many kinds. [Problem.Pareto]
// weighs objectives against each other. [Planner] answers many queries about one problem, and says with
// [Planner.BreakEven] what would make any split pay. [PresetNetwork] stands in for a network that was not
// measured. All answers are exact.
//
// # What it does not know
//
// The package is pure: it imports nothing else of this module and has no clock, socket, model or file name.
// Packages split/cut (where a graph can be cut), split/run (running a partition) and cmd build on it.
package split
