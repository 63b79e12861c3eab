#!/bin/sh
# Measures scission against other engines: run.sh [flags] [network...]
# run.sh -help lists the flags. The engines are installed first if they are not.
set -eu
peers=$(cd "$(dirname "$0")" && pwd)
[ -x "$peers/.venv/bin/python" ] || "$peers/setup.sh" >&2
CGO_ENABLED=0 go -C "$peers" build -buildvcs=auto -o .venv/peers .
exec "$peers/.venv/peers" -python "$peers/.venv/bin/python" "$@"
