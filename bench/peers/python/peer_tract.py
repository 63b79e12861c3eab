"""tract. Its Python binding has no option for threads: it runs on one."""

import tract


def version():
    return tract.version()


class load:
    def __init__(self, path, threads, inputs):
        if threads != 1:
            raise ValueError("runs on one thread, its Python binding has no option for more")
        self.model = tract.onnx().load(path).into_model().into_runnable()
        self.inputs = [tract.Tensor.from_numpy(x) for x in inputs.values()]

    def run(self):
        return [y.to_numpy() for y in self.model.run(self.inputs)]
