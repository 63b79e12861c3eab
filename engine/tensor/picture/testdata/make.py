"""Makes the pictures of this folder with Pillow, and prints the table of
TestResizingGivesThePixelsOfPillow. Needs Pillow and NumPy:

    python3 make.py
"""
import zlib

import numpy as np
from PIL import Image


def picture(w, h):
    """What the test makes of a formula, too."""
    y, x, c = np.mgrid[0:h, 0:w, 0:3]
    return Image.fromarray(((x * x * 7 + y * 31 + x * y * 3 + c * 83) % 251).astype(np.uint8))


def smooth(w, h):
    y, x = np.mgrid[0:h, 0:w]
    rgb = np.stack([255 * x / (w - 1), 255 * y / (h - 1), 255 - 127 * (x + y) / (w + h - 2)], -1)
    return Image.fromarray(np.round(rgb).astype(np.uint8))


filters = {
    "Nearest": Image.Resampling.NEAREST, "Box": Image.Resampling.BOX, "Bilinear": Image.Resampling.BILINEAR,
    "Bicubic": Image.Resampling.BICUBIC, "Lanczos": Image.Resampling.LANCZOS,
}
source = picture(61, 47)
for name, f in filters.items():
    for w, h in [(20, 15), (61, 30), (130, 47), (97, 113), (7, 90), (1, 1)]:
        rgb = zlib.crc32(source.resize((w, h), f).tobytes())
        grey = zlib.crc32(source.convert("L").resize((w, h), f).tobytes())
        print(f"{{{name}, {w}, {h}, {rgb:#010x}, {grey:#010x}}},")

s = smooth(48, 32)
s.save("smooth.png")
s.save("lossless.webp", lossless=True)
s.save("lossy.webp", quality=90)
s.save("smooth.jpg", quality=90, subsampling=0)
s.save("progressive.jpg", quality=90, subsampling="4:2:0", progressive=True)
alpha = s.copy()
alpha.putalpha(Image.linear_gradient("L").resize(s.size))
alpha.save("alpha.webp", quality=90)
