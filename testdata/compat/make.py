"""Writes the benchmark files of this folder: python3 make.py

The figures are made up. The class has the name and the fields of the original
Scission's, so that the original reads the files too.
"""
import pickle
import random


class LayerBenchmark:
    pass


LAYERS = {
    "toy": [(0, 1, 401536), (2, 2, 1605760), (3, 6, 8320), (7, 7, 4128)],
    "single": [(0, 9, 4128)],
    "deep": [(3 * i, 3 * i + 2, 128 + 4 * (7919 * (i + 3) ** 3 % 500000)) for i in range(14)],
}
TOY = {
    "device-phone": [0.31, 0.22, 0.13, 0.07],
    "edge-hut": [0.05, 0.03, 0.0, 0.0],  # a clock too coarse for the last two
    "edge-42": [0.061, 0.023, 0.011, 0.013],
    "cloud-hall": [0.0101, 0.0123, 0.0054, 0.0021],
    "cloud-tower(GPU)": [0.0023, 0.0011, 0.0007, 0.0],
}
SPEED = {"device-phone": 1, "edge-hut": 4, "edge-42": 5, "cloud-hall": 20, "cloud-tower(GPU)": 60}
PROTOCOL = {"device-phone": 3, "edge-hut": 2, "edge-42": 4, "cloud-hall": 5, "cloud-tower(GPU)": 4}

for system, speed in SPEED.items():
    rnd = random.Random(system)
    models = {}
    for model, layers in LAYERS.items():
        blocks = []
        for i, (first, last, size) in enumerate(layers):
            b = LayerBenchmark()
            b.model = model
            b.device = ""
            b.input_layer = first
            b.output_layer = last
            b.second_prediction = TOY[system][i] if model == "toy" else rnd.uniform(0.01, 0.2) / speed
            b.output_size = size
            blocks.append(b)
        models[model] = blocks
    with open(system + ".dat", "wb") as f:
        pickle.dump(models, f, PROTOCOL[system])
