#!/bin/sh
# Compares the networks of bench/zoo with those of Keras: check.sh [network...]
# Keras is installed first if it is not. Needs Go and Python 3.11 or later.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ ! -x "$here/.venv/bin/python" ]; then
	python3 -m venv "$here/.venv" >&2
	"$here/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade keras jax onnx >&2
fi
CGO_ENABLED=0 go -C "$here/../.." build -o "$here/.venv/scission" ./cmd/scission
export KERAS_BACKEND=jax
exec "$here/.venv/bin/python" "$here/check.py" "$here/.venv/scission" "$@"
