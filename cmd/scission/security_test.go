package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"scission/split/run"
	"scission/transport/keys"
)

// authority makes one in a folder that is the user's configuration from now on.
func authority(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"XDG_CONFIG_HOME", "HOME", "AppData", "home"} {
		t.Setenv(name, dir)
	}
	t.Setenv(keysVariable, "")
	want(t, exitOK, "keys", "init")
	return dir
}

// hostKeys makes the file of a host.
func hostKeys(t *testing.T, name, roles string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".pem")
	want(t, exitOK, "keys", "issue", name, "--role", roles, "-o", path)
	return path
}

// Two machines as the help says, over loopback with keys that are asked for.
func TestASplitRunWithKeysIsTheUnsplitOne(t *testing.T) {
	authority(t)
	edge, device := hostKeys(t, "edge", "serve"), hostKeys(t, "device", "run,upload")
	addr := startWorker(t, "edge", "--keys", edge)
	stages := "device:0-17,edge@" + addr + ":18-end"
	out, _ := want(t, exitOK, "exec", "zoo:mobilenetv2", "--stages", stages, "--input", "random:1", "--check", "--keys", device, "--json")
	var r execReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Identical == nil || !*r.Identical {
		t.Errorf("identical %v, error %v", r.Identical, err)
	}
	t.Setenv(keysVariable, device)
	want(t, exitOK, "link", addr, "--at-least", "1ms")
	want(t, exitOK, "top", addr, "--once")
	t.Setenv(keysVariable, "")
	for says, args := range map[string][]string{
		"the peer speaks TLS":                            {"link", addr},
		`that of "edge", want "cloud"`:                   {"link", "cloud=" + addr, "--keys", device},
		"the peer refused this side's":                   {"link", addr, "--keys", foreignKeys(t)},
		`may do "upload" here, not "run"`:                {"exec", "zoo:mobilenetv2", "--stages", stages, "--input", "random:1", "--keys", hostKeys(t, "device", "upload")},
		`"device" may do "run" here, not "upload"`:       {"exec", "zoo:vgg16", "--stages", "device:0-2,edge@" + addr + ":3-end", "--input", "random:1", "--keys", hostKeys(t, "device", "run")},
		"no such file":                                   {"link", addr, "--keys", filepath.Join(t.TempDir(), "none.pem")},
		"usage: give either --keys or --insecure":        {"link", addr, "--keys", device, "--insecure"},
		"run: host 192.0.2.1:1: transport: dial tcp 192": {"link", "192.0.2.1:1"},
	} {
		code, _, stderr := cli(args...)
		if code == exitOK || !strings.Contains(stderr, says) {
			t.Errorf("%v: exit code %d, says %q, want %q", args, code, stderr, says)
		}
	}
}

// foreignKeys is a host's file of an authority that nobody knows, which itself
// believes the one of the configuration.
func foreignKeys(t *testing.T) string {
	t.Helper()
	foreign, err := keys.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	id, err := foreign.Issue("device", keys.All, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "foreign.pem")
	if err := id.Write(path); err != nil {
		t.Fatal(err)
	}
	mine, err := os.ReadFile(hostKeys(t, "device", "run"))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const end = "-----END CERTIFICATE-----\n"
	root := mine[bytes.Index(mine, []byte(end))+len(end):]
	if err := os.WriteFile(path, append(theirs, root...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAWorkerAllowsWhatItsConfigurationSays(t *testing.T) {
	authority(t)
	edge, device := hostKeys(t, "edge", "serve"), hostKeys(t, "device", "run,upload,admin")
	config := filepath.Join(t.TempDir(), "edge.yaml")
	if err := os.WriteFile(config, []byte("limits:\n  connections: 2\n  request-time: 30s\nallow:\n  device: [upload, admin]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := startWorker(t, "edge", "--keys", edge, "--config", config, "--limit", "connections=7", "--allow", "other=run")
	if code, _, stderr := cli("link", addr, "--keys", device); code != exitFailure || !strings.Contains(stderr, `may do "upload,admin" here, not "run"`) {
		t.Errorf("exit code %d, says %q", code, stderr)
	}
	out, _ := want(t, exitOK, "top", "edge="+addr, "--once", "--json", "--keys", device)
	var r struct {
		Workers []struct {
			run.Status
			Address string  `json:"address"`
			Share   float64 `json:"cpu_share"`
		} `json:"workers"`
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Workers) != 1 {
		t.Fatalf("error %v, says %s", err, out)
	}
	if w := r.Workers[0]; w.Name != "edge" || w.Address != addr || w.Max != 7 || w.Up <= 0 || w.Memory <= 0 {
		t.Errorf("got %+v", w)
	}
	if _, stderr := want(t, exitFailure, "link", addr, "--keys", hostKeys(t, "stranger", "run")); !strings.Contains(stderr, "forbidden") {
		t.Errorf("says %q", stderr)
	}
}

func TestWorkersRefuseWrongKeysAndLimits(t *testing.T) {
	authority(t)
	config := func(text string) string {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	edge := hostKeys(t, "edge", "serve")
	for says, args := range map[string][]string{
		"want those of edge":               {"--keys", hostKeys(t, "cloud", "serve")},
		"who may serve":                    {"--keys", hostKeys(t, "edge", "run")},
		"--allow is for connections with":  {"--allow", "x=run"},
		`role "root"`:                      {"--keys", edge, "--allow", "x=root"},
		`name "a b"`:                       {"--keys", edge, "--allow", "a b=run"},
		`--allow "x", want NAME=ROLES`:     {"--keys", edge, "--allow", "x"},
		`limit "speed" is not known`:       {"--limit", "speed=1"},
		`--limit "speed", want NAME=VALUE`: {"--limit", "speed"},
		"limit handshake-time=5":           {"--limit", "handshake-time=5"},
		"limit idle-time=-1s":              {"--limit", "idle-time=-1s"},
		"limit tensor=0, want":             {"--limit", "tensor=0"},
		"limit connections=many":           {"--max-connections", "many"},
		"field limit not found":            {"--config", config("limit:\n  connections: 1\n")},
		`"connection" is not known`:        {"--config", config("limits:\n  connection: 1\n")},
		"already defined":                  {"--config", config("limits:\n  tensor: 1\n  tensor: 2\n")},
		"more than one document":           {"--config", config("limits: {}\n---\nlimits: {}\n")},
		"--log-format":                     {"--log-format", "xml"},
		"--log-level":                      {"--log-level", "loud"},
	} {
		_, stderr := want(t, exitUsage, append([]string{"serve", "--listen", "127.0.0.1:0", "--name", "edge", "--store", t.TempDir()}, args...)...)
		if !strings.Contains(stderr, says) {
			t.Errorf("%v: says %q, want %q", args, stderr, says)
		}
	}
}

func TestKeysAreNotReplacedAndSayWhoseTheyAre(t *testing.T) {
	dir := authority(t)
	if _, stderr := want(t, exitFailure, "keys", "init"); !strings.Contains(stderr, "not replaced") {
		t.Errorf("says %q", stderr)
	}
	want(t, exitOK, "keys", "issue", "device", "--role", "run", "--days", "3")
	if _, stderr := want(t, exitFailure, "keys", "issue", "device"); !strings.Contains(stderr, "not replaced") {
		t.Errorf("says %q", stderr)
	}
	out, _ := want(t, exitOK, "keys", "show", "--json")
	var r struct{ Keys []keysReport }
	if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Keys) != 2 {
		t.Fatalf("error %v, says %s", err, out)
	}
	host := r.Keys[1]
	if r.Keys[0].Name != "" || host.Name != "device" || host.Roles != "run" || host.Authority != r.Keys[0].Authority || time.Until(host.NotAfter).Round(day) != 3*day {
		t.Errorf("got %+v", r.Keys)
	}
	if !strings.HasPrefix(host.File, dir) {
		t.Errorf("%s is not in %s", host.File, dir)
	}
	if runtime.GOOS != "windows" {
		for _, k := range r.Keys {
			if st, err := os.Stat(k.File); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("%s: mode %v, error %v", k.File, st.Mode(), err)
			}
		}
	}
	for says, args := range map[string]string{
		"name":            "issue a/b",
		"role":            "issue x --role king",
		"--days 0":        "issue x --days 0",
		"--days 3651":     "issue x --days 3651",
		"want keys init":  "",
		"accepts 1 arg(s": "issue",
	} {
		if _, stderr := want(t, exitUsage, append([]string{"keys"}, strings.Fields(args)...)...); !strings.Contains(stderr, says) {
			t.Errorf("keys %s: says %q, want %q", args, stderr, says)
		}
	}
}

func TestWhoHasNoKeysIsToldHowToMakeThem(t *testing.T) {
	t.Setenv(keysVariable, "")
	for _, variable := range []string{"XDG_CONFIG_HOME", "HOME", "AppData"} {
		t.Setenv(variable, t.TempDir())
	}
	for says, args := range map[string]string{
		"scission keys init":   "keys issue edge",
		"scission keys --help": "serve --listen 192.0.2.1:0 --name edge --store " + t.TempDir(),
		"--insecure":           "top 192.0.2.1:7001 --once",
		"plaintext off the":    "exec " + fashionModel + " --stages edge@192.0.2.1:7001:0-end --input random:1",
	} {
		if _, stderr := want(t, exitFailure, strings.Fields(args)...); !strings.Contains(stderr, says) {
			t.Errorf("%s: says %q, want %q", args, stderr, says)
		}
	}
}

// systemd knows every line of the unit, and the program every flag.
func TestTheUnitOfSystemdIsValid(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("systemd", "scission.service"))
	if err != nil {
		t.Fatal(err)
	}
	const program = "/usr/local/bin/scission"
	_, line, _ := strings.Cut(string(b), "ExecStart="+program+" ")
	line, _, found := strings.Cut(line, "\n")
	if !found {
		t.Fatal("the unit starts no scission")
	}
	help, _ := want(t, exitOK, "serve", "--help")
	for word := range strings.FieldsSeq(line) {
		if strings.HasPrefix(word, "--") && !strings.Contains(help, word+" ") {
			t.Errorf("serve has no flag %s", word)
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here")
	}
	path := filepath.Join(t.TempDir(), "scission.service")
	if err := os.WriteFile(path, bytes.ReplaceAll(b, []byte(program), []byte(os.Args[0])), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
