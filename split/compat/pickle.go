package compat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The one class that a benchmark file may name.
const (
	classModule = "__main__"
	className   = "LayerBenchmark"
)

const (
	// maxProtocol is the highest pickle protocol that is read.
	maxProtocol = 5
	// maxValues bounds, each for itself, the values on the stack, the objects made and the memo's entries.
	maxValues = 1 << 20
	// maxText bounds the bytes of one text.
	maxText = 1 << 12
)

// The values that a pickle can build here: nil, bool, int64, float64, string, tuple, *list, *dict, class and
// *object. Containers refer to one another and are never copied, so that a short pickle cannot become a large
// value; whoever walks them goes down a fixed number of levels, as they may contain themselves.
type (
	tuple []any
	list  struct {
		items []any
		at    int // offset in the file of the opcode that made it
	}
	// dict has its keys in the order of the first assignment.
	dict struct {
		keys []string
		vals map[string]any
		at   int
	}
	class  struct{}
	object struct {
		state *dict
		at    int
	}
	mark struct{}
)

func (d *dict) set(key string, v any) {
	if d.vals == nil {
		d.vals = map[string]any{}
	}
	if _, ok := d.vals[key]; !ok {
		d.keys = append(d.keys, key)
	}
	d.vals[key] = v
}

// describe names a value's type for messages.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case int64:
		return "an int"
	case float64:
		return "a float"
	case string:
		return fmt.Sprintf("text %.40q", v)
	case tuple:
		return "a tuple"
	case *list:
		return "a list"
	case *dict:
		return "a dict"
	case class:
		return "a class"
	case *object:
		return "a " + className
	}
	return "a mark"
}

// unpickler runs the opcodes of one pickle.
type unpickler struct {
	data    []byte
	pos     int
	stack   []any
	memo    map[uint32]any
	objects int
}

// offsetError is an error about the bytes at an offset.
type offsetError struct {
	at  int
	err error
}

func (e *offsetError) Error() string { return fmt.Sprintf("offset %d: %v", e.at, e.err) }
func (e *offsetError) Unwrap() error { return e.err }

func errorAt(at int, format string, args ...any) error {
	return &offsetError{at, fmt.Errorf(format, args...)}
}

// unpickle runs a pickle and returns what it leaves. Nothing that a pickle says is called.
func unpickle(data []byte) (any, error) {
	u := &unpickler{data: data, memo: map[uint32]any{}}
	for {
		at := u.pos
		op, err := u.take(1)
		if err != nil {
			return nil, errorAt(at, "%w where an opcode is wanted", err)
		}
		if op[0] == '.' {
			v, err := u.pop()
			if err != nil {
				return nil, errorAt(at, "end: %w", err)
			}
			if len(u.stack) > 0 {
				return nil, errorAt(at, "end: %d values are left over", len(u.stack))
			}
			if u.pos < len(data) {
				return nil, errorAt(u.pos, "%d bytes behind the end of the pickle", len(data)-u.pos)
			}
			return v, nil
		}
		if err := u.step(op[0], at); err != nil {
			return nil, errorAt(at, "opcode %#02x: %w", op[0], err)
		}
		if max(len(u.stack), u.objects, len(u.memo)) > maxValues {
			return nil, errorAt(at, "more than %d values", maxValues)
		}
	}
}

// step runs one opcode. The names are those of Python's pickletools.
func (u *unpickler) step(op byte, at int) error {
	switch op {
	case 0x80: // PROTO
		b, err := u.take(1)
		if err == nil && b[0] > maxProtocol {
			err = fmt.Errorf("protocol is %d, want at most %d", b[0], maxProtocol)
		}
		return err
	case 0x95: // FRAME
		b, err := u.take(8)
		if err != nil {
			return err
		}
		if n := binary.LittleEndian.Uint64(b); n > uint64(len(u.data)-u.pos) {
			return fmt.Errorf("frame of %d bytes, of which there are %d", n, len(u.data)-u.pos)
		}
		return nil
	case '(': // MARK
		return u.push(mark{})
	case '0': // POP
		if len(u.stack) == 0 {
			return errEmpty
		}
		u.stack = u.stack[:len(u.stack)-1]
		return nil
	case '1': // POP_MARK
		_, err := u.popMark()
		return err
	case '2': // DUP
		v, err := u.top()
		if err != nil {
			return err
		}
		return u.push(v)
	case 'g', 'h', 'j': // GET, BINGET, LONG_BINGET
		key, err := u.key(op == 'g', op == 'h')
		if err != nil {
			return err
		}
		v, ok := u.memo[key]
		if !ok {
			return fmt.Errorf("memo has no entry %d", key)
		}
		return u.push(v)
	case 'p', 'q', 'r': // PUT, BINPUT, LONG_BINPUT
		key, err := u.key(op == 'p', op == 'q')
		if err != nil {
			return err
		}
		return u.memoize(key)
	case 0x94: // MEMOIZE
		return u.memoize(uint32(len(u.memo)))
	case 'N': // NONE
		return u.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		return u.push(op == 0x88)
	case 'I', 'J', 'K', 'M', 'L', 0x8a, 0x8b, 'F', 'G':
		return u.number(op)
	case 'V', 'X', 0x8c, 0x8d:
		s, err := u.text(op)
		if err != nil {
			return err
		}
		return u.push(s)
	case ']', 'l', 'a', 'e', ')', 't', 0x85, 0x86, 0x87, '}', 'd', 's', 'u':
		return u.container(op, at)
	case 'c', 0x93, 'R', 0x81, 'b':
		return u.instance(op, at)
	}
	return errors.New("not an opcode that such files need")
}

var errEmpty = errors.New("the stack is empty")

func (u *unpickler) take(n int) ([]byte, error) {
	if n > len(u.data)-u.pos {
		return nil, io.ErrUnexpectedEOF
	}
	b := u.data[u.pos : u.pos+n : u.pos+n]
	u.pos += n
	return b, nil
}

// line takes text up to a line feed, which goes with it.
func (u *unpickler) line() (string, error) {
	rest := u.data[u.pos:min(len(u.data), u.pos+maxText+1)]
	for i, c := range rest {
		if c == '\n' {
			u.pos += i + 1
			return string(rest[:i]), nil
		}
	}
	if len(rest) > maxText {
		return "", fmt.Errorf("a line of more than %d bytes", maxText)
	}
	return "", io.ErrUnexpectedEOF
}

func (u *unpickler) push(v any) error {
	u.stack = append(u.stack, v)
	return nil
}

// top is the topmost value.
func (u *unpickler) top() (any, error) {
	if len(u.stack) == 0 {
		return nil, errEmpty
	}
	v := u.stack[len(u.stack)-1]
	if v == (mark{}) {
		return nil, errors.New("got a mark, want a value")
	}
	return v, nil
}

func (u *unpickler) pop() (any, error) {
	v, err := u.top()
	if err == nil {
		u.stack = u.stack[:len(u.stack)-1]
	}
	return v, err
}

// popMark takes the values down to the topmost mark, and the mark.
func (u *unpickler) popMark() ([]any, error) {
	for i := len(u.stack) - 1; i >= 0; i-- {
		if u.stack[i] == (mark{}) {
			vs := append([]any(nil), u.stack[i+1:]...)
			u.stack = u.stack[:i]
			return vs, nil
		}
	}
	return nil, errors.New("no mark on the stack")
}

// key reads the memo key of an opcode: a line, one byte or four.
func (u *unpickler) key(text, short bool) (uint32, error) {
	if text {
		s, err := u.line()
		if err != nil {
			return 0, err
		}
		k, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return 0, fmt.Errorf("memo key is %.40q, want a number of 32 bits", s)
		}
		return uint32(k), nil
	}
	if short {
		b, err := u.take(1)
		if err != nil {
			return 0, err
		}
		return uint32(b[0]), nil
	}
	b, err := u.take(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (u *unpickler) memoize(key uint32) error {
	v, err := u.top()
	if err == nil {
		u.memo[key] = v
	}
	return err
}

func (u *unpickler) number(op byte) error {
	switch op {
	case 'I', 'L', 'F': // INT, LONG, FLOAT: a line
		s, err := u.line()
		if err != nil {
			return err
		}
		if op == 'I' && (s == "00" || s == "01") { // how protocols 0 and 1 write bools
			return u.push(s == "01")
		}
		if op == 'F' {
			v, err := strconv.ParseFloat(s, 64)
			if err != nil {
				return fmt.Errorf("got %.40q, want a float", s)
			}
			return u.push(v)
		}
		if op == 'L' {
			s = strings.TrimSuffix(s, "L")
		}
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return fmt.Errorf("got %.40q, want an int of 64 bits", s)
		}
		return u.push(v)
	}
	size := 1 // BININT1, LONG1
	switch op {
	case 'M':
		size = 2
	case 'J', 0x8b:
		size = 4
	case 'G':
		size = 8
	}
	b, err := u.take(size)
	if err != nil {
		return err
	}
	switch op {
	case 'J': // BININT
		return u.push(int64(int32(binary.LittleEndian.Uint32(b))))
	case 'K': // BININT1
		return u.push(int64(b[0]))
	case 'M': // BININT2
		return u.push(int64(binary.LittleEndian.Uint16(b)))
	case 'G': // BINFLOAT
		return u.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	}
	// LONG1 and LONG4: a length, then that many bytes of two's complement.
	n := uint32(b[0])
	if op == 0x8b {
		n = binary.LittleEndian.Uint32(b)
	}
	if n > maxText {
		return fmt.Errorf("an int of %d bytes, want at most %d", n, maxText)
	}
	if b, err = u.take(int(n)); err != nil {
		return err
	}
	v, ok := twosComplement(b)
	if !ok {
		return errors.New("an int of more than 64 bits")
	}
	return u.push(v)
}

// twosComplement reads a little-endian number, if it fits.
func twosComplement(b []byte) (int64, bool) {
	be := make([]byte, len(b))
	for i, c := range b {
		be[len(b)-1-i] = c
	}
	v := new(big.Int).SetBytes(be)
	if len(be) > 0 && be[0] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(be))))
	}
	return v.Int64(), v.IsInt64()
}

func (u *unpickler) text(op byte) (string, error) {
	if op == 'V' { // UNICODE: a line, escaped
		s, err := u.line()
		if err != nil {
			return "", err
		}
		return unescape(s)
	}
	var n uint64
	switch op {
	case 0x8c: // SHORT_BINUNICODE
		b, err := u.take(1)
		if err != nil {
			return "", err
		}
		n = uint64(b[0])
	case 'X': // BINUNICODE
		b, err := u.take(4)
		if err != nil {
			return "", err
		}
		n = uint64(binary.LittleEndian.Uint32(b))
	case 0x8d: // BINUNICODE8
		b, err := u.take(8)
		if err != nil {
			return "", err
		}
		n = binary.LittleEndian.Uint64(b)
	}
	if n > maxText {
		return "", fmt.Errorf("a text of %d bytes, want at most %d", n, maxText)
	}
	b, err := u.take(int(n))
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", errors.New("a text that is not UTF-8")
	}
	return string(b), nil
}

// unescape undoes Python's raw-unicode-escape: Latin-1, with \uXXXX and \UXXXXXXXX for the rest.
func unescape(s string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		digits := 0
		switch {
		case strings.HasPrefix(s[i:], `\u`):
			digits = 4
		case strings.HasPrefix(s[i:], `\U`):
			digits = 8
		}
		if digits == 0 {
			out.WriteRune(rune(s[i]))
			continue
		}
		if i+2+digits > len(s) {
			return "", errors.New("an escape that is cut short")
		}
		r, err := strconv.ParseUint(s[i+2:i+2+digits], 16, 32)
		if err != nil || r > utf8.MaxRune || !utf8.ValidRune(rune(r)) {
			return "", fmt.Errorf("escape %q is no character", s[i:i+2+digits])
		}
		out.WriteRune(rune(r))
		i += 1 + digits
	}
	return out.String(), nil
}

func (u *unpickler) container(op byte, at int) error {
	switch op {
	case ']', '}', ')': // EMPTY_LIST, EMPTY_DICT, EMPTY_TUPLE
		return u.make(op, nil, at)
	case 'l', 'd', 't': // LIST, DICT, TUPLE
		vs, err := u.popMark()
		if err != nil {
			return err
		}
		switch op {
		case 'l':
			return u.make(']', vs, at)
		case 'd':
			return u.make('}', vs, at)
		}
		return u.make(')', vs, at)
	case 0x85, 0x86, 0x87: // TUPLE1, TUPLE2, TUPLE3
		vs := make([]any, op-0x84)
		for i := len(vs) - 1; i >= 0; i-- {
			v, err := u.pop()
			if err != nil {
				return err
			}
			vs[i] = v
		}
		return u.make(')', vs, at)
	}
	// APPEND, APPENDS, SETITEM, SETITEMS: add values to what lies below them.
	var vs []any
	var err error
	if op == 'e' || op == 'u' {
		vs, err = u.popMark()
	} else {
		n := 1
		if op == 's' {
			n = 2
		}
		for range n {
			v, popErr := u.pop()
			if popErr != nil {
				return popErr
			}
			vs = append([]any{v}, vs...)
		}
	}
	if err != nil {
		return err
	}
	into, err := u.top()
	if err != nil {
		return err
	}
	if l, ok := into.(*list); ok && (op == 'a' || op == 'e') {
		l.items = append(l.items, vs...)
		return nil
	}
	if d, ok := into.(*dict); ok && (op == 's' || op == 'u') {
		return d.update(vs)
	}
	return fmt.Errorf("cannot add to %s", describe(into))
}

// make pushes a new container with some values.
func (u *unpickler) make(op byte, vs []any, at int) error {
	u.objects++
	switch op {
	case ']':
		return u.push(&list{vs, at})
	case ')':
		return u.push(tuple(vs))
	}
	d := &dict{at: at}
	if err := d.update(vs); err != nil {
		return err
	}
	return u.push(d)
}

// update sets keys and values, which alternate.
func (d *dict) update(vs []any) error {
	if len(vs)%2 != 0 {
		return errors.New("a key without a value")
	}
	for i := 0; i < len(vs); i += 2 {
		key, ok := vs[i].(string)
		if !ok {
			return fmt.Errorf("key is %s, want text", describe(vs[i]))
		}
		d.set(key, vs[i+1])
	}
	return nil
}

// instance runs the opcodes that name a class, make an object and give it its state.
func (u *unpickler) instance(op byte, at int) error {
	switch op {
	case 'c': // GLOBAL
		module, err := u.line()
		if err != nil {
			return err
		}
		name, err := u.line()
		if err != nil {
			return err
		}
		return u.global(module, name)
	case 0x93: // STACK_GLOBAL
		name, err := u.pop()
		if err != nil {
			return err
		}
		module, err := u.pop()
		if err != nil {
			return err
		}
		return u.global(module, name)
	case 'R', 0x81: // REDUCE, NEWOBJ
		args, err := u.pop()
		if err != nil {
			return err
		}
		what, err := u.pop()
		if err != nil {
			return err
		}
		if what != (class{}) {
			return fmt.Errorf("cannot call %s", describe(what))
		}
		if t, ok := args.(tuple); !ok || len(t) > 0 {
			return fmt.Errorf("arguments of %s: want none", className)
		}
		u.objects++
		return u.push(&object{at: at})
	}
	// BUILD
	state, err := u.pop()
	if err != nil {
		return err
	}
	into, err := u.top()
	if err != nil {
		return err
	}
	o, ok := into.(*object)
	if !ok {
		return fmt.Errorf("cannot give a state to %s", describe(into))
	}
	d, ok := state.(*dict)
	if !ok {
		return fmt.Errorf("state is %s, want a dict", describe(state))
	}
	if o.state != nil {
		return fmt.Errorf("a second state for one %s", className)
	}
	o.state = d
	return nil
}

// global names the one class.
func (u *unpickler) global(module, name any) error {
	if module != classModule || name != className {
		return fmt.Errorf("names %.40q of %.40q, want only %s of %s", name, module, className, classModule)
	}
	return u.push(class{})
}
