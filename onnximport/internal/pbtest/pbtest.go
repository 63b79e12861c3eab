// Package pbtest writes protobuf messages byte by byte, for tests that must not
// trust the encoder under test. It uses no protobuf library.
//
// Source: Protocol Buffers, Encoding.
package pbtest

import (
	"encoding/binary"
	"math"
)

// Msg joins fields to a message.
func Msg(fields ...[]byte) []byte {
	var m []byte
	for _, f := range fields {
		m = append(m, f...)
	}
	return m
}

// Int is a varint field.
func Int(num int, v int64) []byte {
	return binary.AppendUvarint(tag(num, 0), uint64(v))
}

// Bytes is a field with a string, bytes or a message.
func Bytes[T string | []byte](num int, v T) []byte {
	return append(binary.AppendUvarint(tag(num, 2), uint64(len(v))), v...)
}

// Sub is a field with a message of the given fields.
func Sub(num int, fields ...[]byte) []byte { return Bytes(num, Msg(fields...)) }

// Float is a 32-bit floating-point field.
func Float(num int, v float32) []byte {
	return binary.LittleEndian.AppendUint32(tag(num, 5), math.Float32bits(v))
}

// Double is a 64-bit floating-point field.
func Double(num int, v float64) []byte {
	return binary.LittleEndian.AppendUint64(tag(num, 1), math.Float64bits(v))
}

// Ints is a packed repeated integer field.
func Ints(num int, vs ...int64) []byte {
	var b []byte
	for _, v := range vs {
		b = binary.AppendUvarint(b, uint64(v))
	}
	return Bytes(num, b)
}

// Floats is a packed repeated field of 32-bit numbers.
func Floats(num int, vs ...float32) []byte {
	var b []byte
	for _, v := range vs {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return Bytes(num, b)
}

// Doubles is a packed repeated field of 64-bit numbers.
func Doubles(num int, vs ...float64) []byte {
	var b []byte
	for _, v := range vs {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return Bytes(num, b)
}

func tag(num, wire int) []byte { return binary.AppendUvarint(nil, uint64(num<<3|wire)) }
