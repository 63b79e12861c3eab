#!/usr/bin/env bash
# Renews the figure of the README's section "Which cut, and why" and prints its
# table: MobileNetV2 on a phone-like device, an edge server and a cloud, all of
# them this machine with emulated slowness, linked as presets say.
#
#   bench/report/which.sh
set -eu -o pipefail
cd "$(dirname "$0")/../.."

readonly MODEL=zoo:mobilenetv2 FIGURE=bench/report/testdata/which-cut.svg
work=$(mktemp -d)
workers=()
cleanup() {
	[ ${#workers[@]} -eq 0 ] || kill "${workers[@]}" 2>/dev/null || true
	wait || true
	rm -rf "$work"
}
trap cleanup EXIT

CGO_ENABLED=0 go build -o "$work/scission" ./cmd/scission
hosts=()
# host NAME SLOWDOWN: starts a worker that computes as if so much slower.
host() {
	: >"$work/$1.out"
	"$work/scission" serve --listen 127.0.0.1:0 --name "$1" --store "$work/$1" --threads 1 --emulate-slowdown "$2" >"$work/$1.out" 2>"$work/$1.log" &
	workers+=($!)
	local address=
	while [ -z "$address" ]; do
		kill -0 "${workers[-1]}" || { cat "$work/$1.log" >&2; exit 1; }
		sleep 0.1
		address=$(sed -n 's/.* listening on //p' "$work/$1.out")
	done
	hosts+=(--host "$1=$address")
}
host device 16
host edge 2
host cloud 1

"$work/scission" profile "$MODEL" --name controller --no-local "${hosts[@]}" --runs 30 -o "$work/profiles"
for preset in 3g 4g wired wifi; do
	echo
	echo "== $preset"
	"$work/scission" plan "$MODEL" --profiles "$work/profiles" --network "preset:$preset" --hosts device,edge,cloud --top 3
done
"$work/scission" report "$MODEL" --profiles "$work/profiles" --network preset:wired --hosts device,edge,cloud -o "$work/report" >/dev/null
mkdir -p "$(dirname "$FIGURE")"
cp "$work/report/bandwidth.svg" "$FIGURE"
echo
echo "written to $FIGURE"
