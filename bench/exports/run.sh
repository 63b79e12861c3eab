#!/bin/sh
# Makes exports of common networks if they are not there (setup.sh), and compares
# scission with ONNX Runtime on them as bench/peers does: outputs first, then
# time. Arguments go to bench/peers/run.sh; without a file all exports are taken:
#
#	run.sh                                          everything
#	run.sh -json exports.json -threads 1            one thread, samples as JSON
#	run.sh -rounds 3 .models/resnet18-script.onnx   one export
set -eu
here=$(cd "$(dirname "$0")" && pwd)
"$here/setup.sh" >&2 || echo "run.sh: some exports are missing" >&2
for argument; do
	case $argument in
	*.onnx) exec "$here/../peers/run.sh" -engines onnxruntime -starts 0 "$@" ;;
	esac
done
exec "$here/../peers/run.sh" -engines onnxruntime -starts 0 "$@" "$here"/.models/*.onnx
