// Package compat answers queries as the original Scission does, byte for byte: it reads the original's
// benchmark files (Python pickles) and network csv, takes its command line, and prints what it printed,
// oddities included. COMPAT.md says where those answers differ from correct ones, which package split gives to
// the same data ([Systems.Problem]).
//
// The behaviour follows a description of the original, its published data and trials of the program as it
// is; none of its code is here. In the original's model a network runs on a device, then an edge server, then
// a cloud server, each of which may be left out and takes one range of blocks. Latency is the sum of the
// blocks' mean times, added from left to right, and of what the transfers take.
//
// The package knows no models and no sockets; of ours it imports split.
package compat
