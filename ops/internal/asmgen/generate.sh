#!/bin/sh
# Usage: generate.sh [PACKAGE...]
# Writes PACKAGE_amd64.s and stubs_amd64.go of the named kernel packages, and PACKAGE_arm64.s and stubs_arm64.go, or
# those of all packages that have generators here. They are next to this folder, but for plane, which is the transport's.
set -eu
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- $(ls -d */main.go neon/*/main.go | sed 's|^neon/||; s|/main.go||' | sort -u)
for p; do
	dir=../$p
	[ "$p" != plane ] || dir=../../../transport/internal/plane
	mkdir -p "$dir"
	for arch in amd64 arm64; do
		case $arch in
		amd64) main=./$p ;;
		arm64) main=./neon/$p ;;
		esac
		if [ -e "$main/main.go" ]; then
			go run "$main" -out "$dir/${p}_$arch.s" -stubs "$dir/stubs_$arch.go" -pkg "$p"
		fi
	done
done
