#!/bin/sh
# Makes bench/peers/.venv with the newest releases of the engines that scission
# is compared with: about 0.8 GB. Run it again to update them. Needs Python 3.11
# or later. An engine that cannot be installed is named and left out.
set -u
cd "$(dirname "$0")"
python3 -m venv .venv || exit
python=.venv/bin/python

# install ENGINE PIP_ARGUMENT...
install() {
	engine=$1
	shift
	$python -m pip install --quiet --disable-pip-version-check --upgrade "$@" || echo "setup.sh: $engine cannot be installed" >&2
}

install "all Python engines" numpy
install onnxruntime onnxruntime
install openvino openvino
install ncnn ncnn onnx
# Only pnnx's Python functions need its dependency torch, which has gigabytes.
install ncnn --no-deps pnnx
install mnn MNN
install litert ai-edge-litert onnx psutil tqdm ml-dtypes flatbuffers
# Converting without TensorFlow needs only the packages above, in any version, and Python 3.11.
install litert --no-deps --ignore-requires-python onnx2tf sng4onnx
install tract tract

$python -m pip list --disable-pip-version-check
cp setup.sh .venv/ # run.sh looks whether it has changed since
