"""Tiny-ImageNet from its official folders of JPEG files: all 200 classes, or those that wnids.txt lists.

Source: Le & Yang, "Tiny ImageNet Visual Recognition Challenge", 2015. The official validation images are the test
data, because the labels of the test images were never published.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from esacl.archives import Archive, folder_of
from esacl.datasets import Images, Part, default_folder
from esacl.decoded import Piece, Source, decoded
from esacl.errors import InputError

ARCHIVE = Archive(
    title="Tiny-ImageNet",
    folder="tiny-imagenet-200",
    name="tiny-imagenet-200.zip",
    known_hash="md5:90528d7ca1a48142e341f4ef8d21d0de",
    mirrors=("http://cs231n.stanford.edu/",),
    contents="wnids.txt, words.txt, train/, val/",
)
SIDE = 64
MEAN, STD = (0.4802, 0.4480, 0.3975), (0.2770, 0.2691, 0.2821)
MOST_CLASSES, MOST_OF_A_CLASS = 200, 5_000
MOST_FILE_BYTES = 2**20  # a JPEG of 64x64 pixels has 2 KB
MOST_TEXT_BYTES = 8 * 2**20  # words.txt names all of WordNet in 2.7 MB
_PIECE = 500  # images decoded at a time


def tiny_imagenet(part: Part, data: Path | None = None) -> Images:
    """The 500 or the 50 images of 64x64 pixels of each class; mapped from a cache after the first time.

    Classes are numbered in the order of wnids.txt and named by words.txt, or by their ids where there is none.

    Raises:
        DataMissing: it is neither below `data` nor can it be downloaded.
        InputError: a file or a class is missing, or an image is no JPEG of 64x64 pixels; it is named.
    """
    data = data or default_folder()
    folder, remedy = folder_of(ARCHIVE, data), ARCHIVE.remedy(data)
    wnids = _wnids(folder, remedy)
    listed = (_listed_for_training if part == "train" else _listed_for_validation)(folder, wnids, remedy)
    files = tuple(path for path, _ in listed)
    try:
        source = Source(
            name=f"{ARCHIVE.folder}-{part}",
            files=(folder / "wnids.txt", *files),
            shape=(SIDE, SIDE, 3),
            classes=len(wnids),
            pieces=partial(_pieces, listed, remedy),
        )
        pixels, labels = decoded(source, data)
    except OSError as error:
        raise InputError(f"{error.filename or folder} cannot be read ({error.strerror}); {remedy}") from None
    return Images(pixels, labels, 255, _names(folder, wnids, remedy), MEAN, STD)


def read_image(path: Path, remedy: str) -> np.ndarray:
    """A JPEG as (64, 64, 3) uint8, grey ones in three equal channels. Nothing is decoded before its size is known.

    Raises:
        InputError: another format, another size, truncated, or not readable.
    """
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise InputError(f"{path} is larger than {MOST_FILE_BYTES // 2**20} MB; {remedy}")
        with Image.open(path, formats=("JPEG",)) as image:
            if image.format != "JPEG" or image.size != (SIDE, SIDE):
                width, height = image.size
                raise InputError(f"{path} is a {image.format} of {width}x{height} pixels, not {SIDE}x{SIDE}; {remedy}")
            return np.asarray(image.convert("RGB"))
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{path} announces an image of millions of pixels, not {SIDE}x{SIDE}; {remedy}") from None
    except Image.UnidentifiedImageError:
        raise InputError(f"{path} is no JPEG; {remedy}") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # what Pillow raises about damage
        cause = " ".join(str(error).split())[:120]
        raise InputError(f"{path} is truncated or corrupt ({cause}); {remedy}") from None


def _pieces(listed: list[tuple[Path, int]], remedy: str) -> Iterator[Piece]:
    for first in range(0, len(listed), _PIECE):
        some = listed[first : first + _PIECE]
        labels = np.array([label for _, label in some], dtype=np.int64)
        yield np.stack([read_image(path, remedy) for path, _ in some]), labels


def _wnids(folder: Path, remedy: str) -> list[str]:
    path = folder / "wnids.txt"
    wnids = _text(path, remedy).split()
    if not 0 < len(wnids) <= MOST_CLASSES or len(set(wnids)) != len(wnids) or not all(map(_is_wnid, wnids)):
        raise InputError(f"{path} does not list 1 to {MOST_CLASSES} different classes like n01443537; {remedy}")
    return wnids


def _is_wnid(text: str) -> bool:
    return text.isascii() and text.isalnum() and len(text) < 20  # it becomes the name of a folder


def _names(folder: Path, wnids: list[str], remedy: str) -> tuple[str, ...]:
    """The first word for each class; its id too where two classes share one."""
    path = folder / "words.txt"
    rows = (line.split("\t", 1) for line in _text(path, remedy).splitlines()) if path.is_file() else ()
    words = {row[0]: row[1].split(",")[0].strip() for row in rows if len(row) == 2}
    names = [words.get(wnid) or wnid for wnid in wnids]
    return tuple(
        name if names.count(name) == 1 else f"{name} ({wnid})" for name, wnid in zip(names, wnids, strict=True)
    )


def _listed_for_training(folder: Path, wnids: list[str], remedy: str) -> list[tuple[Path, int]]:
    listed: list[tuple[Path, int]] = []
    for label, wnid in enumerate(wnids):
        images = folder / "train" / wnid / "images"
        found = sorted(images.glob("*.JPEG"))
        if not 0 < len(found) <= MOST_OF_A_CLASS:
            raise InputError(f"{images} holds {len(found)} images of a class that wnids.txt lists; {remedy}")
        listed += [(path, label) for path in found]
    return listed


def _listed_for_validation(folder: Path, wnids: list[str], remedy: str) -> list[tuple[Path, int]]:
    """The images of val_annotations.txt whose class is in wnids.txt, in its order."""
    path, labels = folder / "val" / "val_annotations.txt", {wnid: label for label, wnid in enumerate(wnids)}
    listed: list[tuple[Path, int]] = []
    for number, line in enumerate(_text(path, remedy).splitlines(), start=1):
        name, _, rest = line.partition("\t")
        wnid = rest.split("\t")[0]
        if not name or "/" in name or "\\" in name or not _is_wnid(wnid):
            raise InputError(f"{path} does not name an image and its class in line {number}; {remedy}")
        if wnid in labels:
            listed.append((folder / "val" / "images" / name, labels[wnid]))
    if lacking := sorted(set(labels.values()) - {label for _, label in listed}):
        raise InputError(f"{path} names no image of class {wnids[lacking[0]]}, which wnids.txt lists; {remedy}")
    return listed


def _text(path: Path, remedy: str) -> str:
    try:
        if path.stat().st_size > MOST_TEXT_BYTES:
            raise InputError(f"{path} is larger than {MOST_TEXT_BYTES // 2**20} MB; {remedy}")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text; {remedy}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {remedy}") from None
