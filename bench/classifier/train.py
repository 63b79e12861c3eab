"""Trains a small convolutional classifier on Fashion-MNIST and exports it.

    python train.py DATA OUT [--epochs N] [--threads N] [--seed N]

DATA is the folder of the data set's four .gz files. Written to OUT:

    fashion.onnx         the network, ONNX opset 17: image [N, 1, 28, 28], normalised, to scores [N, 10]
    fashion.npz          images uint8 [1000, 28, 28] and labels uint8 [1000]: the first of the test set
    fashion.answers.npy  uint8 [1000]: which class PyTorch gives each of these images

The same seed and number of threads give the same network with the same PyTorch
on the same processor.
"""

import argparse
import gzip
import pathlib

import numpy
import torch
from torch import nn

MEAN, STD = 0.286, 0.353  # of the training images; fashion.scission.yaml has the same
SHIPPED = 1000


def images(path):
    with gzip.open(path) as f:
        data = numpy.frombuffer(f.read(), numpy.uint8)
    assert int.from_bytes(data[:4], "big") == 0x803, f"{path}: no images"
    n, height, width = (int.from_bytes(data[i : i + 4], "big") for i in (4, 8, 12))
    return data[16:].reshape(n, height, width)


def labels(path):
    with gzip.open(path) as f:
        data = numpy.frombuffer(f.read(), numpy.uint8)
    assert int.from_bytes(data[:4], "big") == 0x801, f"{path}: no labels"
    return data[8:]


def inputs(x):
    """What the network takes, of bytes [N, 28, 28]."""
    return (torch.from_numpy(x.copy()).unsqueeze(1).float() / 255 - MEAN) / STD


def conv(fan_in, fan_out, size=3, stride=1, groups=1):
    return [nn.Conv2d(fan_in, fan_out, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(fan_out)]


def relu():
    return nn.ReLU(inplace=True)


class Residual(nn.Module):
    def __init__(self, *layers, after):
        super().__init__()
        self.body, self.after = nn.Sequential(*layers), after

    def forward(self, x):
        return self.after(x + self.body(x))


def separable(fan_in, fan_out, stride):
    """A depthwise convolution and a pointwise one, as in MobileNet."""
    return [*conv(fan_in, fan_in, 3, stride, groups=fan_in), relu(), *conv(fan_in, fan_out, 1), relu()]


def network():
    return nn.Sequential(
        *conv(1, 16, stride=2), relu(),
        Residual(*conv(16, 16), relu(), *conv(16, 16), after=relu()),
        *separable(16, 48, 2),
        # An inverted residual with a linear bottleneck, as in MobileNetV2.
        Residual(*conv(48, 96, 1), relu(), *conv(96, 96, groups=96), relu(), *conv(96, 48, 1), after=nn.Identity()),
        *conv(48, 96, 1), relu(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10),
    ).to(memory_format=torch.channels_last)


def augmented(x, generator):
    """Half of the images mirrored."""
    mirrored = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
    return torch.where(mirrored, x.flip(3), x)


def train(net, x, y, epochs, generator, batch=64):
    steps = (len(x) + batch - 1) // batch
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=epochs * steps)
    for epoch in range(epochs):
        net.train()
        total = 0.0
        for chosen in torch.randperm(len(x), generator=generator).split(batch):
            loss = nn.functional.cross_entropy(net(augmented(x[chosen], generator)), y[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
        print(f"epoch {epoch + 1} of {epochs}: loss {total / len(x):.4f}", flush=True)


def answers(net, x):
    net.eval()
    with torch.no_grad():
        return torch.cat([net(part).argmax(1) for part in x.split(500)])


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("data", type=pathlib.Path)
    arguments.add_argument("out", type=pathlib.Path)
    arguments.add_argument("--epochs", type=int, default=4)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--seed", type=int, default=1)
    a = arguments.parse_args()

    torch.manual_seed(a.seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(a.threads)
    files = [a.data / name for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")]
    x, y = inputs(images(files[0])), torch.from_numpy(labels(files[1]).astype(numpy.int64))
    test, truth = images(files[2]), labels(files[3])

    net = network()
    print(f"PyTorch {torch.__version__}, {sum(p.numel() for p in net.parameters())} parameters", flush=True)
    train(net, x, y, a.epochs, torch.Generator().manual_seed(a.seed))
    got = answers(net, inputs(test)).numpy().astype(numpy.uint8)
    right = got == truth
    print(f"top-1: {right.mean():.4f} of {len(truth)}, {right[:SHIPPED].mean():.4f} of the first {SHIPPED}")

    a.out.mkdir(parents=True, exist_ok=True)
    numpy.savez_compressed(a.out / "fashion.npz", images=test[:SHIPPED], labels=truth[:SHIPPED])
    numpy.save(a.out / "fashion.answers.npy", got[:SHIPPED])
    torch.onnx.export(
        net.eval(), (inputs(test[:1]),), a.out / "fashion.onnx", dynamo=False, opset_version=17,
        input_names=["image"], output_names=["scores"], dynamic_axes={"image": {0: "N"}, "scores": {0: "N"}},
    )


if __name__ == "__main__":
    main()
