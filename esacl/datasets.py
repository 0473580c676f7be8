"""Data sets as numpy arrays: from disk, or from a download whose hash is checked."""

import gzip
import importlib.util
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import platformdirs

from esacl.downloads import NotDownloaded, download
from esacl.errors import DataMissing, InputError
from esacl.seeds import numpy_generator

Part = Literal["train", "test"]

MNIST_FILES: dict[Part, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
# SHA-256 of the four files as LeCun, Cortes and Burges published them and as both mirrors serve them.
MNIST_HASHES = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
MNIST_FOLDERS = ("MNIST/raw", "mnist/raw", ".")  # looked through in this order; downloads go to the first
MOST_BYTES = 64 * 2**20  # of one file, as it lies there and inflated; the largest of MNIST inflates to 47 MB

_DIGITS_TEST_SHARE = 0.3
_UNSIGNED_BYTES = 0x08


@dataclass(frozen=True, eq=False)
class Images:
    """Images and their labels.

    `pixels` (n, h, w), or (n, h, w, 3) for colour, uint8 from 0 to `white`; `labels` (n,) int64, each a position in
    `class_names`. A network sees (pixels / white - mean) / std, one number a channel.
    """

    pixels: np.ndarray
    labels: np.ndarray
    white: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Images":
        """The images at `indices` (m,), in that order."""
        return replace(self, pixels=np.asarray(self.pixels[indices]), labels=np.asarray(self.labels[indices]))

    def averaged(self, side: int) -> "Images":
        """The images at `side` pixels a side, of which their own is a multiple: the mean of each block, rounded."""
        block = self.pixels.shape[1] // side
        if block == 1:
            return self
        blocks = self.pixels.reshape(len(self), side, block, side, block, *self.pixels.shape[3:])
        return replace(self, pixels=blocks.mean(axis=(2, 4), dtype=np.float32).round().astype(np.uint8))


def default_folder() -> Path:
    """Where data sets lie when nobody says so: `$ESACL_DATA`, else the user's cache folder."""
    given = os.environ.get("ESACL_DATA")
    return Path(given) if given else platformdirs.user_cache_path("esacl")


def digits(part: Part) -> Images:
    """scikit-learn's 1,797 digits of 8x8 pixels, 0..16: 70% to train on, 30% to test on.

    The split is stratified and the same for every seed of a run. Source: Alpaydin & Kaynak, "Optical
    Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
    """
    table = _digits_table()
    images = Images(table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64), 16, _ten_digits())
    count = round(_DIGITS_TEST_SHARE * len(images))
    test = stratified(images.labels, count, numpy_generator(0, "digits", "test"))
    return images.take(test if part == "test" else others(test, len(images)))


def mnist(part: Part, data: Path | None = None) -> Images:
    """The 60,000 or the 10,000 digits of 28x28 pixels, 0..255, from the official idx files.

    Only the two files of `part` are looked at. They are downloaded where they are missing.

    Raises:
        DataMissing: they are neither below `data` nor can they be downloaded.
        InputError: a file is truncated, corrupt, or does not belong to the other; it is named.
    """
    images, labels = (_open_or_fetch(name, data or default_folder()) for name in MNIST_FILES[part])
    pixels, targets = read_idx(images, 3), read_idx(labels, 1)
    if pixels.shape[1:] != (28, 28):
        raise _bad(images, f"holds images of {pixels.shape[1]}x{pixels.shape[2]} pixels instead of 28x28")
    if len(pixels) != len(targets):
        raise _bad(labels, f"holds {len(targets)} labels for the {len(pixels)} images of {images.name}")
    if targets.max() > 9:
        raise _bad(labels, f"holds the label {targets.max()}; labels are 0 to 9")
    return Images(pixels, targets.astype(np.int64), 255, _ten_digits())


def mnist_folder(data: Path | None = None) -> Path | None:
    """The folder below `data` that holds all four files of MNIST, or None."""
    for folder in _mnist_folders(data or default_folder()):
        if all(_in_folder(folder, name) for names in MNIST_FILES.values() for name in names):
            return folder
    return None


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The array of unsigned bytes of an idx file, plain or gzipped, read-only.

    Header and sizes are checked before anything is allocated, and no more is inflated than the header
    announces. Format: LeCun, Cortes & Burges, "The MNIST database", 1998.

    Raises:
        InputError: the file cannot be read, or is not a whole idx file of `dimensions` dimensions.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _bad(path, f"is larger than {MOST_BYTES // 2**20} MB, so it is no file of this data set")
        opener: Callable[..., BinaryIO] = gzip.open if path.suffix == ".gz" else open  # type: ignore[assignment]
        with opener(path, "rb") as file:
            return _array(path, file, dimensions)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _bad(path, f"is truncated or corrupt ({_one_line(error)})") from None
    except OSError as error:
        raise _bad(path, f"cannot be read ({error.strerror or _one_line(error)})") from None


def stratified(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """`count` positions of `labels` (n,), ascending, drawn so that each class keeps its share.

    What rounding leaves over goes to the classes with the largest remainders.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    quotas = sizes * (min(count, len(labels)) / len(labels))
    counts = np.floor(quotas).astype(np.int64)
    left = min(count, len(labels)) - counts.sum()
    counts[np.argsort(counts - quotas, kind="stable")[:left]] += 1
    drawn = [
        generator.permutation(np.flatnonzero(labels == label))[:number]
        for label, number in zip(classes, counts, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def others(indices: np.ndarray, n: int) -> np.ndarray:
    """The positions 0..n-1 that are not among `indices`, ascending."""
    rest = np.ones(n, dtype=bool)
    rest[indices] = False
    return np.flatnonzero(rest)


def _digits_table() -> np.ndarray:
    """(1797, 65) uint8: 64 pixels and the label."""
    # Importing sklearn.datasets takes over a second, reading the file that lies in it takes 20 ms.
    home = importlib.util.find_spec("sklearn")
    for folder in (home and home.submodule_search_locations) or ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            return np.loadtxt(file, delimiter=",", dtype=np.uint8)
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.column_stack([bunch.data, bunch.target]).astype(np.uint8)


def _array(path: Path, file: BinaryIO, dimensions: int) -> np.ndarray:
    header = file.read(4 + 4 * dimensions)
    if len(header) < 4 + 4 * dimensions:
        raise _bad(path, f"ends within its header, after {len(header)} bytes")
    zeros, kind, rank, *shape = struct.unpack(f">HBB{dimensions}I", header)
    if (zeros, kind, rank) != (0, _UNSIGNED_BYTES, dimensions):
        raise _bad(path, f"does not begin like an idx file of {dimensions} dimensions: {header[:4].hex()}")
    size = 1
    for length in shape:  # Python's integers cannot overflow
        size *= length
    if not 0 < size <= MOST_BYTES:
        raise _bad(path, f"announces an array of {'x'.join(map(str, shape))} bytes")
    content = file.read(size + 1)  # one more than is due: it shows excess, and makes gzip check its sum
    if len(content) != size:
        found = f"only {len(content)}" if len(content) < size else "more"
        raise _bad(path, f"announces {size} bytes and holds {found}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _open_or_fetch(name: str, data: Path) -> Path:
    for folder in _mnist_folders(data):
        if found := _in_folder(folder, name):
            return found
    return _fetch(name, data / MNIST_FOLDERS[0])


def _mnist_folders(data: Path) -> list[Path]:
    return [data / folder for folder in MNIST_FOLDERS]


def _in_folder(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / name.removesuffix(".gz"))
    return next((path for path in candidates if os.path.isfile(path)), None)  # False where it may not look


def _fetch(name: str, folder: Path) -> Path:
    try:
        return download(MNIST_MIRRORS, name, f"sha256:{MNIST_HASHES[name]}", folder)
    except NotDownloaded as why:
        files = ", ".join(file for names in MNIST_FILES.values() for file in names)
        raise DataMissing(
            f"MNIST is not in {folder} and cannot be downloaded ({why}): put {files} there, "
            "or name the folder above MNIST/raw by --data or ESACL_DATA"
        ) from None


def _bad(path: Path, what: str) -> InputError:
    return InputError(f"{path} {what}; put the original in its place, or delete it to have it downloaded")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _ten_digits() -> tuple[str, ...]:
    return tuple(str(digit) for digit in range(10))
