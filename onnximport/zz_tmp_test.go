//go:build testbackend

package onnximport

import (
	"fmt"
	"reflect"
	"sort"
	"testing"

	"github.com/owulveryck/onnx-go/backend/testbackend"
	_ "github.com/owulveryck/onnx-go/backend/testbackend/onnx"
)

func TestZZ(t *testing.T) {
	var lines []string
	for _, f := range testbackend.GetAllRegisteredTests() {
		tc := f()
		m, err := Parse(tc.ModelB, Options{})
		s := fmt.Sprint(tc.OpType, " ", tc.Title, " ")
		if err != nil {
			s += err.Error()
		} else {
			_, err := m.Graph(nil)
			s += fmt.Sprint(m.Opsets(), len(m.Inputs()), len(tc.Input), " ", err)
		}
		for _, x := range tc.Input {
			s += fmt.Sprint(" ", x.Dtype(), x.Shape(), reflect.TypeOf(x.Data()))
		}
		s += " ->"
		for _, x := range tc.ExpectedOutput {
			s += fmt.Sprint(" ", x.Dtype(), x.Shape(), reflect.TypeOf(x.Data()))
		}
		lines = append(lines, s)
	}
	sort.Strings(lines)
	for _, l := range lines {
		fmt.Println(l)
	}
}
