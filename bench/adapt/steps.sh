#!/usr/bin/env bash
# Adaptation over a link that changes, on this machine: a worker process, real
# sockets on which the link is emulated, and a device eight times slower than the
# worker, which is emulated, too. Fails if a request fails, if its outputs are not
# those of the unsplit run, or if there are more switches than the link asks for:
#
#   steps  100 to 2 to 100 Mbit/s, 10 s each: at most two, each within two seconds
#   noise  86 Mbit/s and up to a fifth more or less, for a minute: none
#
#   bench/adapt/steps.sh [-t TIME of each step] [-n TIME of noise] [MODEL]
#
# Needs a machine that does nothing else.
set -eu -o pipefail

step=10 noise=60s
while getopts t:n: flag; do
	case $flag in
	t) step=$OPTARG ;;
	n) noise=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
model=${1:-zoo:mobilenetv2}
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
workers=()
cleanup() {
	[ ${#workers[@]} -eq 0 ] || kill "${workers[@]}" 2>/dev/null || true
	wait || true
	rm -rf "$work"
}
trap cleanup EXIT
(cd "$root" && CGO_ENABLED=0 go build -o "$work/scission" ./cmd/scission)
cd "$work"

# serve NAME FLAGS...: starts a worker, waits until it listens, and sets address.
serve() {
	local name=$1
	shift
	./scission serve --listen 127.0.0.1:0 --name "$name" --store "store-$name" --threads 1 "$@" >"$name.out" 2>"$name.log" &
	workers+=($!)
	for _ in $(seq 100); do
		address=$(sed -n 's/.* listening on //p' "$name.out")
		[ -z "$address" ] || return 0
		sleep 0.1
	done
	cat "$name.log" >&2
	exit 1
}
serve device --emulate-slowdown 8
device=$address
serve edge
edge=$address
./scission profile "$model" --no-local --name here --host "device=$device" --host "edge=$edge" --threads 1 --runs 10 -o profiles >/dev/null

# network MBIT and trace MBIT AT...: the link between the two.
link() { printf '"latency": "5ms", "bandwidth": "%sMbit/s"' "$1"; }
network() {
	printf '{"version": "scission-network/1", "emulated": "shaped", "links": [{"between": ["device", "edge"], %s}]}' "$(link "$1")" >network.json
}
cat >steps.json <<END
{"version": "scission-trace/1", "note": "100 to 2 to 100 Mbit/s", "emulated": "steps of $step s", "duration": "$((3 * step))s", "links": [
  {"between": ["device", "edge"], "points": [
    {"at": "0s", $(link 100)}, {"at": "${step}s", $(link 2)}, {"at": "$((2 * step))s", $(link 100)}]}]}
END

# adapt TRACE TIME: runs, shows, and sets switches and late, the seconds after the
# steps at which they were decided.
adapt() {
	echo "== $1 for $2"
	./scission exec "$model" --adapt --profiles profiles --network network.json --host "edge=$edge" --input random:1 \
		--threads 1 --emulate-slowdown 8 --check --emulate-trace "$1" --duration "$2" | tee out
	switches=$(sed -n 's/^\([0-9]*\) switches.*/\1/p' out)
}
status=0
network 100
adapt steps.json "$((3 * step))s"
if [ "$switches" -ne 2 ]; then
	echo "$switches switches, want 2" >&2
	status=1
fi
sed -n 's/^ *\([0-9.]*\) s  switch to.*/\1/p' out | awk -v step="$step" 'NR > 1 {
	late = $1 - (NR - 1) * step
	printf "switch %d was decided %.2f s after the step\n", NR - 1, late
	if (late < 0 || late > 2) bad = 1
} END { exit bad }' || status=1
network 86
adapt synthetic:noise "$noise"
if [ "$switches" -ne 0 ]; then
	echo "$switches switches, want none" >&2
	status=1
fi
exit $status
