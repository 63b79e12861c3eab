#!/bin/sh
# Fails, with the difference, if a committed generated file is not what its generator writes.
set -eu
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cp -r . "$tmp/asmgen"
for f in */main.go neon/*/main.go; do
	mkdir -p "$tmp/$(basename "$(dirname "$f")")"
done
sh "$tmp/asmgen/generate.sh"
status=0
for p in "$tmp"/*/; do
	p=$(basename "$p")
	[ "$p" = asmgen ] && continue
	for g in "$tmp/$p"/*; do
		diff -u "../$p/$(basename "$g")" "$g" || status=1
	done
done
exit $status
