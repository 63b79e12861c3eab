"""Compares how scission makes tensors of pictures with what Pillow, NumPy and
the usual recipes make of them.

    python3 pillow.py SCISSION

SCISSION is the program. Needs Pillow, NumPy and onnx. Prints for each format and
recipe the largest and the mean difference in units of 1/255: PNG and WebP must
agree exactly, JPEG as far as decoders round.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image, ImageOps


def identity(path):
    """A model that gives its input back, of any size."""
    v = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, "h", "w"]) for n in ("x", "y")]
    g = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", v[:1], v[1:])
    onnx.save(helper.make_model(g, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), path)


def photo(w, h):
    """Something like a photograph: soft shapes, hard edges and a little noise."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:h, 0:w]
    rgb = np.stack([128 + 90 * np.sin(x / 31 + c) * np.cos(y / (17 + 9 * c)) for c in range(3)], -1)
    rgb[(x // 60 + y // 45) % 5 == 0] = (230, 40, 60)
    rgb += rng.normal(0, 4, rgb.shape)
    return Image.fromarray(np.clip(np.round(rgb), 0, 255).astype(np.uint8))


def shorter(im, size, crop, f):
    """torchvision's Resize and CenterCrop."""
    w, h = im.size
    w, h = (size, int(size * h / w)) if w <= h else (int(size * w / h), size)
    im = im.resize((w, h), f)
    left, top = int(round((w - crop) / 2.0)), int(round((h - crop) / 2.0))
    return im.crop((left, top, left + crop, top + crop))


def letterbox(im, size, f):
    s = min(size / im.width, size / im.height)
    small = im.resize((round(im.width * s), round(im.height * s)), f)
    box = Image.new("RGB", (size, size), (114, 114, 114))
    box.paste(small, ((size - small.width) // 2, (size - small.height) // 2))
    return box


R = Image.Resampling
recipes = {
    "resize: none": lambda im: im,
    "resize: stretch, size: [100, 150]": lambda im: im.resize((150, 100), R.BILINEAR),
    "size: 256, crop: 224": lambda im: shorter(im, 256, 224, R.BILINEAR),
    "size: 235, crop: 224, filter: bicubic": lambda im: shorter(im, 235, 224, R.BICUBIC),
    "size: 300, crop: 288, filter: lanczos": lambda im: shorter(im, 300, 288, R.LANCZOS),
    "resize: letterbox, size: 416, pad: 114": lambda im: letterbox(im, 416, R.BILINEAR),
}


def main():
    program = sys.argv[1]
    wrong = 0
    with tempfile.TemporaryDirectory() as d:
        model = os.path.join(d, "identity.onnx")
        identity(model)
        im = photo(643, 481)
        exif = Image.Exif()
        exif[0x0112] = 6
        files = {
            "a.png": {}, "lossless.webp": {"lossless": True}, "a.jpg": {"quality": 92}, "progressive.jpg": {"quality": 80, "progressive": True},
            "full.jpg": {"quality": 95, "subsampling": 0}, "turned.jpg": {"quality": 92, "exif": exif}, "lossy.webp": {"quality": 85},
        }
        for name, options in files.items():
            path = os.path.join(d, name)
            im.save(path, **options)
            for spec, recipe in recipes.items():
                want = recipe(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
                out = os.path.join(d, "out")
                subprocess.run([program, "run", model, path, "--preprocess", spec + ", scale: 1", "--output", out], check=True, stdout=subprocess.DEVNULL)
                got = np.load(os.path.join(out, "y.npy"))[0].transpose(1, 2, 0)
                diff = np.abs(got - np.asarray(want, np.float32))
                print(f"{name:16} {spec:42} worst {diff.max():3.0f}, mean {diff.mean():.4f}")
                wrong += bool(diff.mean() > 0.5 if name.endswith(".jpg") else diff.max() > 0)
    sys.exit(wrong > 0 and f"{wrong} differ")


main()
