#!/bin/sh
# Usage: generate.sh [PACKAGE...]
# Writes PACKAGE_amd64.s and stubs_amd64.go of the named kernel packages, and PACKAGE_arm64.s and stubs_arm64.go, or
# those of all packages that have generators here.
set -eu
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- $(ls -d */main.go neon/*/main.go | sed 's|^neon/||; s|/main.go||' | sort -u)
for p; do
	for arch in amd64 arm64; do
		case $arch in
		amd64) main=./$p ;;
		arm64) main=./neon/$p ;;
		esac
		if [ -e "$main/main.go" ]; then
			go run "$main" -out "../$p/${p}_$arch.s" -stubs "../$p/stubs_$arch.go" -pkg "$p"
		fi
	done
done
