"""The decoded cache: images decoded once, then mapped into memory from plain numpy files.

It lies below the data folder, or below the user's cache folder where that cannot be written. Where neither can, or no
room is left, the images are decoded into memory each time. What was decoded from other files than those that lie
there now, and what is damaged, is made anew; what a killed builder has left is removed by the next.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import platformdirs

from esacl import locks

FOLDER = "decoded"
_VERSION = 1  # of what is kept; another one is made anew
_PIXELS, _LABELS = "pixels.npy", "labels.npy"

Piece = tuple[np.ndarray, np.ndarray]  # pixels (n, h, w, 3) uint8, labels (n,) int64


@dataclass(frozen=True)
class Source:
    """What is decoded.

    Attributes:
        name: of the data set and its part, as it may stand in a file's name.
        files: everything that is read; names, sizes and times of change tell whether the cache is up to date.
        shape: of one image, (h, w, 3).
        classes: labels are 0 to classes - 1.
        pieces: decodes the images in their order, some at a time.
    """

    name: str
    files: tuple[Path, ...]
    shape: tuple[int, int, int]
    classes: int
    pieces: Callable[[], Iterator[Piece]]

    @property
    def digest(self) -> str:
        """Twenty hex digits that change with the files."""
        told = hashlib.sha256(f"{_VERSION} {self.classes}".encode())
        for path in self.files:
            seen = path.stat()
            told.update(f"{path.parent.name}/{path.name} {seen.st_size} {seen.st_mtime_ns}\n".encode())
        return told.hexdigest()[:20]


def decoded(source: Source, data: Path) -> Piece:
    """All pixels (n, h, w, 3) uint8, mapped read-only, and labels (n,) int64.

    Raises:
        InputError: what `source.pieces` raises about its files.
        OSError: a file is not there.
    """
    digest, whose = source.digest, hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:8]
    # Other data folders share the user's cache: each has its own name there, lest they delete each other's.
    places = [(data / FOLDER, source.name), (platformdirs.user_cache_path("esacl") / FOLDER, f"{source.name}-{whose}")]
    for place, name in places:
        if (found := _load(source, place / f"{name}-{digest}")) is not None:
            return found
    for place, name in places:
        with contextlib.suppress(OSError):  # not writable, or no room: the next one
            _build(source, place, name, digest)
            if (found := _load(source, place / f"{name}-{digest}")) is not None:
                return found
    pixels, labels = zip(*source.pieces(), strict=True)
    return np.concatenate(pixels), np.concatenate(labels)


def _load(source: Source, folder: Path) -> Piece | None:
    """What is kept, or None where it is not there or damaged: header, size and labels are looked at."""
    try:
        pixels = np.load(folder / _PIXELS, mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / _LABELS, mmap_mode="r", allow_pickle=False)
        size = (folder / _PIXELS).stat().st_size
    except (OSError, ValueError, EOFError):
        return None
    if pixels.dtype != np.uint8 or pixels.shape[1:] != source.shape or size != pixels.offset + pixels.nbytes:
        return None
    if labels.dtype != np.int64 or labels.shape != pixels.shape[:1] or len(labels) == 0:
        return None
    if not 0 <= labels.min() <= labels.max() < source.classes:
        return None
    return np.asarray(pixels), np.array(labels)


def _build(source: Source, place: Path, name: str, digest: str) -> None:
    place.mkdir(parents=True, exist_ok=True)
    kept = place / f"{name}-{digest}"
    temporary = place / f".{name}-{os.getpid()}-{threading.get_ident()}.tmp"
    _tidy(place)
    temporary.mkdir()  # with the rights that the user gives to new folders, not to himself alone
    held: int | None = None
    try:
        with contextlib.suppress(OSError):  # where folders cannot be locked: one that tidies up makes this one fail
            held = locks.take_folder(temporary)
        labels: list[np.ndarray] = []
        with (temporary / _PIXELS).open("wb") as file:
            _write(file, source.shape, _collecting(source.pieces(), labels))
        with (temporary / _LABELS).open("wb") as file:
            np.save(file, np.concatenate(labels), allow_pickle=False)
            _flush(file)
        if _load(source, kept) is not None:
            return  # another process was faster; it wrote the same
        for older in place.glob(f"{name}-{'?' * len(digest)}"):  # of other files, or damaged
            shutil.rmtree(older, ignore_errors=True)
        try:
            temporary.rename(kept)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if held is not None:
            os.close(held)
        with contextlib.suppress(OSError):  # nothing came of it: no empty folder stays in the reader's data
            place.rmdir()


def _tidy(place: Path) -> None:
    """Remove what builders that were killed have left: the system has dropped the locks on it."""
    for path in place.glob(".*.tmp"):
        if path.is_dir() and not path.is_symlink() and not locks.is_held(path):
            shutil.rmtree(path, ignore_errors=True)


def _collecting(pieces: Iterator[Piece], labels: list[np.ndarray]) -> Iterator[np.ndarray]:
    for pixels, of_piece in pieces:
        labels.append(of_piece)
        yield pixels


def _write(file: BinaryIO, shape: tuple[int, ...], pieces: Iterable[np.ndarray]) -> None:
    """One .npy file of pieces; numpy leaves room in its header for the first length to grow."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (0, *shape)}
    np.lib.format.write_array_header_1_0(file, header)
    begin, count = file.tell(), 0
    for pixels in pieces:
        file.write(np.ascontiguousarray(pixels).data)
        count += len(pixels)
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, header | {"shape": (count, *shape)})
    assert file.tell() == begin, "the header has grown over the first image"
    _flush(file)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
