//go:build armbe || arm64be || m68k || mips || mips64 || mips64p32 || ppc || ppc64 || s390 || s390x || shbe || sparc || sparc64

package tensor

// A Tensor's memory is little-endian by definition; this declaration stops the
// build on a machine whose memory is not.
const _ int = "scission needs a little-endian machine"
