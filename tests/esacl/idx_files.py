"""idx files for the tests: any array, and a little MNIST whose images can be told apart."""

import gzip
import struct
from pathlib import Path

import numpy as np

PARTS = {"train": ("train", 400), "test": ("t10k", 100)}


def idx_bytes(array: np.ndarray) -> bytes:
    """The idx file of an array of unsigned bytes."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(data: Path, *parts: str, folder: str = "MNIST/raw", compress: bool = True) -> Path:
    """Lay out 400 training and 100 test images, ten classes in turn, each image of random pixels."""
    target = data / folder
    target.mkdir(parents=True, exist_ok=True)
    for part in parts or PARTS:
        prefix, n = PARTS[part]
        pixels = np.random.default_rng(n).integers(0, 256, (n, 28, 28))
        for name, array in (
            (f"{prefix}-images-idx3-ubyte", pixels),
            (f"{prefix}-labels-idx1-ubyte", np.arange(n) % 10),
        ):
            content = idx_bytes(array)
            if compress:
                (target / f"{name}.gz").write_bytes(gzip.compress(content, 1))
            else:
                (target / name).write_bytes(content)
    return data
