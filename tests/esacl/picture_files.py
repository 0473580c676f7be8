"""CIFAR and Tiny-ImageNet in little, in their official formats: random images of every class in turn."""

import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
from idx_files import write_mnist
from PIL import Image

CIFAR10 = "cifar-10-batches-py"
CIFAR100 = "cifar-100-python"
TINY = "tiny-imagenet-200"


def python2_pickle(value: Any) -> bytes:
    """What Python 2 wrote in protocol 2, as the publisher of CIFAR did: texts are byte strings."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"}(" + b"".join(_python2(k) + _python2(v) for k, v in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2, value)) + b"e"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, bytes):
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R"
    kind = b"cnumpy\ndtype\nU\x02u1K\0K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    shape = b"(" + b"".join(_python2(n) for n in value.shape) + b"t"
    return made + b"(K\x01" + shape + kind + b"\x89" + _python2(value.tobytes()) + b"tb"


def rows_of(name: str, n: int) -> np.ndarray:
    """(n, 3072) uint8, the same for a name each time."""
    return np.random.default_rng([n, *name.encode()]).integers(0, 256, (n, 3072)).astype(np.uint8)


def write_cifar10(data: Path, *parts: str, dumps: Any = python2_pickle) -> Path:
    """40 training and 4 test images a class."""
    batches = {"train": [(f"data_batch_{i}", 80) for i in range(1, 6)], "test": [("test_batch", 40)]}
    for name, n in (entry for part in parts or batches for entry in batches[part]):
        batch = {b"batch_label": b"x", b"labels": [i % 10 for i in range(n)], b"data": rows_of(name, n)}
        put(data / CIFAR10 / name, dumps(batch))
    names = [f"kind {i}".encode() for i in range(10)]
    put(data / CIFAR10 / "batches.meta", dumps({b"num_cases_per_batch": 80, b"label_names": names, b"num_vis": 3072}))
    return data


def write_cifar100(data: Path, *parts: str, dumps: Any = python2_pickle) -> Path:
    """Ten training images and one test image of each of a hundred classes, with their coarse labels."""
    for name in parts or ("train", "test"):
        n = {"train": 1000, "test": 100}[name]
        fine = [i % 100 for i in range(n)]
        coarse = [i % 20 for i in range(n)]
        files = [f"{i}.png".encode() for i in range(n)]
        batch = {b"filenames": files, b"fine_labels": fine, b"coarse_labels": coarse, b"data": rows_of(name, n)}
        put(data / CIFAR100 / name, dumps(batch))
    fine_names, coarse_names = (
        [f"{kind} {i}".encode() for i in range(n)] for kind, n in (("fine", 100), ("coarse", 20))
    )
    put(data / CIFAR100 / "meta", dumps({b"fine_label_names": fine_names, b"coarse_label_names": coarse_names}))
    return data


def write_tiny(data: Path, classes: int = 10, train: int = 20, test: int = 3) -> Path:
    """JPEGs of `classes` classes whose ids are not in the order of the alphabet."""
    folder = data / TINY
    wnids = [f"n{(7 * i + 3) % 100:08d}" for i in range(classes)]
    put(folder / "wnids.txt", "".join(f"{wnid}\n" for wnid in wnids).encode())
    put(folder / "words.txt", "".join(f"{wnid}\tword {i}, other\n" for i, wnid in enumerate(wnids)).encode())
    generator = np.random.default_rng(classes)
    lines = []
    for wnid in wnids:
        for i in range(train):
            write_jpeg(folder / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", generator)
    for i in range(test * classes):
        write_jpeg(folder / "val" / "images" / f"val_{i}.JPEG", generator)
        lines.append(f"val_{i}.JPEG\t{wnids[i % classes]}\t0\t32\t44\t62\n")
    put(folder / "val" / "val_annotations.txt", "".join(lines).encode())
    return data


def write_jpeg(path: Path, generator: np.random.Generator, size: tuple[int, int] = (64, 64), mode: str = "RGB") -> None:
    """A JPEG whose colour is that of the generator's next number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    Image.fromarray(generator.integers(0, 256, shape).astype(np.uint8)).save(path, "JPEG", quality=90)


def put(path: Path, content: bytes) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def modern_pickle(value: Any) -> bytes:
    """What Python 3 and today's numpy write in protocol 2."""
    return pickle.dumps(value, protocol=2)


def write_all(data: Path) -> Path:
    """Every data set that a benchmark reads, in little."""
    return write_tiny(write_cifar100(write_cifar10(write_mnist(data))))
