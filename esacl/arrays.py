"""Named arrays in .npz files, written whole and read with every size checked before it is allocated."""

import io
import math
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from esacl.durable import replace_file
from esacl.errors import RunUnreadable

MOST_BYTES = 2**30  # of one file's arrays together, unpacked
MOST_ARRAYS = 10_000
_END = struct.Struct("<4s4H2LH")  # end of central directory
_ZIP64_BYTES, _ENTRY_BYTES = 20, 200  # of a locator before it; of an entry with a name as arrays have


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep `arrays` in `path`, compressed; arrays of Python objects are refused.

    Raises:
        OSError: it cannot be written; nothing is left behind.
        ValueError: an array of objects.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    replace_file(path, packed.getvalue())


def read_arrays(path: Path, most: int = MOST_BYTES) -> dict[str, np.ndarray]:
    """The arrays of a file that `write_arrays` wrote; `most`: bytes that they may take together.

    Raises:
        RunUnreadable: missing, truncated, not an array file, pickled objects, or larger than is sensible.
    """
    cure = "delete the run, or record it again"
    if path.is_symlink() or not path.is_file():
        raise RunUnreadable(f"{path} is missing; {cure}")
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MOST_ARRAYS or sum(member.file_size for member in members) > most:
                raise RunUnreadable(f"{path} unpacks to more than {most} bytes; {cure}")
            return {member.filename.removesuffix(".npy"): _read_member(archive, member) for member in members}
    except RunUnreadable:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise RunUnreadable(f"{path} is damaged ({error}); {cure}") from None
    except Exception as error:  # zlib.error and struct.error of a damaged archive have no common ancestor
        raise RunUnreadable(f"{path} is damaged ({type(error).__name__}: {error}); {cure}") from None


def _check_directory(path: Path) -> None:
    # Before zipfile reads the directory, of which it makes an object an entry, whatever number of entries is told.
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END.size - _ZIP64_BYTES))
        tail = file.read()
    if len(tail) < _END.size:
        raise ValueError("it is no zip file" if tail else "it is empty")
    mark, _, _, _, count, directory, _, comment = _END.unpack(tail[-_END.size :])
    if mark != b"PK\x05\x06" or comment or tail.startswith(b"PK\x06\x07"):
        raise ValueError("it is no zip file, or was cut off")
    if count > MOST_ARRAYS or directory > MOST_ARRAYS * _ENTRY_BYTES:
        raise ValueError(f"it says that it holds more than {MOST_ARRAYS} arrays")


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    # numpy allocates what the header claims before it reads: hold the claim against the directory first.
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"array format {version}")
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
            raise ValueError(f"{member.filename} is not the array that its header claims")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
