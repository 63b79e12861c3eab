#!/bin/sh
# Trains the classifier of testdata/models anew: fashion.onnx, the first thousand
# test images of Fashion-MNIST with their labels (fashion.npz), and PyTorch's own
# answers to them (fashion.answers.npy). Some minutes on two cores. It gets
# Debian's package of the data set into .data, which needs no root, and PyTorch
# from PyPI into .venv, if bench/exports has none. Arguments go to train.py.
set -eu
cd "$(dirname "$0")"
package=dataset-fashion-mnist
if [ ! -e .data/done ]; then
	rm -rf .data
	mkdir .data
	(cd .data && apt-get download -q "$package" && dpkg-deb -x "$package"_*.deb . && touch done)
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
