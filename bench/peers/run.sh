#!/bin/sh
# Measures scission against other engines: run.sh -help. The engines are
# installed first if they are not. One in Go that cannot be built is named and
# left out.
set -eu
peers=$(cd "$(dirname "$0")" && pwd)
cmp -s "$peers/setup.sh" "$peers/.venv/setup.sh" || "$peers/setup.sh" >&2
export CGO_ENABLED=0
go -C "$peers" build -buildvcs=auto -o .venv/go/ .
for engine in gomlx onnxgo; do
	go -C "$peers" build -o .venv/go/ "./$engine" || echo "run.sh: $engine cannot be built" >&2
done
exec "$peers/.venv/go/peers" -home "$peers/.venv" -root "$peers/../.." "$@"
