#!/bin/sh
# Fails, with the difference, if a committed generated file is not what its generator writes.
set -eu
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cp -r . "$tmp/asmgen"
for f in */main.go; do
	mkdir "$tmp/$(dirname "$f")"
done
sh "$tmp/asmgen/generate.sh"
status=0
for f in */main.go; do
	p=$(dirname "$f")
	for g in "${p}_amd64.s" stubs_amd64.go; do
		diff -u "../$p/$g" "$tmp/$p/$g" || status=1
	done
done
exit $status
