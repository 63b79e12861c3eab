"""Compares the networks of bench/zoo with those of Keras Applications.

    python check.py SCISSION [network...]

For each network, or those named, "SCISSION zoo export" writes the ONNX file.
Its weights are put into the Keras model of weights=None, layer by layer under
the layers' names; none may be left over on either side. Then Keras and
"SCISSION run" compute the same image, and each of the 1000 probabilities must
agree within RTOL. Prints a table and exits with 1 if anything differs.
"""

import gc
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import keras
import numpy
import onnx
import onnx.numpy_helper

RTOL = 1e-3

MODELS = {
    "densenet121": keras.applications.DenseNet121,
    "densenet169": keras.applications.DenseNet169,
    "densenet201": keras.applications.DenseNet201,
    "inception_v3": keras.applications.InceptionV3,
    "inceptionresnet_v2": keras.applications.InceptionResNetV2,
    "mobilenet": keras.applications.MobileNet,
    "mobilenetv2": keras.applications.MobileNetV2,
    "nasnetlarge": keras.applications.NASNetLarge,
    "nasnetmobile": keras.applications.NASNetMobile,
    "resnet101": keras.applications.ResNet101,
    "resnet101v2": keras.applications.ResNet101V2,
    "resnet152": keras.applications.ResNet152,
    "resnet152v2": keras.applications.ResNet152V2,
    "resnet50": keras.applications.ResNet50,
    "resnet50v2": keras.applications.ResNet50V2,
    "vgg16": keras.applications.VGG16,
    "vgg19": keras.applications.VGG19,
    "xception": keras.applications.Xception,
}


def scission(*arguments):
    """Runs a command of scission and returns its report."""
    command = [sys.argv[1], *map(str, arguments), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def read_weights(path):
    """Maps (layer, variable) to the array, of all trained tensors of an ONNX file."""
    weights = {}
    for tensor in onnx.load(path).graph.initializer:
        layer, _, variable = tensor.name.partition("/")
        constant = variable == "ones" or tensor.data_type != onnx.TensorProto.FLOAT or not tensor.dims
        if not constant:
            weights[layer, variable] = onnx.numpy_helper.to_array(tensor)
    return weights


def fill(model, weights):
    """Moves weights into model, from [out, in, h, w] to Keras' order."""
    before = None
    for layer in model.layers:
        for variable in layer.weights:
            name = variable.name
            if isinstance(layer, keras.layers.DepthwiseConv2D):
                name = "depthwise_" + name
            value = weights.pop((layer.name, name))
            if name == "depthwise_kernel":
                value = value.transpose(2, 3, 0, 1)
            elif value.ndim == 4:
                value = value.transpose(2, 3, 1, 0)
            elif isinstance(before, keras.layers.Flatten) and name == "kernel":
                h, w, c = before.input.shape[1:]
                value = value.reshape(c, h, w, -1).transpose(1, 2, 0, 3).reshape(value.shape)
            if value.shape != tuple(variable.shape):
                raise ValueError(f"{layer.name}/{name} has the shape {value.shape}, Keras' has {tuple(variable.shape)}")
            variable.assign(value)
        before = layer
    if weights:
        raise ValueError(f"Keras has no {sorted(weights)}")


def image(shape):
    """Random squares of 16 x 16 pixels under noise, [1, 3, H, W] in -1 to 1."""
    random = numpy.random.default_rng(1)
    _, channels, h, w = shape
    squares = random.uniform(-1, 1, (channels, -(-h // 16), -(-w // 16)))
    squares = squares.repeat(16, 1).repeat(16, 2)[:, :h, :w]
    return ((squares + random.uniform(-1, 1, squares.shape)) / 2)[None].astype(numpy.float32)


def compare(network, folder):
    """Returns Keras' number of parameters and the largest relative deviation."""
    name, file = network["name"], folder / "model.onnx"
    scission("zoo", "export", name, "-o", file)
    keras.utils.clear_session()
    model = MODELS[name](weights=None)
    fill(model, read_weights(file))
    x = image(network["input"])
    numpy.save(folder / "input.npy", x)
    report = scission("run", file, "--input", folder / "input.npy", "--output", folder)
    got = numpy.load(report["outputs"][0]["file"])
    want = numpy.asarray(model(x.transpose(0, 2, 3, 1), training=False))
    if got.shape != want.shape or not numpy.isfinite(want).all():
        raise ValueError(f"{name}: outputs {got.shape}, Keras' {want.shape}")
    # In this order a NaN counts as a deviation.
    return model.count_params(), float(numpy.max(numpy.abs(got - want) / want))


def main():
    networks = {n["name"]: n for n in scission("zoo", "list")["networks"]}
    if networks.keys() != MODELS.keys():
        sys.exit(f"scission has the networks {sorted(networks)}")
    failed = 0
    print(f"Keras {keras.__version__} on {keras.backend.backend()}")
    print(f"{'network':20}{'parameters':>14}{'deviation':>12}{'seconds':>9}")
    for name in sys.argv[2:] or networks:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            params, deviation = compare(networks[name], pathlib.Path(folder))
        gc.collect()
        good = params == networks[name]["params"] and deviation <= RTOL
        failed += not good
        print(
            f"{name:20}{params:>14,}{deviation:>12.1e}{time.monotonic() - start:>9.0f}{'' if good else '  DIFFERS'}",
            flush=True,
        )
    print(f"{len(sys.argv[2:] or networks) - failed} agree within {RTOL:g}, {failed} differ")
    sys.exit(failed > 0)


main()
