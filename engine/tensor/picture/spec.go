package picture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"scission/engine/tensor"
)

// ErrSpec is in every error that says that a Spec contradicts itself, or the
// input that it is for.
var ErrSpec = errors.New("wrong preprocessing")

// Resize says how a picture gets its new size.
type Resize string

// The ways to resize. "" leaves the choice to Spec.For.
const (
	Stretch   Resize = "stretch"   // to Size, whatever becomes of the shape
	Shorter   Resize = "shorter"   // keep the shape and cover Size: with equal sides, the shorter side becomes that
	Letterbox Resize = "letterbox" // keep the shape, fit into Size, and pad what is left on both sides
	Keep      Resize = "none"      // keep the size
)

// Filter says what a pixel of the resized picture is made of.
type Filter string

// The filters, which are Pillow's; "" is Bilinear.
const (
	Nearest  Filter = "nearest"
	Box      Filter = "box"
	Bilinear Filter = "bilinear"
	Bicubic  Filter = "bicubic"
	Lanczos  Filter = "lanczos"
)

// Color says which channels there are and in which order.
type Color string

// The colours. "" leaves the choice to Spec.For.
const (
	RGB  Color = "RGB"
	BGR  Color = "BGR"
	Grey Color = "grey" // luma of ITU-R BT.601
)

func (c Color) channels() int {
	if c == Grey {
		return 1
	}
	return 3
}

// Layout names the axes of the tensor, outermost first.
type Layout string

// layouts are the layouts there are. One without C is for Grey.
var layouts = []Layout{"NCHW", "NHWC", "CHW", "HWC", "NHW", "HW"}

// axis is the place of an axis, or -1.
func (l Layout) axis(name byte) int { return strings.IndexByte(string(l), name) }

// Size is a height and a width in pixels. A zero is open: as the other side and
// the picture's shape want it, or the picture's own where both are. In YAML it
// is a number for both, or a list of height and width.
type Size struct{ Height, Width int }

// Values are one number for each channel, in the tensor's order, or one for all
// of them. In YAML it is a number or a list; a number may be a fraction, as
// 1/255.
type Values []float64

// of is the value for channel c.
func (v Values) of(c int) float64 {
	if len(v) == 1 {
		return v[0]
	}
	return v[c]
}

// Spec says how a picture becomes a tensor: it is resized to Size, cropped to
// Crop in the middle, and of each number x of a channel, 0 to 255, becomes
//
//	(x*Scale - Mean) / Std
//
// The zero Spec leaves everything to For. Specs are values: nothing changes one
// that is in use.
type Spec struct {
	Resize Resize `yaml:"resize"`
	Size   Size   `yaml:"size"`
	Filter Filter `yaml:"filter"`
	// Aliased leaves the filter narrow when a picture becomes smaller, as OpenCV
	// and TensorFlow do. Without it the filter covers what a pixel stands for,
	// as in Pillow and torchvision.
	Aliased bool   `yaml:"aliased"`
	Crop    Size   `yaml:"crop"`
	Pad     Values `yaml:"pad"` // colour around a letterboxed picture, 0 to 255; nil is black
	Layout  Layout `yaml:"layout"`
	Color   Color  `yaml:"color"`
	Scale   Values `yaml:"scale"`
	Mean    Values `yaml:"mean"`
	Std     Values `yaml:"std"`
	// Type is the name of a type of tensor, such as "float32". Integers are
	// rounded to nearest, ties to even, and cut to the type's range.
	Type string `yaml:"type"`
}

// maxSpec bounds the bytes of a spec's text.
const maxSpec = 1 << 16

// Parse reads a spec as YAML without the braces around it, such as
//
//	resize: shorter, size: 256, crop: 224, mean: [0.485, 0.456, 0.406]
//
// over s: what the text does not name stays. Unknown names and wrong values are
// errors with ErrSpec.
func (s Spec) Parse(text string) (Spec, error) {
	if len(text) > maxSpec {
		return Spec{}, fmt.Errorf("picture: %w: %d bytes, want at most %d", ErrSpec, len(text), maxSpec)
	}
	d := yaml.NewDecoder(strings.NewReader("{" + text + "\n}"))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil {
		return Spec{}, fmt.Errorf("picture: %w: %q: %w", ErrSpec, text, err)
	}
	if err := d.Decode(&yaml.Node{}); err != io.EOF {
		return Spec{}, fmt.Errorf("picture: %w: %q: more than one document", ErrSpec, text)
	}
	return s, s.Check()
}

// String writes the spec as Parse reads it, without what is open.
func (s Spec) String() string {
	var b bytes.Buffer
	put := func(name, value string) {
		if value == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name + ": " + value)
	}
	put("resize", string(s.Resize))
	put("size", s.Size.String())
	put("filter", string(s.Filter))
	if s.Aliased {
		put("aliased", "true")
	}
	put("crop", s.Crop.String())
	put("pad", s.Pad.String())
	put("layout", string(s.Layout))
	put("color", string(s.Color))
	put("scale", s.Scale.String())
	put("mean", s.Mean.String())
	put("std", s.Std.String())
	put("type", s.Type)
	return b.String()
}

// String writes the size as YAML: "224", "[240, 320]", or "" where both sides
// are open.
func (z Size) String() string {
	switch {
	case z == Size{}:
		return ""
	case z.Height == z.Width:
		return strconv.Itoa(z.Height)
	}
	return fmt.Sprintf("[%d, %d]", z.Height, z.Width)
}

// UnmarshalYAML reads a number or a list of two.
func (z *Size) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		err := n.Decode(&z.Height)
		z.Width = z.Height
		return err
	}
	var two []int
	if err := n.Decode(&two); err != nil {
		return err
	}
	if len(two) != 2 {
		return fmt.Errorf("line %d: a size of %d numbers, want one, or height and width", n.Line, len(two))
	}
	*z = Size{two[0], two[1]}
	return nil
}

// fraction255 is how a scale of 1/255 is written.
const fraction255 = "1/255"

// String writes the values as YAML.
func (v Values) String() string {
	if len(v) == 0 {
		return ""
	}
	texts := make([]string, len(v))
	for i, f := range v {
		texts[i] = strconv.FormatFloat(f, 'g', -1, 64)
		if f == 1./255 {
			texts[i] = fraction255
		}
	}
	if len(v) == 1 {
		return texts[0]
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// UnmarshalYAML reads a number or a list.
func (v *Values) UnmarshalYAML(n *yaml.Node) error {
	texts := []string{n.Value}
	if n.Kind != yaml.ScalarNode {
		texts = nil
		if err := n.Decode(&texts); err != nil {
			return err
		}
	}
	*v = nil
	for _, t := range texts {
		above, below, is := strings.Cut(t, "/")
		f, err := strconv.ParseFloat(strings.TrimSpace(above), 64)
		if is && err == nil {
			var by float64
			by, err = strconv.ParseFloat(strings.TrimSpace(below), 64)
			f /= by
		}
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("line %d: got %q, want a number or a fraction", n.Line, t)
		}
		*v = append(*v, f)
	}
	return nil
}

// Check reports what is wrong with a spec, whatever it is for. Its errors have
// ErrSpec.
func (s Spec) Check() error {
	if err := s.check(); err != nil {
		return fmt.Errorf("picture: %w: %w", ErrSpec, err)
	}
	return nil
}

func (s Spec) check() error {
	if err := among("resize", s.Resize, Stretch, Shorter, Letterbox, Keep); err != nil {
		return err
	}
	if err := among("filter", s.Filter, Nearest, Box, Bilinear, Bicubic, Lanczos); err != nil {
		return err
	}
	if err := among("color", s.Color, RGB, BGR, Grey); err != nil {
		return err
	}
	if err := among("layout", s.Layout, layouts...); err != nil {
		return err
	}
	var names []string
	for t := range types {
		names = append(names, t)
	}
	slices.Sort(names)
	if err := among("type", s.Type, names...); err != nil {
		return err
	}
	for name, z := range map[string]Size{"size": s.Size, "crop": s.Crop} {
		if z.Height < 0 || z.Width < 0 || z.Height > MaxSide || z.Width > MaxSide {
			return fmt.Errorf("%s %d x %d, want 0 to %d", name, z.Height, z.Width, MaxSide)
		}
	}
	if s.Resize == Keep && s.Size != (Size{}) {
		return fmt.Errorf("size %v, but resize is %s", s.Size, Keep)
	}
	if s.Layout != "" && s.Layout.axis('C') < 0 && s.Color != "" && s.Color != Grey {
		return fmt.Errorf("layout %s is for grey, got color %s", s.Layout, s.Color)
	}
	for name, v := range map[string]Values{"pad": s.Pad, "scale": s.Scale, "mean": s.Mean, "std": s.Std} {
		if n := len(v); n > 1 && (n != RGB.channels() || s.Color == Grey) {
			return fmt.Errorf("%s has %d values, want one, or one for each channel", name, n)
		}
		for _, f := range v {
			switch {
			case math.IsNaN(f) || math.IsInf(f, 0):
				return fmt.Errorf("%s is %v", name, f)
			case name == "std" && f == 0:
				return errors.New("std is 0")
			case name == "pad" && (f < 0 || f > 255 || f != math.Trunc(f)):
				return fmt.Errorf("pad is %v, want whole numbers of 0 to 255", f)
			}
		}
	}
	return nil
}

// among checks that s is open or one of those in want.
func among[T ~string](name string, s T, want ...T) error {
	if s == "" || slices.Contains(want, s) {
		return nil
	}
	return fmt.Errorf("%s is %q, want one of %q", name, s, want)
}

// types are the types that a tensor can get, by their names.
var types = func() map[string]tensor.DType {
	m := map[string]tensor.DType{}
	for _, d := range []tensor.DType{tensor.Float32, tensor.Float64, tensor.Float16, tensor.BFloat16,
		tensor.Uint8, tensor.Int8, tensor.Uint16, tensor.Int16, tensor.Int32, tensor.Int64} {
		m[d.String()] = d
	}
	return m
}()

// For fills in what s leaves open, for an input of type d and the given
// dimensions, of which those that are not fixed are negative. nil dimensions are
// those of an input of which nothing is known.
//
//   - Layout: that of the rank in which C is 1 or 3; the one with C first if
//     both are possible.
//   - Color: RGB, or Grey where C is 1.
//   - Crop: the input's height and width. Size: the same; where the input leaves
//     a side open, the picture's shape decides, and its own size where both are.
//   - Resize: Shorter, or Keep where there is no size. Filter: Bilinear.
//   - Scale: 1/255 for types of floating point, 1 for others. Mean: 0, but 128
//     for int8, so that 0 to 255 become -128 to 127. Std: 1. A mean or std beyond
//     1 without a scale is an error: it is unclear what it is a mean of.
//   - Type: d.
//
// Errors have ErrSpec.
func (s Spec) For(d tensor.DType, dims []int) (Spec, error) {
	s, err := s.complete(d, dims)
	if err != nil {
		return Spec{}, fmt.Errorf("picture: %w: %w", ErrSpec, err)
	}
	return s, s.Check()
}

func (s Spec) complete(d tensor.DType, dims []int) (Spec, error) {
	if err := s.check(); err != nil {
		return s, err
	}
	if s.Type == "" {
		s.Type = d.String()
	}
	if _, ok := types[s.Type]; !ok {
		return s, fmt.Errorf("a picture cannot be of type %s", s.Type)
	}
	if err := s.completeAxes(dims); err != nil {
		return s, err
	}
	side := func(axis byte) int {
		if len(dims) == 0 {
			return 0
		}
		return max(dims[s.Layout.axis(axis)], 0)
	}
	want := Size{side('H'), side('W')}
	for _, x := range []struct {
		name      string
		got, want *int
	}{{"height", &s.Crop.Height, &want.Height}, {"width", &s.Crop.Width, &want.Width}} {
		if *x.got == 0 {
			*x.got = *x.want
		}
		if *x.want > 0 && *x.got != *x.want {
			return s, fmt.Errorf("crop gives a %s of %d, but the input's is %d", x.name, *x.got, *x.want)
		}
	}
	if s.Resize != Keep && s.Size == (Size{}) {
		s.Size = s.Crop
	}
	if s.Resize == "" {
		s.Resize = Shorter
		if s.Size == (Size{}) {
			s.Resize = Keep
		}
	}
	if s.Filter == "" {
		s.Filter = Bilinear
	}
	return s, s.completeNumbers()
}

// completeAxes fills in layout and colour.
func (s *Spec) completeAxes(dims []int) error {
	if s.Layout == "" {
		if len(dims) == 0 {
			s.Layout = layouts[0]
		}
		for _, l := range layouts {
			if len(l) != len(dims) || s.Layout != "" {
				continue
			}
			if c := l.axis('C'); c < 0 || dims[c] < 0 || dims[c] == Grey.channels() || dims[c] == RGB.channels() {
				s.Layout = l
			}
		}
		if s.Layout == "" {
			return fmt.Errorf("an input of shape %v is no picture: say which axis is which with layout, one of %q", tensor.Shape(dims), layouts)
		}
	}
	if len(dims) != 0 && len(dims) != len(s.Layout) {
		return fmt.Errorf("layout %s for an input of shape %v", s.Layout, tensor.Shape(dims))
	}
	channels := -1
	if c := s.Layout.axis('C'); c < 0 {
		channels = Grey.channels()
	} else if len(dims) != 0 {
		channels = dims[c]
	}
	if s.Color == "" {
		s.Color = RGB
		if channels == Grey.channels() {
			s.Color = Grey
		}
	}
	if channels >= 0 && channels != s.Color.channels() {
		return fmt.Errorf("color %s has %d channels, but the input has %d", s.Color, s.Color.channels(), channels)
	}
	return nil
}

// completeNumbers fills in what becomes of numbers.
func (s *Spec) completeNumbers() error {
	d := types[s.Type]
	if s.Scale == nil {
		for _, v := range append(slices.Clone(s.Mean), s.Std...) {
			if math.Abs(v) > 1 {
				return fmt.Errorf("mean %v and std %v without a scale: say scale: 1 or scale: %s", s.Mean, s.Std, fraction255)
			}
		}
		s.Scale = Values{1}
		if d.IsFloat() {
			s.Scale = Values{1. / 255}
		}
		if d == tensor.Int8 && s.Mean == nil {
			s.Mean = Values{-math.MinInt8}
		}
	}
	if s.Mean == nil {
		s.Mean = Values{0}
	}
	if s.Std == nil {
		s.Std = Values{1}
	}
	return nil
}
