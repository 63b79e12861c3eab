"""ncnn, from what pnnx makes of the ONNX file, in float32. It runs one image at a time."""

import os
import subprocess
import sysconfig

import ncnn
import numpy


def version():
    return ncnn.__version__


def convert(path, dir):
    import onnx

    model = onnx.load(path)
    for node in model.graph.node:
        # pnnx takes no Pad that leaves its mode to the default.
        if node.op_type == "Pad" and not any(a.name == "mode" for a in node.attribute):
            node.attribute.append(onnx.helper.make_attribute("mode", "constant"))
    # Before IR version 4 weights were among the inputs, which pnnx would ask shapes for.
    weights = {w.name for w in model.graph.initializer}
    for value in [v for v in model.graph.input if v.name in weights]:
        model.graph.input.remove(value)
    source = os.path.join(dir, "source.onnx")
    onnx.save(model, source)

    def dims(value):
        return ",".join(str(d.dim_value) for d in value.type.tensor_type.shape.dim)

    shapes = ",".join(f"[{dims(v)}]f32" for v in model.graph.input)
    tool = os.path.join(sysconfig.get_path("purelib"), "pnnx", "pnnx")
    command = [tool, "source.onnx", f"inputshape={shapes}", "fp16=0", "ncnnparam=model.param", "ncnnbin=model.bin"]
    done = subprocess.run(command, cwd=dir, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lost = [line for line in done.stdout.splitlines() if line.startswith(("ignore ", "todo "))]
    if done.returncode != 0 or lost:
        raise RuntimeError("pnnx: " + (lost or done.stdout.splitlines() or [f"status {done.returncode}"])[-1])
    return os.path.join(dir, "model.param")


class load:
    def __init__(self, path, threads, inputs):
        self.net = ncnn.Net()
        option = self.net.opt
        option.num_threads = threads
        option.use_fp16_packed = option.use_fp16_storage = option.use_fp16_arithmetic = False
        option.use_bf16_storage = False
        if self.net.load_param(path) != 0 or self.net.load_model(path.removesuffix("param") + "bin") != 0:
            raise RuntimeError("cannot load")
        if any(x.shape[0] != 1 for x in inputs.values()):
            raise ValueError("takes one image at a time")
        self.inputs = [(name, ncnn.Mat(x[0]).clone()) for name, x in zip(self.net.input_names(), inputs.values())]

    def run(self):
        outputs = []
        with self.net.create_extractor() as extractor:
            for name, mat in self.inputs:
                extractor.input(name, mat)
            for name in self.net.output_names():
                status, mat = extractor.extract(name)
                if status != 0:
                    raise RuntimeError(f"extract gives status {status}")
                outputs.append(numpy.array(mat)[numpy.newaxis])
        return outputs
