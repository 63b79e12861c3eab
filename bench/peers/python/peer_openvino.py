"""OpenVINO with its CPU plugin, in float32 whatever the CPU could do faster."""

import openvino


def version():
    return openvino.get_version().split("-")[0]


class load:
    def __init__(self, path, threads, inputs):
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self.request = openvino.Core().compile_model(path, "CPU", options).create_infer_request()
        self.inputs = inputs

    def run(self):
        return list(self.request.infer(self.inputs, share_inputs=True, share_outputs=True).values())
