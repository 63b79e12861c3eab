#!/bin/sh
# Usage: emulate.sh [PACKAGE...]
# Runs the AVX-512 tests of the named kernel packages (conv and dwconv if none is named) on a processor that Bochs
# emulates, for machines that have none: a Linux kernel boots with the test binaries as its only files. It shows that
# results are right and nothing about speed. It needs Debian 12 on amd64 and root, and takes some tens of minutes.
set -eu
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- conv dwconv
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -qq --no-install-recommends bochs bochs-term bochsbios vgabios grub-pc-bin grub-common xorriso mtools cpio

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/image" "$tmp/iso/boot/grub" "$tmp/deb"
export CGO_ENABLED=0 GOOS=linux GOARCH=amd64
go build -o "$tmp/image/init" ./emulate
for p; do
	(cd "../$p" && go test -c -o "$tmp/image/$p.test" .)
done
kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p')
(cd "$tmp/deb" && apt-get download -qq "$kernel" && dpkg-deb -x ./*.deb .)
cp "$tmp"/deb/boot/vmlinuz-* "$tmp/iso/boot/vmlinuz"
(cd "$tmp/image" && find . | cpio --quiet -o -H newc | gzip) >"$tmp/iso/boot/initrd"
# 321 and 323 are XSAVEC and XSAVES, whose sizes Bochs states so that Linux would give up all of AVX.
cat >"$tmp/iso/boot/grub/grub.cfg" <<'END'
set timeout=0
menuentry linux {
	linux /boot/vmlinuz console=ttyS0 nokaslr mitigations=off nosmp quiet clearcpuid=321,323
	initrd /boot/initrd
}
END
grub-mkrescue -o "$tmp/boot.iso" "$tmp/iso" 2>"$tmp/grub.log"
cat >"$tmp/bochsrc" <<END
display_library: term
sound: driver=dummy, waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model=corei7_skylake_x, count=1, ips=100000000
megs: 512
ata0-master: type=cdrom, path=$tmp/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$tmp/serial
log: $tmp/log
END

# Debian's Bochs has a debugger, which must be told to go on, and wants a terminal.
echo c >"$tmp/go"
touch "$tmp/serial"
mkfifo "$tmp/keys"
sleep 86400 >"$tmp/keys" &
keys=$!
TERM=xterm script -qfc "echo \$\$ >$tmp/pid; stty rows 40 cols 100; exec bochs-bin -q -f $tmp/bochsrc -rc $tmp/go" /dev/null \
	<"$tmp/keys" >"$tmp/screen" 2>&1 &
machine=$!
while sleep 5; do
	if [ -z "${drain:-}" ]; then # it stops when nobody reads what it draws
		screen=$(sed -n 's/.*connected to screen "\([^"]*\)".*/\1/p' "$tmp/screen")
		[ -z "$screen" ] || { cat "$screen" >/dev/null & drain=$!; }
	fi
	if grep -q 'EMULATION ENDS' "$tmp/serial" || ! kill -0 $machine 2>/dev/null; then
		break
	fi
done
kill "$keys" ${drain:-} 2>/dev/null || true
kill -KILL "$(cat "$tmp/pid")" 2>/dev/null || true # its debugger takes the gentler signals
grep -a -E '^ *(---|===|EMUL|[a-z_]+_test.go)|panic' "$tmp/serial"
grep -q 'EMULATED ok' "$tmp/serial" && ! grep -q 'EMULATED FAIL' "$tmp/serial" && grep -q 'EMULATION ENDS' "$tmp/serial"
