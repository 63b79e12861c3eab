"""Writes the node cases of the installed onnx package, of its newest opset, too.

    nodecases.py DIR && scission verify DIR

DIR gets a folder for each case in the layout of ONNX's backend tests. It needs onnx
and numpy alone, for instance those of bench/peers/.venv.
"""

import pathlib
import sys
import warnings

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases


def encoded(value, info):
    """value as the protocol buffer that its type asks for."""
    if isinstance(value, onnx.TensorProto):
        return value
    kind = info.type.WhichOneof("value")
    if kind == "sequence_type":
        return numpy_helper.from_list(value, info.name)
    if kind == "optional_type":
        return numpy_helper.from_optional(value, info.name)
    if kind == "map_type":
        return numpy_helper.from_dict(value, info.name)
    return numpy_helper.from_array(np.asarray(value), info.name)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    warnings.filterwarnings("ignore")  # of NumPy, in cases that overflow on purpose
    cases = [c for c in collect_testcases(None) if c.model is not None]
    for case in cases:
        folder = pathlib.Path(sys.argv[1], case.name)
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(case.model, folder / "model.onnx")
        graph = case.model.graph
        for i, (inputs, outputs) in enumerate(case.data_sets):
            data = folder / f"test_data_set_{i}"
            data.mkdir(exist_ok=True)
            for name, values, infos in ("input", inputs, graph.input), ("output", outputs, graph.output):
                for j, (value, info) in enumerate(zip(values, infos)):
                    (data / f"{name}_{j}.pb").write_bytes(encoded(value, info).SerializeToString())
    print(f"{len(cases)} cases of onnx {onnx.__version__}, opset {onnx.defs.onnx_opset_version()}")


main()
