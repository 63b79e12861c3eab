#!/bin/sh
# Makes bench/exports/.venv with PyTorch, torchvision, timm, TensorFlow, Keras
# and tf2onnx, each with its own exporters' needs, and writes their exports into
# bench/exports/.models. Needs Python 3.11 or later and some 8 GB of disk, most of
# it for the CUDA libraries that PyPI's PyTorch loads even where there is no GPU.
# What is there already is left as it is.
set -u
cd "$(dirname "$0")"
mkdir -p .venv .models

# environment NAME PIP_ARGUMENT...
environment() {
	name=$1
	shift
	[ -e ".venv/$name/done" ] && return
	python3 -m venv ".venv/$name" || return
	".venv/$name/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir "$@" &&
		touch ".venv/$name/done"
}

status=0
if environment torch torch torchvision timm onnx onnxscript; then
	.venv/torch/bin/python torch_exports.py .models || status=1
else
	echo "setup.sh: PyTorch cannot be installed" >&2
	status=1
fi
if environment keras tensorflow-cpu tf2onnx onnx; then
	.venv/keras/bin/python keras_exports.py .models || status=1
else
	echo "setup.sh: TensorFlow cannot be installed" >&2
	status=1
fi
exit $status
