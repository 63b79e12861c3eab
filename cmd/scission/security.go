package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"scission/transport"
	"scission/transport/keys"
)

// keysVariable is the environment variable in place of --keys.
const keysVariable = "SCISSION_KEYS"

// Files of keys in this program's folder of the user's configuration.
const (
	configFolder  = "scission"
	hostFile      = "host.pem"
	authorityFile = "authority.pem"
)

// configFile is a file of this program in the user's configuration.
func configFile(name string) (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, configFolder, name), nil
}

// security is the flags that say how connections are protected.
type security struct {
	keys     string
	insecure bool
}

func (s *security) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.keys, "keys", "", "`FILE` of \"scission keys issue\" for mutual TLS; the default is $"+keysVariable+
		" or, except on loopback, "+configFolder+"/"+hostFile+" in the user's configuration")
	c.Flags().BoolVar(&s.insecure, "insecure", false, "allow plaintext connections that leave this machine")
}

// options is how to connect and to listen. Keys that were not asked for protect
// what leaves this machine, and leave loopback as it is without any.
func (s *security) options() (transport.Options, error) {
	file := s.keys
	if file == "" {
		file = os.Getenv(keysVariable)
	}
	if s.insecure {
		if s.keys != "" {
			return transport.Options{}, usagef("give either --keys or --insecure")
		}
		return transport.Options{Insecure: true}, nil
	}
	if file != "" {
		id, err := keys.Read(file)
		return transport.Options{Keys: id}, err
	}
	file, err := configFile(hostFile)
	if err != nil {
		return transport.Options{}, nil // a host without a user's configuration has no keys there
	}
	id, err := keys.Read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return transport.Options{}, nil
	}
	return transport.Options{Keys: id, PlainLoopback: true}, err
}
