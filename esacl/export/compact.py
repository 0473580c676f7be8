"""The compact sparse file: each tensor by the shortest of four encodings, its values as they are, float32.

    8 bytes   ESACLSP1
    4 bytes   length of the header, little endian
    header    JSON: what the network is, and for each of its `tensors` name, shape, encoding, and where its places and
              its values lie in the rest of the file, in bytes: places [start, middle), values [middle, end)
    rest      for each tensor its places, then its values that are not 0, in row-major order

    encoding   places                                                                     bytes beside 4 a value
    dense      none: every value is there                                                 0
    bitmask    a bit an entry, the lowest bit of a byte first                             entries / 8
    gaps       a byte a value: how many zeros come before it; 255: 255 zeros, no value    1 a value, and the 255s
    csr        values of each row (uint32), then the column of each value (uint16)        4 a row, 2 a value

At random masks gaps are shortest from a sparsity of about 88% on, the bitmask below; the network of a run is not
random, so every tensor is encoded in each way that fits and the shortest is kept. A row is one output unit or channel.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from esacl import strict_json
from esacl.errors import InputError
from esacl.export.load_sparse import load

MAGIC = b"ESACLSP1"
MOST_HEADER = 2**20
MOST_BYTES = 4 * 2**30
MOST_ENTRIES = 2**26  # of all tensors together: a small file may not ask for more memory than 256 MiB
_KEYS = {"name", "shape", "encoding", "start", "middle", "end"}


def as_compact(tensors: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> bytes:
    """The file of `tensors`, any shape, float32 or convertible to it without loss; `about` goes into its header.

    Raises:
        InputError: a value that is not finite.
    """
    parts: list[bytes] = []
    told, end = [], 0
    for name, tensor in tensors.items():
        array = np.asarray(tensor, dtype="<f4", order="C")
        if not np.isfinite(array).all():
            raise InputError(f"{name} holds a value that is not finite; this network cannot be used")
        encoding, places, values = min(_encodings(array), key=lambda found: len(found[1]) + len(found[2]))
        start, middle, end = end, end + len(places), end + len(places) + len(values)
        where = {"start": start, "middle": middle, "end": end}
        told.append({"name": name, "shape": list(array.shape), "encoding": encoding, **where})
        parts += [places, values]
    header = json.dumps({**about, "tensors": told}, allow_nan=False).encode()
    return b"".join([MAGIC, len(header).to_bytes(4, "little"), header, *parts])


def read_compact(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and tensors of a file that may come from a stranger.

    Sizes are held against the file and against each other before anything of that size is allocated.

    Raises:
        InputError: no such file, or it is damaged.
    """
    cure = "export the run again"
    try:
        _check(path)
        header, tensors = load(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the name") from None
    except (ValueError, IndexError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise InputError(f"{path} is no compact sparse file or is damaged ({error}); {cure}") from None
    if odd := [name for name, one in tensors.items() if not np.isfinite(one).all()]:
        raise InputError(f"{path} holds values that are not finite, in {odd[0]!r:.80}; {cure}")
    return header, tensors


def _encodings(array: np.ndarray) -> list[tuple[str, bytes, bytes]]:
    """(name, places, values) of each way that can write `array`."""
    flat = array.reshape(-1)
    kept = np.flatnonzero(flat)
    values = flat[kept].tobytes()
    found = [("dense", b"", flat.tobytes())]
    if len(kept) < len(flat):
        found.append(("bitmask", np.packbits(flat != 0, bitorder="little").tobytes(), values))
        found.append(("gaps", _gaps(kept), values))
        if array.ndim >= 2 and flat.size // array.shape[0] <= 2**16:
            found.append(("csr", _csr(array), values))
    return found


def _gaps(kept: np.ndarray) -> bytes:
    """The zeros before each of the places `kept` (n,), ascending."""
    zeros = np.diff(kept, prepend=-1) - 1
    full, rest = zeros // 255, zeros % 255
    ends = np.cumsum(full + 1)
    steps = np.full(int(ends[-1]) if len(ends) else 0, 255, np.uint8)
    steps[ends - 1] = rest
    return steps.tobytes()


def _csr(array: np.ndarray) -> bytes:
    rows, columns = np.nonzero(array.reshape(array.shape[0], -1))
    counts = np.bincount(rows, minlength=array.shape[0])
    return counts.astype("<u4").tobytes() + columns.astype("<u2").tobytes()


def _check(path: Path) -> None:
    """Raises ValueError where the header asks for what the file has not got."""
    if path.is_symlink() or not path.is_file():
        raise ValueError("it is not there, or not a regular file")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"it has {size} bytes, more than {MOST_BYTES}")
    with path.open("rb") as file:
        if file.read(8) != MAGIC:
            raise ValueError("it begins otherwise")
        length = int.from_bytes(file.read(4), "little")
        if length > min(MOST_HEADER, size - 12):
            raise ValueError(f"its header would have {length} bytes")
        header = strict_json.decode(file.read(length))
        rest = size - 12 - length
        if not isinstance(header, dict) or not isinstance(header.get("tensors"), list):
            raise ValueError("its header lists no tensors")
        entries = end = 0
        names: set[str] = set()
        for one in header["tensors"]:
            entries += _entries(one, rest)
            if one["name"] in names:
                raise ValueError("a tensor is there twice")
            names.add(one["name"])
            if entries > MOST_ENTRIES:
                raise ValueError(f"its tensors have more than {MOST_ENTRIES} entries")
            if one["start"] != end:  # the same bytes for thousands of tensors would be read thousands of times
                raise ValueError(f"{one['name']!r:.80} does not begin where the one before it ends")
            end = one["end"]
            _check_places(file, 12 + length, one)


def _entries(one: Any, rest: int) -> int:
    if not isinstance(one, dict) or one.keys() != _KEYS or not isinstance(one["name"], str):
        raise ValueError("a tensor of its header lacks a key, or has one more")
    shape, (start, middle, end) = one["shape"], (one[key] for key in ("start", "middle", "end"))
    numbers = [start, middle, end, *(shape if isinstance(shape, list) else [None])]
    if any(type(number) is not int or number < 0 for number in numbers) or len(shape) > 8:
        raise ValueError(f"the numbers of {one['name']!r:.80} are none")
    if not start <= middle <= end <= rest or (end - middle) % 4:
        raise ValueError(f"{one['name']!r:.80} lies outside of the file")
    return math.prod(shape)


def _check_places(file: Any, begin: int, one: dict[str, Any]) -> None:
    """Raises ValueError where an encoding has not the places and values that the shape asks for."""
    check = _PLACES.get(one["encoding"]) if isinstance(one["encoding"], str) else None
    if check is None:
        raise ValueError(f"{one['name']!r:.80} has the encoding {one['encoding']!r:.40}")
    file.seek(begin + one["start"])
    places = file.read(one["middle"] - one["start"])
    values = (one["end"] - one["middle"]) // 4
    if not check(places, one["shape"], values):
        raise ValueError(f"{one['name']!r:.80} has other places or values than its shape {one['shape']} asks for")


def _dense_fits(places: bytes, shape: list[int], values: int) -> bool:
    return not places and values == math.prod(shape)


def _bitmask_fits(places: bytes, shape: list[int], values: int) -> bool:
    entries = math.prod(shape)
    bits = np.unpackbits(np.frombuffer(places, np.uint8), bitorder="little")
    return len(places) == -(-entries // 8) and int(bits[:entries].sum()) == values


def _gaps_fit(places: bytes, shape: list[int], values: int) -> bool:
    steps = np.frombuffer(places, np.uint8).astype(np.int64)
    reach = int((steps + (steps < 255)).sum())
    return int((steps < 255).sum()) == values and reach <= math.prod(shape)


def _csr_fits(places: bytes, shape: list[int], values: int) -> bool:
    if len(shape) < 2 or shape[0] == 0 or len(places) != 4 * shape[0] + 2 * values:
        return False
    counts = np.frombuffer(places[: 4 * shape[0]], "<u4")
    columns = np.frombuffer(places[4 * shape[0] :], "<u2")
    width = math.prod(shape) // shape[0]
    return int(counts.astype(np.int64).sum()) == values and (values == 0 or int(columns.max()) < width)


_PLACES: dict[str, Callable[[bytes, list[int], int], bool]] = {
    "dense": _dense_fits, "bitmask": _bitmask_fits, "gaps": _gaps_fit, "csr": _csr_fits,
}  # fmt: skip
