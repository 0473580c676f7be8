"""Published data sets as archives: fetched with a checked hash, unpacked beside their place, and put there whole."""

import contextlib
import hashlib
import lzma
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from esacl import locks
from esacl.downloads import NotDownloaded, download
from esacl.errors import DataMissing, InputError

MOST_MEMBERS = 250_000  # Tiny-ImageNet has 120,609
MOST_MEMBER_BYTES = 256 * 2**20  # CIFAR-100's training images are 155 MB
MOST_BYTES = 2 * 2**30  # of everything unpacked


@dataclass(frozen=True)
class Archive:
    """An official archive and the one folder that it unpacks to.

    Attributes:
        title: what people call the data set.
        folder: name of the folder in the archive.
        name: of the archive's file.
        known_hash: as its publisher gives it, "md5:...".
        mirrors: addresses that end with a slash.
        contents: what the folder holds, for those who must put it there by hand.
    """

    title: str
    folder: str
    name: str
    known_hash: str
    mirrors: tuple[str, ...]
    contents: str

    def remedy(self, data: Path) -> str:
        """What to do about damage, for the end of an error."""
        return f"put the original in its place, or delete {data / self.folder} to have it downloaded"


def folder_of(archive: Archive, data: Path) -> Path:
    """The data set's folder below `data`: as it lies there, else from the archive beside it or a download.

    Raises:
        DataMissing: it is not there and cannot be downloaded; says which files to put where.
        InputError: the archive is damaged or holds what no data set needs.
    """
    folder = data / archive.folder
    if folder.is_dir():
        return folder
    with _alone(data):
        return folder if folder.is_dir() else _fetched(archive, data)


@contextlib.contextmanager
def _alone(data: Path) -> Iterator[None]:
    """One process at a time: several runs that need a data set at once fetch it once."""
    above = next(folder for folder in data.absolute().parents if folder.is_dir())
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a file system that locks no folders: then whoever comes second finds it
            stack.enter_context(locks.one_at_a_time_in(above))
        yield


def _fetched(archive: Archive, data: Path) -> Path:
    folder = data / archive.folder
    was_there = (data / archive.name).exists()
    if was_there:
        _refuse_another(archive, data / archive.name)
    try:
        path = download(archive.mirrors, archive.name, archive.known_hash, data)
    except NotDownloaded as why:
        raise DataMissing(
            f"{archive.title} is not in {data} and cannot be downloaded ({why}): put {archive.name} or the folder "
            f"{archive.folder} ({archive.contents}) there, or name the folder above it by --data or ESACL_DATA"
        ) from None
    unpack(path, folder)
    if not was_there:
        with contextlib.suppress(OSError):
            path.unlink()
    return folder


def _refuse_another(archive: Archive, path: Path) -> None:
    """Never download over a file of the user's: say that it is not the publisher's."""
    kind, _, known = archive.known_hash.partition(":")
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, kind).hexdigest()
    except OSError as error:
        cause = error.strerror or type(error).__name__
        raise InputError(f"{path} cannot be read ({cause}); mend that, or name another folder by --data") from None
    if found != known:
        raise InputError(
            f"{path} is not {archive.title} as it is published: its {kind} is {found}, not {known}; "
            f"put the original in its place, or delete it to have it downloaded"
        )


def unpack(path: Path, folder: Path) -> None:
    """Unpack the one folder of an archive (tar.gz or zip) to `folder`, which appears whole or not at all.

    Regular files and folders below the archive's own folder only, each checked before it is written.

    Raises:
        InputError: a damaged archive, a member that is no plain file, leads elsewhere or is too large; or no room.
    """
    remedy = f"delete it to have it downloaded again, or put the folder {folder} in its place"
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            for name, size, content in _zip(path) if zipfile.is_zipfile(path) else _tar(path):
                target = Path(temporary).joinpath(*PurePosixPath(name).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    shutil.copyfileobj(content, file, 2**20)
                if target.stat().st_size != size:
                    raise _Refused(f"holds {name!r} only in part")
            unpacked = Path(temporary) / folder.name
            if not unpacked.is_dir():
                raise _Refused(f"holds no folder {folder.name}")
            try:
                unpacked.replace(folder)
            except OSError:
                if not folder.is_dir():
                    raise
    except _Refused as why:
        raise InputError(f"{path} {why}; {remedy}") from None
    except _DAMAGED as error:
        cause = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{path} is truncated or corrupt ({cause}); {remedy}") from None
    except OSError as error:
        cause = error.strerror or " ".join(str(error).split())[:120]
        raise InputError(
            f"{path} cannot be unpacked in {folder.parent} ({cause}); make room, or name another folder by --data"
        ) from None


_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, struct.error, NotImplementedError,
    RuntimeError, ValueError,  # of a name that is no text
)  # fmt: skip
"""What the standard library's readers say of an archive that they cannot read."""


class _Refused(Exception):
    """Why an archive is refused, in words that follow its path."""


def _tar(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """(name, size, content) of every file; nothing is written by tarfile itself, so nothing but content is taken."""
    with tarfile.open(path, "r:*") as tar:
        count = total = 0
        for member in tar:
            # The standard library's own rules first: absolute names, names that lead outside, links, devices.
            tarfile.data_filter(member, str(path.parent / "unpacked"))
            count, total = count + 1, total + member.size
            _check(member.name, member.size, count, total, plain=member.isreg() or member.isdir())
            if member.isreg() and (content := tar.extractfile(member)) is not None:
                yield member.name, member.size, content


def _zip(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        total = 0
        for count, member in enumerate(archive.infolist(), start=1):
            total += member.file_size
            kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where it was packed on Windows
            plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
            _check(member.filename, member.file_size, count, total, plain=plain)
            if not member.is_dir():
                with archive.open(member) as content:  # reads no more than file_size, and checks the sum
                    yield member.filename, member.file_size, content


def _check(name: str, size: int, count: int, total: int, *, plain: bool) -> None:
    parts = PurePosixPath(name).parts
    if not plain:
        raise _Refused(f"holds {name!r}, which is neither a file nor a folder")
    if not parts or name.startswith("/") or ".." in parts or any(c in name for c in "\\:\0"):
        raise _Refused(f"holds {name!r}, which leads out of its folder")
    if size > MOST_MEMBER_BYTES or total > MOST_BYTES:
        raise _Refused(f"unpacks to too much: {name!r} has {size} bytes, {total} with what comes before it")
    if count > MOST_MEMBERS:
        raise _Refused(f"holds more than {MOST_MEMBERS} files")
