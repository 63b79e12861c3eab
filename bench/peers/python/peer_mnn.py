"""MNN, from its own form of the model, in float32."""

import os

import MNN
import numpy


def version():
    return MNN.version()


def convert(path, dir):
    # The command mnnconvert does the same, but installs and calls a logging service.
    import _tools

    target = os.path.join(dir, "model.mnn")
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", path, "--MNNModel", target, "--bizCode", "peers"])
    if not os.path.exists(target):
        raise RuntimeError("mnnconvert wrote no file")
    return target


class load:
    def __init__(self, path, threads, inputs):
        self.interpreter = MNN.Interpreter(path)
        self.session = self.interpreter.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})
        for name, x in inputs.items():
            tensor = self.interpreter.getSessionInput(self.session, name)
            x = numpy.ascontiguousarray(x)
            kind = MNN.Tensor_DimensionType_Caffe
            tensor.copyFrom(MNN.Tensor(x.shape, MNN.Halide_Type_Float, x, kind))
        self.outputs = list(self.interpreter.getSessionOutputAll(self.session).values())

    def run(self):
        self.interpreter.runSession(self.session)
        return [self.read(t) for t in self.outputs]

    @staticmethod
    def read(tensor):
        shape = tensor.getShape()
        host = MNN.Tensor(shape, MNN.Halide_Type_Float, numpy.zeros(shape, numpy.float32), MNN.Tensor_DimensionType_Caffe)
        tensor.copyToHostTensor(host)
        return numpy.array(host.getNumpyData(), dtype=numpy.float32)
