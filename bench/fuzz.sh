#!/usr/bin/env bash
# Fuzzes every fuzz target of the packages that match a pattern, one after the
# other, for the same time each, on one CPU and with the lowest priority.
#
#   bench/fuzz.sh 60m                      all targets, an hour in total
#   bench/fuzz.sh 60m './onnximport/...'   those of the import path
#
# Inputs are not made smaller: on a busy machine Go takes a slow minimisation for a
# crash. A failing input is left in testdata/fuzz of its package: mend what it shows
# and commit it as a seed.
set -euo pipefail
cd "$(dirname "$0")/.."
total=${1:?usage: bench/fuzz.sh DURATION [PACKAGE...]}
shift
[ $# -gt 0 ] || set -- ./...
case $total in
*h) seconds=$((${total%h} * 3600)) ;;
*m) seconds=$((${total%m} * 60)) ;;
*s) seconds=${total%s} ;;
*) echo "bench/fuzz.sh: duration $total, want for instance 30s, 60m or 2h" >&2; exit 2 ;;
esac
targets=()
while read -r package; do
	while read -r name; do
		targets+=("$package $name")
	done < <(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true)
done < <(go list "$@")
[ ${#targets[@]} -gt 0 ] || { echo "bench/fuzz.sh: no fuzz targets in $*" >&2; exit 2; }
each=$((seconds / ${#targets[@]}))
[ "$each" -gt 0 ] || { echo "bench/fuzz.sh: $total for ${#targets[@]} targets, want at least a second each" >&2; exit 2; }
failed=0
for target in "${targets[@]}"; do
	read -r package name <<<"$target"
	echo "== $package $name: $each s"
	nice -n 19 go test -run '^$' -fuzz "^$name\$" -fuzztime "${each}s" -fuzzminimizetime 0s -parallel 1 "$package" | tail -n 12 || failed=1
done
exit $failed
