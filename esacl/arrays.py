"""Named arrays in .npz files, written whole and read with every size checked before it is allocated."""

import io
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from esacl.durable import own_folder, replace_file
from esacl.errors import InputError, RunUnreadable
from esacl.events import ArrayRecorded
from esacl.zip_end import zip_end

MOST_BYTES = 2**30  # of one file's arrays together, unpacked
MOST_ARRAYS = 10_000
_ENTRY_BYTES = 200  # of the zip's directory for one array, with a name as arrays have


def keep_arrays(folder: Path, event: ArrayRecorded) -> None:
    """Write the arrays of an event into `arrays/NAME.npz`.

    Raises:
        InputError: the name cannot be a file's name.
        OSError: the file cannot be written.
    """
    write_arrays(own_folder(folder / "arrays") / f"{array_name(event.name)}.npz", event.arrays)


def array_name(name: str) -> str:
    """`name` where it can be a file's name.

    Raises:
        InputError: it cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise InputError(f"array name {name[:80]!r} will not do; write 1 to 64 of letters, digits, - and _")
    return name


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
    if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        raise RunUnreadable(f"{path} is missing, or a link; {cure}")
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
    with path.open("rb") as file:
        end = zip_end(file)
    if end.entries > MOST_ARRAYS or end.directory > MOST_ARRAYS * _ENTRY_BYTES:
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
