"""Exports untrained networks of torchvision, timm and torch.nn with torch.onnx.

    python torch_exports.py DIR [export...]

writes DIR/NAME.onnx for each of EXPORTS, or those named, that is not there yet.
NAME is the network's name and "-script" for the old exporter (dynamo=False) or
"-dynamo" for the new one. Weights are random from a fixed seed. Batch
normalisation is calibrated by one batch of noise, and parameters that start as
constants get some, so that activations neither vanish nor explode and no part
of a network is idle. An export that fails is named, and the exit status is 1.
"""

import zlib

import timm
import torch
import torchvision.models as vision
from torch import nn

from every import export_every


class Encoder(nn.Module):
    """A sentence encoder like MiniLM: 6 layers of width 384, the mean of the words' vectors."""

    def __init__(self, words=30522, width=384, layers=6, heads=12, positions=512):
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.positions = nn.Embedding(positions, width)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))

    def forward(self, ids):
        x = self.norm(self.words(ids) + self.positions.weight[: ids.shape[1]])
        for block in self.blocks:
            x = block(x)
        return nn.functional.normalize(x.mean(dim=1), dim=-1)


class Block(nn.Module):
    """A layer of a transformer, written out as most models have it."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):
        n, length, width = x.shape

        def split(y):
            return y.view(n, length, self.heads, width // self.heads).transpose(1, 2)

        q, k, v = split(self.q(x)), split(self.k(x)), split(self.v(x))
        scores = q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5
        y = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(n, length, width)
        x = self.norm1(x + self.out(y))
        return self.norm2(x + self.down(nn.functional.gelu(self.up(x))))


class Recurrent(nn.Module):
    """Two layers of LSTM in both directions over 40 features, as in speech recognition."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(40, 128, num_layers=2, bidirectional=True, batch_first=True)
        self.out = nn.Linear(256, 32)

    def forward(self, x):
        return self.out(self.lstm(x)[0]).log_softmax(dim=-1)


class UNet(nn.Module):
    """A U-Net of four levels: one way up by ConvTranspose, the others by bilinear Resize."""

    def __init__(self, width=32, classes=4):
        super().__init__()
        self.down = nn.ModuleList(double(3 if i == 0 else width << i - 1, width << i) for i in range(4))
        self.deep = nn.ConvTranspose2d(width << 3, width << 2, 2, stride=2)
        self.up = nn.ModuleList(double((width << i) + (width << (i if i == 2 else i + 1)), width << i) for i in (2, 1, 0))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        skips = []
        for i, down in enumerate(self.down):
            if i > 0:
                x = nn.functional.max_pool2d(x, 2)
            x = down(x)
            skips.append(x)
        for i, up in enumerate(self.up):
            skip = skips[2 - i]
            if i == 0:
                x = self.deep(x)
            else:
                x = nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = up(torch.cat([skip, x], dim=1))
        return self.head(x)


def double(inputs, outputs):
    layers = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class Output(nn.Module):
    """The entry "out" of a network's results."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)["out"]


def image(size=224):
    return lambda batch: torch.randn(batch, 3, size, size)


def torchvision(name, **options):
    return lambda: getattr(vision, name)(weights=None, **options)


def segmentation(name):
    return lambda: Output(getattr(vision.segmentation, name)(weights=None, weights_backbone=None, num_classes=21))


def pytorch_image_models(name):
    return lambda: timm.create_model(name, pretrained=False)


NETWORKS = {  # maker of the network, maker of inputs, exporters
    "resnet18": (torchvision("resnet18"), image(), ("script", "dynamo")),
    "resnet50": (torchvision("resnet50"), image(), ("script",)),
    "mobilenet_v3_large": (torchvision("mobilenet_v3_large"), image(), ("script", "dynamo")),
    "efficientnet_b0": (torchvision("efficientnet_b0"), image(), ("script", "dynamo")),
    "convnext_tiny": (torchvision("convnext_tiny"), image(), ("script", "dynamo")),
    "vit_b_16": (torchvision("vit_b_16"), image(), ("script", "dynamo")),
    "swin_t": (torchvision("swin_t"), image(), ("script", "dynamo")),
    "shufflenet_v2_x1_0": (torchvision("shufflenet_v2_x1_0"), image(), ("script", "dynamo")),
    "regnet_y_400mf": (torchvision("regnet_y_400mf"), image(), ("script", "dynamo")),
    "squeezenet1_1": (torchvision("squeezenet1_1"), image(), ("script", "dynamo")),
    "densenet121": (torchvision("densenet121"), image(), ("script", "dynamo")),
    "mnasnet1_0": (torchvision("mnasnet1_0"), image(), ("script",)),
    "deeplabv3_mobilenet_v3_large": (segmentation("deeplabv3_mobilenet_v3_large"), image(256), ("script", "dynamo")),
    "lraspp_mobilenet_v3_large": (segmentation("lraspp_mobilenet_v3_large"), image(256), ("script",)),
    "mobilevit_s": (pytorch_image_models("mobilevit_s"), image(256), ("script", "dynamo")),
    "edgenext_small": (pytorch_image_models("edgenext_small"), image(256), ("script", "dynamo")),
    "repvgg_a0": (pytorch_image_models("repvgg_a0"), image(), ("script", "dynamo")),
    "ghostnet_100": (pytorch_image_models("ghostnet_100"), image(), ("script", "dynamo")),
    "unet": (UNet, image(128), ("script", "dynamo")),
    "encoder": (Encoder, lambda batch: torch.randint(30522, (batch, 128)), ("script", "dynamo")),
    "lstm": (Recurrent, lambda batch: torch.randn(batch, 100, 40), ("script", "dynamo")),
}

EXPORTS = {f"{name}-{exporter}": (*parts[:2], exporter) for name, parts in NETWORKS.items() for exporter in parts[2]}

CALIBRATION_BATCH = 4


@torch.no_grad()
def calibrate(network, inputs):
    for p in network.parameters():
        if p.numel() > 1 and p.min() == p.max():
            p += 0.1 * torch.randn_like(p)
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if norms:
        for m in norms:
            m.momentum = 1.0
        network.train()
        network(inputs(CALIBRATION_BATCH))
    network.eval()


def export(name, path):
    make, inputs, exporter = EXPORTS[name]
    torch.manual_seed(zlib.crc32(name.rsplit("-", 1)[0].encode()))
    network = make()
    calibrate(network, inputs)
    options = {"dynamo": False} if exporter == "script" else {"dynamo": True, "external_data": False, "verbose": False}
    partial = path.with_suffix(".partial")
    torch.onnx.export(network, (inputs(1),), str(partial), **options)
    partial.rename(path)


export_every(EXPORTS, export)
