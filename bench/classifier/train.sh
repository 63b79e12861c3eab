#!/bin/sh
# Trains the classifier of testdata/models anew: fashion.onnx, the first thousand
# test images of Fashion-MNIST with their labels (fashion.npz), and PyTorch's own
# answers to them (fashion.answers.npy). Four minutes of one core. It gets
# Debian's package of the data set (31 MB) into .data, which needs no root, and
# PyTorch from PyPI into .venv, if bench/exports has none: 5.4 GB, most of it the
# CUDA libraries that PyPI's PyTorch loads even where there is no GPU. Arguments go
# to train.py.
set -eu
cd "$(dirname "$0")"
package=dataset-fashion-mnist
if [ ! -e .data/done ]; then
	rm -rf .data
	mkdir .data
	if ! (cd .data && apt-get download -q "$package" && dpkg-deb -x "$package"_*.deb . && touch done); then
		echo "train.sh: no Debian package $package; does \"apt-get update\" help?" >&2
		exit 1
	fi
fi
venv=../exports/.venv/torch
if [ ! -e "$venv/done" ]; then
	venv=.venv
	if [ ! -e "$venv/done" ]; then
		python3 -m venv "$venv"
		"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir torch onnx numpy
		touch "$venv/done"
	fi
fi
exec "$venv/bin/python" train.py .data/usr/share/datasets/fashion-mnist ../../testdata/models "$@"
