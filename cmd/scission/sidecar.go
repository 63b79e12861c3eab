package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"scission/engine/tensor/picture"
)

const (
	// sidecarSuffix is that of the file beside a model that says how pictures
	// become its inputs, and what its classes are called.
	sidecarSuffix = ".scission.yaml"
	// maxSidecar bounds the bytes of such a file.
	maxSidecar = 1 << 18
)

// sidecar is such a file, with what a flag says before it.
type sidecar struct {
	Preprocess picture.Spec            `yaml:"preprocess"`
	Inputs     map[string]picture.Spec `yaml:"inputs"` // before Preprocess
	Labels     string                  `yaml:"labels"` // a path inside the file's folder

	path   string // "" if there is none
	inline string // what --preprocess says
}

// readSidecar reads the file beside a model, if there is one, or the .yaml file
// that flag names instead. Any other flag is a picture.Spec that goes before the
// file.
func readSidecar(model, flag string) (sidecar, error) {
	var s sidecar
	path := strings.TrimSuffix(model, filepath.Ext(model)) + sidecarSuffix
	named := extension(flag) == ".yaml" || extension(flag) == ".yml"
	if named {
		path = flag
	} else {
		s.inline = flag
	}
	if strings.HasPrefix(model, zooPrefix) && !named {
		return s, nil
	}
	b, err := readBounded(path, maxSidecar)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return s, nil
	}
	if err != nil {
		return sidecar{}, err
	}
	if err := s.parse(b); err != nil {
		return sidecar{}, fmt.Errorf("%w: %s: %w", errUsage, path, err)
	}
	s.path = path
	return s, nil
}

// parse reads the text of a file. Names that it does not know are errors.
func (s *sidecar) parse(b []byte) error {
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(s); err != nil && err != io.EOF { // which is an empty file
		return err
	} else if err == nil && d.Decode(&yaml.Node{}) != io.EOF {
		return errors.New("more than one document")
	}
	if s.Labels != "" && !filepath.IsLocal(s.Labels) {
		return fmt.Errorf("labels %q, want a file in this folder", s.Labels)
	}
	if err := s.Preprocess.Check(); err != nil {
		return err
	}
	for name, spec := range s.Inputs {
		if err := spec.Check(); err != nil {
			return fmt.Errorf("input %q: %w", name, err)
		}
	}
	return nil
}

// spec is how pictures become an input.
func (s *sidecar) spec(input string) (picture.Spec, error) {
	spec, err := s.Preprocess.Parse(s.Inputs[input].String())
	if err != nil {
		return spec, err
	}
	return spec.Parse(s.inline)
}

// labels is the path of the labels' file, or "".
func (s *sidecar) labels() string {
	if s.Labels == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(s.path), s.Labels)
}
