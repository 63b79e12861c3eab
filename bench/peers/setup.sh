#!/bin/sh
# Makes bench/peers/.venv with the newest releases of the engines that scission
# is compared with. Run it again to update them. Needs Python 3.10 or later.
set -eu
cd "$(dirname "$0")"
python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade numpy onnxruntime
.venv/bin/python -m pip list --disable-pip-version-check
