"""Runs one engine for bench/peers: JSON requests on standard input, one JSON
reply a line on standard output. worker/worker.go describes both.

    python worker.py ENGINE

ENGINE is the name of a module peer_ENGINE beside this file. The module has

    version()                    the engine's version, a string
    load(path, threads, inputs)  a model, an object with
        run()                    its outputs, a list of arrays
    convert(path, dir)           optional: writes an ONNX file's model in the engine's own form
                                 into dir, of which it is the only user; the path for load

inputs is a dict of arrays by name, in the order of the model's inputs.
"""

import importlib
import json
import os
import sys
import time

import numpy


class Worker:
    def __init__(self, engine):
        self.engine = importlib.import_module("peer_" + engine)

    def hello(self, request):
        return {"version": self.engine.version()}

    def convert(self, request):
        convert = getattr(self.engine, "convert", lambda path, dir: path)
        return {"model": convert(request["model"], request["dir"])}

    def load(self, request):
        inputs = {f["name"]: numpy.fromfile(f["file"], dtype=f["dtype"]).reshape(f["shape"]) for f in request["inputs"]}
        self.model = self.engine.load(request["model"], request["threads"], inputs)
        return {}

    def run(self, request):
        samples = []
        for _ in range(request["runs"]):
            start = time.perf_counter_ns()
            self.model.run()
            samples.append(time.perf_counter_ns() - start)
        return {"samples_ns": samples}

    def output(self, request):
        outputs = []
        for i, array in enumerate(self.model.run()):
            path = os.path.join(request["dir"], f"{i}.bin")
            numpy.ascontiguousarray(array).tofile(path)
            outputs.append({"name": str(i), "dtype": str(array.dtype), "shape": list(array.shape), "file": path})
        return {"outputs": outputs}


def main():
    # What an engine prints must not get between the replies.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            worker = worker or Worker(sys.argv[1])
            reply = getattr(worker, request["cmd"])(request)
        except Exception as e:  # whatever an engine raises is its answer
            reply = {"error": f"{type(e).__name__}: {e}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


main()
