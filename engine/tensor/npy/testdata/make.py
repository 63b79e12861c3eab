"""Makes the archives of this folder with NumPy: python3 make.py"""
import numpy as np

arrays = {
    "ids": np.arange(6, dtype=np.int64).reshape(2, 3),
    "mask": np.array([True, False]),
    "half": np.asfortranarray(np.array([[1, 2], [3, -0.5]], np.float16)),
}
np.savez("stored.npz", **arrays)
np.savez_compressed("deflated.npz", **arrays)
