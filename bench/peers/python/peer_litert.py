"""LiteRT with XNNPACK, from what onnx2tf makes of the ONNX file without TensorFlow."""

import importlib.metadata
import os
import shutil

from ai_edge_litert.interpreter import Interpreter


def version():
    return importlib.metadata.version("ai-edge-litert")


def convert(path, dir):
    import onnx2tf

    source = os.path.join(dir, "model.onnx")
    shutil.copyfile(path, source)  # onnx2tf writes to the file that it reads
    onnx2tf.convert(input_onnx_file_path=source, output_folder_path=dir, tflite_backend="flatbuffer_direct", non_verbose=True)
    return os.path.join(dir, "model_float32.tflite")


class load:
    def __init__(self, path, threads, inputs):
        self.interpreter = Interpreter(path, num_threads=threads)
        self.interpreter.allocate_tensors()
        for detail, x in zip(self.interpreter.get_input_details(), inputs.values()):
            # onnx2tf gives images the layout that LiteRT computes in: channels last.
            if x.ndim == 4 and list(detail["shape"]) != list(x.shape):
                x = x.transpose(0, 2, 3, 1)
            self.interpreter.set_tensor(detail["index"], x)
        self.outputs = [d["index"] for d in self.interpreter.get_output_details()]

    def run(self):
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(i) for i in self.outputs]
