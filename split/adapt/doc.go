// Package adapt keeps a partition fitting while links and hosts change under it.
//
// An [Estimator] learns from what every request shows anyway: how long frames were on their way, and how long
// stages computed. A [Controller] plans again with these estimates and says, with its reason in words, when
// to switch to another plan. [Simulate] tries it on a [split.Trace] against the best fixed plan, an oracle and
// itself without hysteresis.
//
// # What is measured
//
// The bandwidth of a link is the bytes of a frame over the time that it was on its way beyond the link's base
// latency, half of the shortest round trip of the last seconds. That time is what the two hosts did not spend
// themselves, as [split/run] reports it: request and answer together, from before the first byte to after the
// last. Two figures that look alike are not used. The time that writing takes ends when the system has
// buffered the frame. And from first to last byte as the receiver sees it is too short by all that was
// buffered, or let through in one burst, before it saw the first; what is missing there shows up in the
// latency of request and answer, so that their sum is right. A frame is therefore counted with its answer:
// what an answer too short to count takes longer than it should is the request's.
//
// A frame that passes whole within the burst of a token bucket (tc tbf) shows the speed behind it and not the
// bucket's rate; that is what such a frame can count on, too. A frame that meets an idle TCP connection pays
// for its slow start; that, too, is what frames of its size will pay again.
//
// # What is decided
//
// [Rules] has the numbers. The plan stays unless another is faster by a margin for several estimates in a
// row, the last switch is long enough ago or staying has cost enough since, and the gain pays for the switch.
// A collapse, a request that does not come back and a failure of a host do not wait. A link that nothing uses
// is probed, by at most a hundredth of what it carries; while it does not answer, no gain leads to a plan that
// uses it.
//
// # What it does not know
//
// The package is pure and deterministic: it imports split only, has no clock (each call is told the time, as
// a duration since any beginning) and no socket. It runs nothing: split/live and cmd carry out what it says.
package adapt
