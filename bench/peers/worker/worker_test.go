package worker

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"scission/engine/tensor"
)

func TestFilesOfWorkersAreChecked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.bin")
	good, err := Write(path, "t", tensor.Of([]int64{1, 2}, 2))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := good.Read(); err != nil || got.I64()[1] != 2 {
		t.Errorf("got %v, %v", got, err)
	}
	for name, f := range map[string]File{
		"unknown type": {"t", "complex64", []int{2}, path},
		"wrong size":   {"t", "int64", []int{3}, path},
		"too large":    {"t", "int64", []int{1 << 30}, path},
		"no file":      {"t", "int64", []int{2}, path + "x"},
	} {
		if _, err := f.Read(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestEngineThatFailsOrPanicsAnswersWithAnError(t *testing.T) {
	e := Engine{Version: "7", Load: func(path string, threads int, inputs map[string]*tensor.Tensor) (func() ([]*tensor.Tensor, error), error) {
		if path == "bad" {
			return nil, errors.New("no such operator")
		}
		return func() ([]*tensor.Tensor, error) { panic("lost") }, nil
	}}
	var replies strings.Builder
	requests := `{"cmd":"hello"}
{"cmd":"run","runs":1}
{"cmd":"load","model":"bad"}
{"cmd":"load","model":"good"}
{"cmd":"run","runs":1}
{"cmd":"dance"}
`
	if err := e.Serve(strings.NewReader(requests), &replies); err != nil {
		t.Fatal(err)
	}
	want := `{"version":"7"}
{"error":"run before load"}
{"error":"no such operator"}
{}
{"error":"panic: lost"}
{"error":"unknown command \"dance\""}
`
	if replies.String() != want {
		t.Errorf("got\n%s\nwant\n%s", replies.String(), want)
	}
}
