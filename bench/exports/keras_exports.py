"""Exports untrained networks of keras.applications with tf2onnx.

    python keras_exports.py DIR [export...]

writes DIR/NAME-keras.onnx for each of NETWORKS, or those named, that is not
there yet: inputs are NHWC, as Keras has them. Weights are random from a fixed
seed. Batch normalisation is calibrated by one batch of noise, and weights that
start as constants get some. An export that fails is named, and the exit status
is 1.
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import zlib

import keras
import numpy
import tensorflow
import tf2onnx

from every import export_every

NETWORKS = {  # maker, size of the image
    "mobilenet_v2": (keras.applications.MobileNetV2, 224),
    "mobilenet_v3_small": (keras.applications.MobileNetV3Small, 224),
    "efficientnet_b0": (keras.applications.EfficientNetB0, 224),
    "efficientnet_v2_b0": (keras.applications.EfficientNetV2B0, 224),
    "resnet50v2": (keras.applications.ResNet50V2, 224),
    "densenet121": (keras.applications.DenseNet121, 224),
    "nasnet_mobile": (keras.applications.NASNetMobile, 224),
    "xception": (keras.applications.Xception, 299),
}

OPSET = 18
CALIBRATION_BATCH = 4


def calibrate(network, size, random):
    for layer in network.layers:
        for w in layer.weights:
            value = w.numpy()
            if value.size > 1 and value.min() == value.max() and "moving" not in w.path:
                w.assign(value + 0.1 * random.standard_normal(value.shape))
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(random.uniform(0, 255, (CALIBRATION_BATCH, size, size, 3)).astype("float32"), training=True)


def export(name, path):
    make, size = NETWORKS[name]
    seed = zlib.crc32(name.encode())
    keras.utils.set_random_seed(seed)
    network = make(weights=None, input_shape=(size, size, 3))
    calibrate(network, size, numpy.random.default_rng(seed))
    signature = [tensorflow.TensorSpec((1, size, size, 3), tensorflow.float32, name="image")]
    function = tensorflow.function(lambda x: network(x, training=False), input_signature=signature)
    partial = path.with_suffix(".partial")
    tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET, output_path=str(partial))
    partial.rename(path)


export_every(NETWORKS, export, "-keras")
