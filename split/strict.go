package split

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"
)

// ErrFormat is wrapped by the error of a file that is not what it should be: malformed, too large, with
// values out of range. The message says where.
var ErrFormat = errors.New("malformed")

// maxObjects is the largest number of JSON objects in a file, so that a small file of empty objects cannot
// become a large value in memory.
const maxObjects = 1 << 18

// readLimited reads all of r, at most limit bytes.
func readLimited(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: longer than the limit of %d bytes", ErrFormat, limit)
	}
	return data, nil
}

// decodeStrict decodes one JSON object into the struct that v points to. Beyond what encoding/json refuses,
// it refuses unknown and repeated fields, names that differ in case, null, and anything behind the object.
// Errors wrap ErrFormat and give the line and the path, "line 12: layers[3].samples_ns: ...".
func decodeStrict(data []byte, v any) error {
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		at := len(data)
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			at = int(syntax.Offset)
		}
		return fmt.Errorf("%w: line %d: %w", ErrFormat, lineAt(data, at), err)
	}
	d := &strictDecoder{data: data, dec: json.NewDecoder(bytes.NewReader(data)), fields: map[reflect.Type]map[string][]int{}}
	if err := d.value(reflect.ValueOf(v).Elem()); err != nil {
		return fmt.Errorf("%w: line %d: %w", ErrFormat, lineAt(data, int(d.dec.InputOffset())), err)
	}
	return nil
}

// lineAt is the line, from 1, of a byte offset.
func lineAt(data []byte, offset int) int {
	return 1 + bytes.Count(data[:min(max(offset, 0), len(data))], []byte("\n"))
}

// strictDecoder walks tokens of well-formed JSON. Structs and slices of structs are walked, all else is left
// to encoding/json.
type strictDecoder struct {
	data    []byte
	dec     *json.Decoder
	objects int
	fields  map[reflect.Type]map[string][]int // by JSON name
}

// pathError is an error and the path of the value that it is about.
type pathError struct {
	path string
	err  error
}

func (e *pathError) Error() string { return strings.TrimPrefix(e.path, ".") + ": " + e.err.Error() }
func (e *pathError) Unwrap() error { return e.err }

// within puts a step in front of an error's path.
func within(step string, err error) error {
	if inner, ok := err.(*pathError); ok {
		return &pathError{step + inner.path, inner.err}
	}
	return &pathError{step, err}
}

func (d *strictDecoder) value(v reflect.Value) error {
	_, custom := v.Addr().Interface().(json.Unmarshaler)
	switch {
	case !custom && v.Kind() == reflect.Struct:
		return d.object(v)
	case !custom && v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		return d.array(v)
	}
	start := d.dec.InputOffset()
	err := d.dec.Decode(v.Addr().Interface())
	text := bytes.TrimLeft(d.data[start:d.dec.InputOffset()], ":, \t\r\n")
	numbers := v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Int64
	if string(text) == "null" || numbers && bytes.Contains(text, []byte("null")) {
		return errors.New("got null, want a value")
	}
	if mismatch := (*json.UnmarshalTypeError)(nil); errors.As(err, &mismatch) {
		return fmt.Errorf("got a JSON %.40s, want %s", mismatch.Value, mismatch.Type)
	}
	return err
}

// open takes the delimiter that a value must begin with.
func (d *strictDecoder) open(want json.Delim) error {
	token, err := d.dec.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("got %.40q, want %q", fmt.Sprint(token), want.String())
	}
	return nil
}

func (d *strictDecoder) object(v reflect.Value) error {
	if err := d.open('{'); err != nil {
		return err
	}
	if d.objects++; d.objects > maxObjects {
		return fmt.Errorf("more than %d objects in the file", maxObjects)
	}
	fields := d.fieldsOf(v.Type())
	seen := map[string]bool{}
	for d.dec.More() {
		token, err := d.dec.Token()
		if err != nil {
			return err
		}
		name := token.(string) // well-formed JSON has a string here
		index, known := fields[name]
		if !known {
			return fmt.Errorf("unknown field %.80q", name)
		}
		if seen[name] {
			return fmt.Errorf("field %q is given twice", name)
		}
		seen[name] = true
		if err := d.value(v.FieldByIndex(index)); err != nil {
			return within("."+name, err)
		}
	}
	_, err := d.dec.Token()
	return err
}

// fieldsOf lists the fields of a struct type, those of embedded structs included.
func (d *strictDecoder) fieldsOf(t reflect.Type) map[string][]int {
	fields, ok := d.fields[t]
	if !ok {
		fields = map[string][]int{}
		for _, f := range reflect.VisibleFields(t) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				fields[name] = f.Index
			}
		}
		d.fields[t] = fields
	}
	return fields
}

func (d *strictDecoder) array(v reflect.Value) error {
	if err := d.open('['); err != nil {
		return err
	}
	for i := 0; d.dec.More(); i++ {
		item := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(item); err != nil {
			return within(fmt.Sprintf("[%d]", i), err)
		}
		v.Set(reflect.Append(v, item))
	}
	_, err := d.dec.Token()
	return err
}

// numberArray is an array of integers as MarshalIndent writes it, one to a line.
var numberArray = regexp.MustCompile(`\[\n[-0-9,\s]+\]`)

// encodeIndented writes v as indented JSON with each array of numbers on one line.
func encodeIndented(w io.Writer, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	data = numberArray.ReplaceAllFunc(data, func(array []byte) []byte {
		return bytes.ReplaceAll(bytes.Join(bytes.Fields(array), nil), []byte(","), []byte(", "))
	})
	_, err = w.Write(append(data, '\n'))
	return err
}
