"""CIFAR-10 and CIFAR-100 from the official "python version".

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from esacl.archives import Archive, folder_of
from esacl.datasets import Images, Part, default_folder
from esacl.decoded import Piece, Source, decoded
from esacl.errors import InputError
from esacl.pickles import array_of, read_pickle

MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
MOST_BYTES = 256 * 2**20  # of one file; CIFAR-100's training images take 155 MB, 230 MB as Python 3 writes them
SIDE = 32


@dataclass(frozen=True)
class _Layout:
    """The files of one of the two, the keys in them, and what they are normalised by."""

    archive: Archive
    files: dict[Part, tuple[str, ...]]
    names_file: str
    names_key: str
    labels_key: str
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


CIFAR10 = _Layout(
    Archive(
        title="CIFAR-10",
        folder="cifar-10-batches-py",
        name="cifar-10-python.tar.gz",
        known_hash="md5:c58f30108f718f92721af3b95e74349a",
        mirrors=MIRRORS,
        contents="data_batch_1 to data_batch_5, test_batch, batches.meta",
    ),
    files={"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)},
    names_file="batches.meta",
    names_key="label_names",
    labels_key="labels",
    classes=10,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2615),
)
CIFAR100 = _Layout(
    Archive(
        title="CIFAR-100",
        folder="cifar-100-python",
        name="cifar-100-python.tar.gz",
        known_hash="md5:eb9058c3a382ffc7106e4002c42a8d85",
        mirrors=MIRRORS,
        contents="train, test, meta",
    ),
    files={"train": ("train",), "test": ("test",)},
    names_file="meta",
    names_key="fine_label_names",
    labels_key="fine_labels",
    classes=100,
    mean=(0.5071, 0.4867, 0.4408),
    std=(0.2675, 0.2565, 0.2761),
)


def cifar10(part: Part, data: Path | None = None) -> Images:
    """The 50,000 or the 10,000 images of 32x32 pixels and ten classes; mapped from a cache after the first time.

    Raises:
        DataMissing: it is neither below `data` nor can it be downloaded.
        InputError: a file is missing, damaged, or a pickle of anything but images and labels; it is named.
    """
    return _images(CIFAR10, part, data or default_folder())


def cifar100(part: Part, data: Path | None = None) -> Images:
    """The same of CIFAR-100, with its hundred fine labels; the twenty coarse ones are not used."""
    return _images(CIFAR100, part, data or default_folder())


def _images(layout: _Layout, part: Part, data: Path) -> Images:
    folder, remedy = folder_of(layout.archive, data), layout.archive.remedy(data)
    for name in (layout.names_file, *layout.files[part]):
        if not (folder / name).is_file():
            raise InputError(f"{folder} has no file {name}; {remedy}")
    names = _names(layout, folder / layout.names_file, remedy)
    files = tuple(folder / name for name in layout.files[part])
    source = Source(
        name=f"{layout.archive.folder}-{part}",
        files=files,
        shape=(SIDE, SIDE, 3),
        classes=layout.classes,
        pieces=partial(_pieces, layout, files, remedy),
    )
    pixels, labels = decoded(source, data)
    return Images(pixels, labels, 255, names, layout.mean, layout.std)


def _names(layout: _Layout, path: Path, remedy: str) -> tuple[str, ...]:
    found = read_pickle(path, 2**20, remedy).get(layout.names_key)
    if (
        not isinstance(found, list)
        or len(found) != layout.classes
        or not all(isinstance(n, bytes | str) for n in found)
    ):
        raise InputError(f"{path} does not name {layout.classes} classes; {remedy}")
    return tuple(name.decode("latin1") if isinstance(name, bytes) else name for name in found)


def _pieces(layout: _Layout, files: tuple[Path, ...], remedy: str) -> Iterator[Piece]:
    for path in files:
        yield read_batch(path, layout.labels_key, layout.classes, remedy)


def read_batch(path: Path, labels_key: str, classes: int, remedy: str) -> Piece:
    """Pixels (n, 32, 32, 3) uint8 and labels (n,) int64 of one pickled batch.

    Raises:
        InputError: it is no such batch.
    """
    batch: dict[str, Any] = read_pickle(path, MOST_BYTES, remedy)
    rows = array_of(batch.get("data"), path, remedy)
    if rows.ndim != 2 or rows.shape[1] != 3 * SIDE * SIDE or len(rows) == 0:
        raise InputError(
            f"{path} holds an array of {'x'.join(map(str, rows.shape))} where n x {3 * SIDE * SIDE} is due; {remedy}"
        )
    labels = batch.get(labels_key)
    if not isinstance(labels, list) or len(labels) != len(rows):
        held = len(labels) if isinstance(labels, list) else "no"
        raise InputError(f"{path} holds {held} {labels_key} for its {len(rows)} images; {remedy}")
    wrong = next((label for label in labels if type(label) is not int or not 0 <= label < classes), None)
    if wrong is not None:
        told = str(wrong) if type(wrong) is int else f"of type {type(wrong).__name__}"  # a text of it may have no end
        raise InputError(f"{path} holds the label {told:.40}; labels are 0 to {classes - 1}; {remedy}")
    pixels = rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return pixels, np.array(labels, dtype=np.int64)
