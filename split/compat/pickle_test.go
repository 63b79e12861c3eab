package compat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"scission/split"
)

// A tiny pickler: each function gives the opcodes of a value.

func pText(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func pInt(v int32) string { return "J" + string(binary.LittleEndian.AppendUint32(nil, uint32(v))) }

func pFloat(v float64) string {
	return "G" + string(binary.BigEndian.AppendUint64(nil, math.Float64bits(v)))
}

func pDict(keysAndValues ...string) string { return "}(" + strings.Join(keysAndValues, "") + "u" }

func pList(values ...string) string { return "](" + strings.Join(values, "") + "e" }

const pClass = "c__main__\nLayerBenchmark\n"

func pObject(state string) string { return pClass + ")\x81" + state + "b" }

func pFields(first, last, seconds, size string) string {
	return pDict(pText("model"), pText("m"), pText("device"), pText(""), pText("input_layer"), first,
		pText("output_layer"), last, pText("second_prediction"), seconds, pText("output_size"), size)
}

func pBlock(first, last int32, seconds float64, size int32) string {
	return pObject(pFields(pInt(first), pInt(last), pFloat(seconds), pInt(size)))
}

func pFile(blocks ...string) string {
	return "\x80\x03" + pDict(pText("m"), pList(blocks...)) + "."
}

func read(s string) (map[string][]Block, error) {
	return ReadBenchmark(strings.NewReader(s), MaxBenchmarkBytes)
}

func TestBlocksAreReadExactly(t *testing.T) {
	odd := math.Nextafter(0.1, 1)
	got, err := read(pFile(pBlock(0, 1, odd, 12845184), pBlock(2, 2, 0, 128), pBlock(3, 70000, 5e-324, math.MaxInt32)))
	want := map[string][]Block{"m": {{0, 1, odd, 12845184}, {2, 2, 0, 128}, {3, 70000, 5e-324, math.MaxInt32}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, error %v, want %v", got, err, want)
	}
}

// Python wrote the same figures with protocols 2 to 5; make.py has them.
func TestPythonsProtocolsAreRead(t *testing.T) {
	systems, _ := ownData(t)
	want := [tiers][][4]float64{
		{{0.31, 0.22, 0.13, 0.07}},                                      // protocol 3
		{{0.061, 0.023, 0.011, 0.013}, {0.05, 0.03, 0, 0}},              // 4 and 2
		{{0.0101, 0.0123, 0.0054, 0.0021}, {0.0023, 0.0011, 0.0007, 0}}, // 5 and 4
	}
	for tier, names := range [tiers][]string{{"phone"}, {"42", "hut"}, {"hall", "tower(GPU)"}} {
		for i, name := range names {
			s := systems[tier][i]
			times := want[tier][i]
			blocks := []Block{{0, 1, times[0], 401536}, {2, 2, times[1], 1605760}, {3, 6, times[2], 8320}, {7, 7, times[3], 4128}}
			if s.Name != name || !reflect.DeepEqual(s.Models["toy"], blocks) {
				t.Errorf("%v %s: %v, want %s: %v", Tier(tier), s.Name, s.Models["toy"], name, blocks)
			}
		}
	}
}

func TestEveryFormOfAValueIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		pickle string
		want   any
	}{
		"NONE":               {"N", nil},
		"INT":                {"I-12\n", int64(-12)},
		"INT true":           {"I01\n", true},
		"INT false":          {"I00\n", false},
		"NEWTRUE":            {"\x88", true},
		"BININT":             {"J\xfe\xff\xff\xff", int64(-2)},
		"BININT1":            {"K\xfe", int64(254)},
		"BININT2":            {"M\x01\x02", int64(513)},
		"LONG":               {"L9223372036854775807L\n", int64(math.MaxInt64)},
		"LONG1":              {"\x8a\x02\x00\xff", int64(-256)},
		"LONG1 of nothing":   {"\x8a\x00", int64(0)},
		"LONG1 padded":       {"\x8a\x0a\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", int64(1)},
		"LONG4":              {"\x8b\x01\x00\x00\x00\x7f", int64(127)},
		"FLOAT":              {"F0.1\n", 0.1},
		"BINFLOAT":           {pFloat(0.1), 0.1},
		"UNICODE":            {"V\\u00e9\\U0001f600\\x\xe9\n", "é😀\\xé"},
		"BINUNICODE":         {pText("é"), "é"},
		"SHORT_BINUNICODE":   {"\x8c\x02hi", "hi"},
		"BINUNICODE8":        {"\x8d\x02\x00\x00\x00\x00\x00\x00\x00hi", "hi"},
		"TUPLE":              {"(K\x01K\x02t", tuple{int64(1), int64(2)}},
		"TUPLE1":             {"K\x01\x85", tuple{int64(1)}},
		"TUPLE2":             {"K\x01K\x02\x86", tuple{int64(1), int64(2)}},
		"TUPLE3":             {"K\x01K\x02K\x03\x87", tuple{int64(1), int64(2), int64(3)}},
		"LIST":               {"(K\x01l", &list{[]any{int64(1)}, 2}},
		"APPEND":             {"]K\x01a", &list{[]any{int64(1)}, 0}},
		"DICT":               {"(\x8c\x01kK\x01d", &dict{[]string{"k"}, map[string]any{"k": int64(1)}, 6}},
		"SETITEM, twice":     {"}\x8c\x01kK\x01s\x8c\x01kK\x02s", &dict{[]string{"k"}, map[string]any{"k": int64(2)}, 0}},
		"memo by line":       {"K\x01p7\n0g7\n", int64(1)},
		"memo by byte":       {"K\x01q\x070h\x07", int64(1)},
		"memo by four":       {"K\x01r\x00\x00\x01\x000j\x00\x00\x01\x00", int64(1)},
		"memo by order":      {"K\x01\x94K\x02\x9400h\x01", int64(2)},
		"POP_MARK":           {"K\x01(K\x02K\x031", int64(1)},
		"DUP":                {"K\x012\x86", tuple{int64(1), int64(1)}},
		"FRAME":              {"\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00N", nil},
		"class by GLOBAL":    {pClass, class{}},
		"class by two texts": {"\x8c\x08__main__\x8c\x0eLayerBenchmark\x93", class{}},
		"object by REDUCE":   {pClass + ")R", &object{at: 26}},
	} {
		got, err := unpickle([]byte(c.pickle + "."))
		if l, ok := c.want.(*list); ok && got != nil {
			l.at = got.(*list).at
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %#v, error %v, want %#v", name, got, err, c.want)
		}
	}
}

func TestOnlyTheOneClassIsRead(t *testing.T) {
	for name, s := range map[string]string{
		"another module":        "cos\nsystem\n(X\x02\x00\x00\x00lstR.",
		"another class":         "c__main__\nOther\n)\x81.",
		"by two texts":          "\x8c\x02os\x8c\x06system\x93.",
		"texts that are values": "K\x01K\x02\x93.",
		"helper of protocol 0":  "ccopy_reg\n_reconstructor\n(c__main__\nLayerBenchmark\nc__builtin__\nobject\nNtR.",
		"INST":                  "(i__main__\nLayerBenchmark\n.",
		"OBJ":                   "(" + pClass + "o.",
		"EXT1":                  "\x82\x01.",
		"PERSID":                "Pid\n.",
		"NEWOBJ_EX":             pClass + ")}\x92.",
		"call of a text":        pText("x") + ")R.",
		"call with arguments":   pClass + "K\x01\x85R.",
		"state of a class":      pClass + "}b.",
		"state that is a tuple": pClass + ")\x81)b.",
		"second state":          pClass + ")\x81}b}b.",
	} {
		if m, err := read(s); !errors.Is(err, split.ErrFormat) || !strings.Contains(err.Error(), "offset ") {
			t.Errorf("%s: got %v, error %v", name, m, err)
		}
	}
}

func TestMalformedFilesAreRefusedWithTheOffset(t *testing.T) {
	good := pFile(pBlock(0, 1, 0.5, 128), pBlock(2, 3, 0.5, 128))
	for name, c := range map[string]struct{ pickle, want string }{
		"empty":              {"", "offset 0: unexpected EOF"},
		"protocol":           {"\x80\x06N.", "offset 0: opcode 0x80: protocol is 6"},
		"end without value":  {".", "offset 0: end: the stack is empty"},
		"two values":         {"NN.", "offset 2: end: 1 values are left over"},
		"more behind":        {"N.N", "offset 2: 1 bytes behind"},
		"no mark":            {"NNt.", "offset 2: opcode 0x74: no mark"},
		"mark as value":      {"(\x85.", "got a mark"},
		"memo":               {"h\x05.", "memo has no entry 5"},
		"memo key":           {"N" + "pq\n.", "offset 1: opcode 0x70: memo key"},
		"bytes":              {"C\x01a.", "not an opcode that such files need"},
		"long int":           {"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01.", "more than 64 bits"},
		"longer int":         {"\x8b\x00\x00\x00\x80.", "an int of 2147483648 bytes"},
		"long text":          {"X\xff\xff\xff\xff.", "a text of 4294967295 bytes"},
		"long text, 64 bits": {"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "a text of 18446744073709551615 bytes"},
		"long line":          {"I" + strings.Repeat("1", 5000) + "\n.", "a line of more than 4096 bytes"},
		"no text":            {"X\x02\x00\x00\x00\xff\xff.", "not UTF-8"},
		"frame":              {"\x95\xff\xff\xff\xff\xff\xff\xff\xff.", "frame of"},
		"key":                {"}K\x01Ns.", "key is an int"},
		"odd items":          {"}(" + pText("k") + "u.", "key without a value"},
		"append to a dict":   {"}Na.", "cannot add to a dict"},
		"set in a list":      {"]" + pText("k") + "Ns.", "cannot add to a list"},
		"a list":             {"].", "the file is a list"},
		"network":            {pDict(pText("m"), "N") + ".", `network "m" is None`},
		"no blocks":          {pFile(), "0 blocks"},
		"no object":          {pFile("N"), "block 0 is None"},
		"no fields":          {pFile(pClass + ")\x81"), "has no fields"},
		"gap":                {pFile(pBlock(0, 1, 0, 4), pBlock(3, 3, 0, 4)), "block 1: begins with layer 3, want 2"},
		"backwards":          {pFile(pBlock(1, 0, 0, 4)), "layers 1 to 0"},
		"negative layer":     {pFile(pBlock(-1, 0, 0, 4)), "input_layer is -1"},
		"negative size":      {pFile(pBlock(0, 0, 0, -4)), "output_size is -4"},
		"negative time":      {pFile(pBlock(0, 0, -1, 4)), "second_prediction is -1"},
		"time is NaN":        {pFile(pBlock(0, 0, math.NaN(), 4)), "second_prediction is NaN"},
		"time is endless":    {pFile(pBlock(0, 0, math.Inf(1), 4)), "second_prediction is +Inf"},
		"time is text":       {pFile(pObject(pFields(pInt(0), pInt(0), pText("1"), pInt(4)))), "second_prediction is text"},
		"layer is a float":   {pFile(pObject(pFields(pFloat(0), pInt(0), pFloat(1), pInt(4)))), "input_layer is 0"},
		"field missing":      {pFile(pObject(pDict(pText("input_layer"), pInt(0)))), "output_layer is missing"},
		"list within itself": {"]q\x00h\x00a.", "the file is a list"},
		"network in itself":  {"}q\x00" + pText("m") + "](h\x00es.", "block 0 is a dict"},
	} {
		m, err := read(c.pickle)
		if m != nil || !errors.Is(err, split.ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, error %v, want %q", name, m, err, c.want)
		}
	}
	for n := range len(good) {
		if m, err := read(good[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are %v", n, len(good), m)
		}
	}
	if _, err := ReadBenchmark(strings.NewReader(good), int64(len(good))-1); !errors.Is(err, split.ErrFormat) {
		t.Errorf("over the limit: error %v", err)
	}
	if m, err := ReadBenchmark(strings.NewReader(good), int64(len(good))); err != nil {
		t.Errorf("at the limit: %v, error %v", m, err)
	}
}

func TestSmallFilesDoNotGrowLarge(t *testing.T) {
	for name, op := range map[string]string{"lists": "]", "dicts": "}", "copies": "2", "memo entries": "\x94", "marks": "("} {
		data := "N" + strings.Repeat(op, maxValues+1) + "."
		if _, err := read(data); !errors.Is(err, split.ErrFormat) || !strings.Contains(err.Error(), "values") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	// One block, named again and again.
	many := "](" + pClass + ")\x81" + strings.Repeat("2", MaxBlocks) + "e"
	if _, err := read(pDict(pText("m"), many) + "."); err == nil || !strings.Contains(err.Error(), "4097 blocks") {
		t.Errorf("too many blocks: error %v", err)
	}
}

// A list that many networks share is read, and kept, once.
func TestSharedListsAreReadOnce(t *testing.T) {
	block := pBlock(0, 1, 0.5, 128)
	models, err := read("\x80\x03}(" + pText("a") + "](" + block + "eq\x07" + pText("b") + "h\x07" + "u.")
	if err != nil || len(models) != 2 || &models["a"][0] != &models["b"][0] {
		t.Errorf("got %v, error %v, want one slice for both", models, err)
	}
}

// FuzzBenchmark is best run with -fuzzminimizetime 100x: without it the engine shortens each file that reaches new
// code for up to a minute, trying every range of its bytes, and counts no executions meanwhile.
func FuzzBenchmark(f *testing.F) {
	f.Add([]byte(pFile(pBlock(0, 1, 0.5, 128), pBlock(2, 3, 0.5, 128))))
	f.Add([]byte("(dp0\nVm\np1\n(lp2\nc__main__\nLayerBenchmark\n(tRp3\n(dVinput_layer\nI0\nsVoutput_layer\nL3L\nsVoutput_size\nI4\nsVsecond_prediction\nF0.5\nsbas."))
	f.Add([]byte("]q\x00h\x00a."))
	f.Add([]byte("\x80\x04\x95\x80\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01m\x94]\x94\x8c\x08__main__\x94\x8c\x0eLayerBenchmark\x94\x93\x94)\x81\x94}\x94(" +
		"\x8c\x0binput_layer\x94K\x00\x8c\x0coutput_layer\x94K\x01\x8c\x0boutput_size\x94M\x80\x00" +
		"\x8c\x11second_prediction\x94G?\xe0\x00\x00\x00\x00\x00\x00ubas."))
	f.Fuzz(func(t *testing.T, data []byte) {
		models, err := ReadBenchmark(bytes.NewReader(data), 1<<16)
		if (models == nil) != (err != nil) {
			t.Fatalf("blocks %v, error %v", models, err)
		}
		if err != nil && !errors.Is(err, split.ErrFormat) {
			t.Fatalf("error %v", err)
		}
		for name, blocks := range models {
			for i, b := range blocks {
				if b.First < 0 || b.Last < b.First || i > 0 && b.First != blocks[i-1].Last+1 || !(b.Seconds >= 0) || b.Bytes < 0 {
					t.Fatalf("network %q, block %d: %v", name, i, b)
				}
			}
		}
		for name := range models {
			systems := Systems{{{Name: "d", Models: models}}}
			pb, err := systems.Problem(name, 1)
			if err == nil {
				_, err = pb.Predict(split.Partition{{Host: "d", Segment: split.Segment{From: 0, To: pb.Layers}}})
			}
			if err != nil && !errors.Is(err, split.ErrFormat) {
				t.Fatalf("network %q: error %v", name, err)
			}
			break // networks may be many, and have many layers
		}
	})
}
