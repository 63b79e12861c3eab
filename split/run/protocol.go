package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"scission/engine/tensor"
	"scission/split"
	"scission/transport"
)

// Kinds of messages. Each request is answered by one message, kindOK or
// kindError, in the order of the requests, and before the next request may be
// sent unless both are runs: of those, as many may be in flight as the answer to
// kindOpen says. kindChunk and kindCancel are not answered, and before its
// answer a request may be told of by kindProgress if it asks for it.
const (
	kindOK       = 1  // meta: what the request's own comment says
	kindError    = 2  // meta: failure
	kindProgress = 3  // meta: progressReport
	kindOpen     = 16 // meta: openRequest; answer: opened
	kindPut      = 17 // meta: putRequest, one uint8 tensor: the manifest; answer: one uint8 tensor: the chunks that are missing, a bitset; then these, then an answer: none
	kindChunk    = 18 // one uint8 tensor: the bytes of the next chunk
	kindRun      = 19 // meta: runRequest or none, inputs; answer: report, results
	kindEcho     = 20 // meta: echoRequest, at most one tensor; answer: report, one uint8 tensor
	kindCancel   = 21 // the run with the message's id need not be finished; it is answered all the same
	kindProfile  = 22 // meta: profileRequest, inputs; answer: one uint8 tensor: a profile as split.Profile.Write has it
	kindStatus   = 40 // answer: Status
)

// greeting is the meta of the transport's hello.
type greeting struct {
	Name     string        `json:"name"`
	Machine  split.Machine `json:"machine"`
	Slowdown float64       `json:"slowdown,omitempty"` // emulated
	Peers    []string      `json:"peers,omitempty"`    // hosts that it may dial
}

// modelRequest names a model of the store as the peer knows it.
type modelRequest struct {
	Model  string                  `json:"model"`  // SHA-256 of the manifest
	Wiring string                  `json:"wiring"` // of the graph
	Shapes map[string]tensor.Shape `json:"shapes,omitempty"`
}

type openRequest struct {
	modelRequest
	Stages []split.Stage `json:"stages"` // a part of the partition; the first is the receiver's
	Codecs []hopCodec    `json:"codecs,omitempty"`
	// Of Deployment.
	Alternatives []string     `json:"alternatives,omitempty"`
	Lossy        bool         `json:"lossy,omitempty"`
	Layers       bool         `json:"layers,omitempty"`
	Tile         *tileRequest `json:"tile,omitempty"`
}

type hopCodec struct {
	Hop   split.Hop `json:"hop"`
	Codec string    `json:"codec"`
}

// opened says how many of the stages the host takes, those included that it
// has handed on.
type opened struct {
	Taken int `json:"taken"`
	// Depth is how many runs may be in flight at once, and Bytes how many bytes
	// their inputs may have together, decoded, if it is more than one run.
	Depth int `json:"depth"`
	Bytes int `json:"bytes"`
}

// runRequest is what a source calls its request.
type runRequest struct {
	ID    uint64 `json:"id,omitempty"`
	Epoch uint64 `json:"epoch,omitempty"`
	// Ahead is how many runs are in flight on the connection when it is sent.
	Ahead int `json:"ahead,omitempty"`
}

type putRequest struct {
	modelRequest
	Segments []split.Segment `json:"segments,omitempty"` // that are to be run; none means the whole
}

type echoRequest struct {
	Reply int `json:"reply"` // bytes that the answer has
}

// profileRequest is what ProfileOptions say, nothing of which is left open.
type profileRequest struct {
	modelRequest
	Host      string        `json:"host"` // as the peer calls the receiver
	Warmup    int           `json:"warmup"`
	Runs      int           `json:"runs"`
	MaxWidth  int           `json:"max_width"`
	Positions []int         `json:"positions,omitempty"`
	Codecs    []string      `json:"codecs"`
	CodecRuns int           `json:"codec_runs"`
	CutRuns   int           `json:"cut_runs"`
	Budget    time.Duration `json:"budget_ns,omitempty"`
	Progress  bool          `json:"progress,omitempty"` // tell it
}

type progressReport struct {
	Done int `json:"done"`
	Of   int `json:"of"`
}

// maxTook bounds a time that a peer reports, so that sums do not overflow.
const maxTook = 30 * 24 * time.Hour

// impossible says that no host can have measured d.
func impossible(d time.Duration) bool { return d < 0 || d > maxTook }

// check refuses times that a host cannot have measured.
func (r report) check() error {
	for _, d := range []time.Duration{r.Transfer, r.Decode, r.Held, r.Encode} {
		if impossible(d) {
			return fmt.Errorf("report has a time of %v, want 0 to %v", d, maxTook)
		}
	}
	return nil
}

// failure is an error on its way to the peer: a code for programs and a text
// for people that has no paths of the host in it.
type failure struct {
	Code string `json:"code"`
	Text string `json:"text"`
	Host string `json:"host,omitempty"` // that failed, if it is another one: see Culprit
}

// codes are the errors that keep their identity from host to host.
var codes = map[string]error{
	"no_model": ErrNoModel, "busy": ErrBusy, "unknown_host": ErrUnknownHost, "lossy": ErrLossy, "forbidden": ErrForbidden,
	"broken": ErrBroken, "draining": ErrDraining,
}

func failureOf(err error) failure {
	f := failure{"failed", err.Error(), Culprit(err)}
	for code, sentinel := range codes {
		if errors.Is(err, sentinel) {
			f.Code = code
		}
	}
	return f
}

// remoteError is a failure of another host.
type remoteError struct {
	host string
	failure
}

func (e remoteError) Error() string { return fmt.Sprintf("run: host %s: %s", e.host, e.Text) }

func (e remoteError) Is(target error) bool {
	return target == ErrRemote || target == codes[e.Code] && target != nil
}

// maxTextError bounds the text of an error that is sent, and of a peer's that is shown.
const maxTextError = 4096

func encodeMeta(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the types above have nothing that JSON cannot hold
	}
	return b
}

func decodeMeta(m *transport.Message, v any) error {
	if err := json.Unmarshal(m.Meta, v); err != nil {
		return fmt.Errorf("run: message of kind %d: %w", m.Kind, err)
	}
	return nil
}

func codecMap(l []hopCodec) map[split.Hop]string {
	m := map[split.Hop]string{}
	for _, c := range l {
		m[c.Hop] = c.Codec
	}
	return m
}

func codecList(m map[split.Hop]string) []hopCodec {
	var l []hopCodec
	for hop, codec := range m {
		l = append(l, hopCodec{hop, codec})
	}
	return l
}

// codecFor is the codec of a hop.
func (d Deployment) codecFor(h split.Hop) (transport.Codec, error) {
	name, ok := d.Codecs[h]
	if !ok {
		return transport.Raw, nil
	}
	return d.codec(h, name)
}

// codec is the codec of that name, if it may be used on a hop.
func (d Deployment) codec(h split.Hop, name string) (transport.Codec, error) {
	c, err := transport.CodecByName(name)
	if err != nil {
		return nil, fmt.Errorf("run: hop %v: %w", h, err)
	}
	if !c.Lossless() && !d.Lossy {
		return nil, fmt.Errorf("run: hop %v: %w: %s changes what it sends", h, ErrLossy, name)
	}
	return c, nil
}

// accepted lists the codecs that a host takes.
func accepted(lossy bool) (ids []uint8) {
	for _, c := range transport.Codecs() {
		if lossy || c.Lossless() {
			ids = append(ids, c.ID())
		}
	}
	return ids
}
