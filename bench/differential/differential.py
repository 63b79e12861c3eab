"""Compares scission with ONNX Runtime on random models of one operator each.

    differential.py SERVER [--cases 10000] [--seed 1] [--only Conv,MatMul] [--keep DIR] [--wide]

SERVER is this folder's Go program, built. Every case draws an operator, an opset
at which the operator exists, element types that the specification allows, shapes,
attributes and which optional inputs are there; each input is either a graph input
or a constant. What ONNX Runtime does not run is not compared; with --wide, half of the
cases have any element type that the specification allows, and what ONNX Runtime does
not run, or answers differently, is compared with ONNX's reference evaluator. Prints
how many cases of each operator were compared, and each kind of difference; --keep
writes the models that differ, in the layout of ONNX's test cases.
"""

import argparse
import base64
import collections
import json
import os
import re
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import operators
from draw import Draw, retype

FIRST, LAST = 7, 28  # opsets drawn from


class Server:
    """The Go program; it is started again if it dies."""

    def __init__(self, path):
        self.path, self.process = path, None

    def run(self, model, inputs):
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen([self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        question = {
            "model": base64.b64encode(model).decode(),
            "inputs": [base64.b64encode(numpy_helper.from_array(x).SerializeToString()).decode() for x in inputs],
        }
        try:
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            self.process.wait()
            return {"error": "the process died"}
        return json.loads(line)


def array(output):
    """The array of one of the server's outputs."""
    dtype = helper.tensor_dtype_to_np_dtype(output["dtype"])
    return np.frombuffer(base64.b64decode(output.get("data") or ""), dtype).reshape(output["shape"])


def reference(model, inputs):
    """ONNX Runtime's outputs, without its optimisations."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs)))


def specified(model, inputs):
    """The outputs of ONNX's reference evaluator."""
    session = ReferenceEvaluator(model)
    with np.errstate(all="ignore"):
        return [np.asarray(y) for y in session.run(None, dict(zip(session.input_names, inputs)))]


TOLERANCES = {"float32": (1e-3, 1e-5), "float64": (1e-5, 1e-8), "float16": (1e-2, 2e-3), "bfloat16": (4e-2, 1e-2)}


def difference(want, got, steps, loose):
    """Says how the outputs differ, or nothing. Integers may differ by steps, numbers loose times as much as usual."""
    if want.dtype != got.dtype:
        return f"type is {got.dtype}, want {want.dtype}"
    if want.shape != got.shape:
        return f"shape is {got.shape}, want {want.shape}"
    if str(want.dtype) in TOLERANCES:
        rtol, atol = TOLERANCES[str(want.dtype)]
        w, g = want.astype(np.float64), got.astype(np.float64)
        with np.errstate(all="ignore"):
            same = np.isclose(g, w, rtol=loose * rtol, atol=loose * atol, equal_nan=True)
    else:
        w, g = want, got
        same = w == g
        if steps and w.dtype.kind in "iu":
            same = np.abs(w.astype(np.int64) - g.astype(np.int64)) <= steps
    if same.all():
        return None
    i = np.unravel_index(np.argmin(same), same.shape)
    return f"{(~same).sum()} of {same.size} values differ: at {i} is {g[i]}, want {w[i]}"


def build(case, opset, draw):
    """The model of a case, and the arrays of its graph inputs."""
    names, inputs, constants, arrays = [], [], [], []
    for i, x in enumerate(case.inputs):
        if x is None:
            names.append("")
            continue
        name = f"x{i}"
        names.append(name)
        if i in case.constant or i not in case.variable and draw.chance(0.3):
            constants.append(numpy_helper.from_array(x, name))
        else:
            dtype = helper.np_dtype_to_tensor_dtype(x.dtype)
            inputs.append(helper.make_tensor_value_info(name, dtype, x.shape))
            arrays.append(x)
    while names and names[-1] == "":
        names.pop()
    present = case.outputs if isinstance(case.outputs, tuple) else (1,) * case.outputs
    outputs = [f"y{i}" if there else "" for i, there in enumerate(present)]
    attributes = {k: v for k, v in case.attributes.items() if v is not None}
    node = helper.make_node(case.name, names, outputs, domain=case.domain, **attributes)
    graph = helper.make_graph([node], "case", inputs, [onnx.ValueInfoProto(name=n) for n in outputs if n], constants)
    imports = [helper.make_opsetid("", opset)]
    if case.domain:
        imports.append(helper.make_opsetid(case.domain, 1))
    return helper.make_model(graph, opset_imports=imports, ir_version=10), arrays


ORACLES = {"ONNX Runtime": reference, "the reference": specified}


def judge(model, inputs, got, case, oracles):
    """Says how an answer differs from that of every oracle that runs the model, the outcome, and what an oracle gave."""
    problem = want = None
    for name in oracles:
        try:
            want = ORACLES[name](model, inputs)
        except Exception as refused:  # ONNX Runtime has one class for each of its statuses
            if os.environ.get("REFUSED"):
                print(name, str(refused).replace("\n", " ")[:300])
            continue
        if got.get("error"):
            return got["error"], "different", want
        outputs = [array(o) for o in got["outputs"]]
        found = next(filter(None, (difference(w, g, case.steps, case.loose) for w, g in zip(want, outputs, strict=True))), None)
        if found is None:
            return None, f"as {name}", want
        problem = f"{problem}; {name}: {found}" if problem else f"{name}: {found}"
    if problem is None:
        return None, "not run by them" if got.get("error") is None else "not run", None
    return problem, "different", want


def keep(root, name, model, inputs, outputs):
    where = os.path.join(root, name, "test_data_set_0")
    os.makedirs(where, exist_ok=True)
    onnx.save(model, os.path.join(root, name, "model.onnx"))
    for kind, list_ in (("input", inputs), ("output", outputs)):
        for i, x in enumerate(list_):
            with open(os.path.join(where, f"{kind}_{i}.pb"), "wb") as f:
                f.write(numpy_helper.from_array(np.asarray(x)).SerializeToString())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("--cases", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--keep")
    parser.add_argument("--wide", action="store_true")
    flags = parser.parse_args()
    server = Server(flags.server)
    names = [n for n in operators.ALL if not flags.only or n in flags.only.split(",")]
    counts = collections.defaultdict(collections.Counter)
    seen = collections.Counter()
    for at in range(flags.cases):
        name = names[at % len(names)]
        draw = Draw(np.random.default_rng([flags.seed, at]), name, FIRST, LAST, flags.wide)
        if draw.opset is None:
            sys.exit(f"{name} has no opset")
        case = operators.ALL[name](draw)
        retype(case, draw)
        model, inputs = build(case, draw.opset, draw)
        data = model.SerializeToString()
        got = server.run(data, inputs)
        problem, outcome, want = judge(data, inputs, got, case, ["ONNX Runtime", "the reference"] if flags.wide else ["ONNX Runtime"])
        counts[name][outcome] += 1
        if outcome != "different":
            continue
        kind = name + ": " + re.sub(r"[-\d.e]+", "N", problem)[:110]
        seen[kind] += 1
        if seen[kind] > 2:
            continue
        shapes = [None if x is None else f"{x.dtype}{list(x.shape)}" for x in case.inputs]
        print(f"case {at} {name}-{draw.opset} {case.attributes} {' '.join(map(str, shapes))}\n    {problem}", flush=True)
        if flags.keep:
            keep(flags.keep, f"{name}_{at}", model, inputs, want)
    for name in names:
        print(f"{name:32}", dict(counts[name]))
    total = sum((c for c in counts.values()), collections.Counter())
    print(dict(total))


if __name__ == "__main__":
    main()
