package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"scission/engine/graph"
	"scission/engine/tensor"
	"scission/onnximport"
)

// A network that hands on its input gives a half where the data set wants one that
// is five steps of float16 larger.
func TestVerifyIsWiderForHalfPrecisionUnlessToldOtherwise(t *testing.T) {
	for _, c := range []struct {
		dtype tensor.DType
		want  uint16 // its bits
		code  int
		args  []string
	}{
		{tensor.Float16, 0x3805, exitOK, nil},
		{tensor.Float16, 0x3805, exitOK, []string{"--atol", "0"}},
		{tensor.Float16, 0x3805, exitVerification, []string{"--rtol", "1e-3"}},
		{tensor.Float16, 0x3900, exitVerification, nil}, // 0.625
		{tensor.BFloat16, 0x3f05, exitOK, nil},
		{tensor.BFloat16, 0x3f05, exitVerification, []string{"--rtol", "1e-3", "--atol", "1e-5"}},
		{tensor.BFloat16, 0x3f20, exitVerification, nil}, // 0.625
	} {
		dir := filepath.Join(t.TempDir(), "case")
		set := filepath.Join(dir, "test_data_set_0")
		if err := os.MkdirAll(set, 0o755); err != nil {
			t.Fatal(err)
		}
		g := &graph.Graph{Name: "empty"}
		g.Input("x", tensor.Type{DType: c.dtype, Shape: tensor.Shape{1}})
		g.Outputs = g.Inputs
		if err := writeFile(filepath.Join(dir, "model.onnx"), func(w io.Writer) error { return onnximport.Save(w, g) }); err != nil {
			t.Fatal(err)
		}
		half := map[tensor.DType]uint16{tensor.Float16: 0x3800, tensor.BFloat16: 0x3f00}[c.dtype]
		for name, bits := range map[string]uint16{"input_0.pb": half, "output_0.pb": c.want} {
			// TensorProto: dims, data_type, raw_data.
			proto := []byte{1 << 3, 1, 2 << 3, byte(c.dtype), 9<<3 | 2, 2, byte(bits), byte(bits >> 8)}
			if err := os.WriteFile(filepath.Join(set, name), proto, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want(t, c.code, append([]string{"verify", dir}, c.args...)...)
	}
	want(t, exitOK, "verify", shared(t, "squeezenet_fp16"))
}
