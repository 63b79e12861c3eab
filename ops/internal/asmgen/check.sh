#!/bin/sh
# Fails, with the difference, if a committed generated file is not what its generator writes.
set -eu
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/ops/internal"
cp -r . "$tmp/ops/internal/asmgen"
sh "$tmp/ops/internal/asmgen/generate.sh"
status=0
for g in $(cd "$tmp" && find . -type f ! -path './ops/internal/asmgen/*'); do
	diff -u "../../../$g" "$tmp/$g" || status=1
done
exit $status
