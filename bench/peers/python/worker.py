"""Runs one engine for bench/peers: JSON requests on standard input, one JSON
reply a line on standard output. process.go describes both.

    python worker.py ENGINE

ENGINE is the name of a module peer_ENGINE beside this file. The module has

    version()             the engine's version, a string
    load(path, threads)   a model from an ONNX file, an object with
        outputs           the names of its outputs, a list
        run(inputs)       its outputs, a list of arrays; inputs is a dict of arrays by name
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

    def load(self, request):
        self.inputs = {
            f["name"]: numpy.fromfile(f["file"], dtype=f["dtype"]).reshape(f["shape"]) for f in request["inputs"]
        }
        self.model = self.engine.load(request["model"], request["threads"])
        return {"version": self.engine.version()}

    def run(self, request):
        samples = []
        for _ in range(request["runs"]):
            start = time.perf_counter_ns()
            self.model.run(self.inputs)
            samples.append(time.perf_counter_ns() - start)
        return {"samples_ns": samples}

    def output(self, request):
        outputs = []
        for i, (name, array) in enumerate(zip(self.model.outputs, self.model.run(self.inputs))):
            path = os.path.join(request["dir"], f"{i}.bin")
            numpy.ascontiguousarray(array).tofile(path)
            outputs.append({"name": name, "dtype": str(array.dtype), "shape": list(array.shape), "file": path})
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
            command = {"load": worker.load, "run": worker.run, "output": worker.output}[request["cmd"]]
            reply = command(request)
        except Exception as e:  # whatever an engine raises is its answer
            reply = {"error": f"{type(e).__name__}: {e}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


main()
