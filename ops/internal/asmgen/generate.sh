#!/bin/sh
# Usage: generate.sh [PACKAGE...]
# Writes PACKAGE_amd64.s and stubs_amd64.go of the named kernel packages, or of all that have a generator here.
set -eu
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- $(for f in */main.go; do dirname "$f"; done)
for p; do
	go run "./$p" -out "../$p/${p}_amd64.s" -stubs "../$p/stubs_amd64.go" -pkg "$p"
done
