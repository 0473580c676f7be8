"""The last record of a zip file, read before its directory: zipfile makes an object of every entry that lies there."""

import os
import struct
from typing import IO, NamedTuple

_END = struct.Struct("<4s4H2LH")  # end of central directory
_ZIP64, _ZIP64_BYTES = b"PK\x06\x07", 20  # a locator before it, of an end that tells more


class ZipEnd(NamedTuple):
    """How many entries a zip tells of, the bytes of its directory, and how many lie outside of what it tells of."""

    entries: int
    directory: int
    apart: int


def zip_end(file: IO[bytes]) -> ZipEnd:
    """The last record of a zip as this project writes it: without a comment, and of less than 4 GiB.

    Raises:
        ValueError: it has none.
    """
    size = file.seek(0, os.SEEK_END)
    if size < _END.size:
        raise ValueError("it is no zip file" if size else "it is empty")
    file.seek(max(0, size - _END.size - _ZIP64_BYTES))
    tail = file.read()
    mark, *_, entries, directory, start, comment = _END.unpack(tail[-_END.size :])
    if mark != b"PK\x05\x06" or comment:
        raise ValueError("it is no zip file, or was cut off")
    if tail.startswith(_ZIP64):  # written for what the fields above cannot tell
        return ZipEnd(2**32, 2**32, 0)
    return ZipEnd(entries, directory, size - start - directory - _END.size)
