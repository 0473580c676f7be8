"""Archives: the folder appears whole or not at all; what leads elsewhere, is no file or is too large is refused."""

import concurrent.futures
import hashlib
import io
import os
import stat
import tarfile
import time
import zipfile
from dataclasses import replace

import pytest
from mirror import NOWHERE, serving
from picture_files import put

from esacl import archives
from esacl.archives import Archive, folder_of, unpack
from esacl.errors import DataMissing, InputError

ARCHIVE = Archive("Pictures", "pictures", "pictures.tar.gz", "md5:" + "0" * 32, NOWHERE, "one, sub/two")
FILES = {"pictures/one": b"1", "pictures/sub/two": b"22"}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def tar_of(path, members):
    """A tar.gz of {name: content, or a TarInfo of something else}."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            data = b"" if isinstance(content, tarfile.TarInfo) else content
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def zip_of(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tar_entry(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_entry(name, mode):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def refused(path, folder, *parts):
    with pytest.raises(InputError) as caught:
        unpack(path, folder)
    line = str(caught.value)
    assert "\n" not in line
    for part in (str(path), *parts):
        assert part in line
    assert os.listdir(path.parent) == [path.name]  # nothing half-written, nothing beside
    return line


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_the_folder_appears_with_its_files(tmp_path, pack):
    path = pack(tmp_path / "a", {"pictures/": b""} | FILES if pack is zip_of else FILES)
    unpack(path, tmp_path / "pictures")
    assert (tmp_path / "pictures" / "one").read_bytes() == b"1"
    assert (tmp_path / "pictures" / "sub" / "two").read_bytes() == b"22"
    assert sorted(os.listdir(tmp_path)) == ["a", "pictures"]


@pytest.mark.parametrize("pack", [tar_of, zip_of])
@pytest.mark.parametrize("name", ["../evil", "/tmp/evil-of-a-test", "pictures/../../evil", "pictures/..", "C:\\evil"])
def test_a_member_that_leads_elsewhere(tmp_path, pack, name):
    (tmp_path / "in").mkdir()
    path = pack(tmp_path / "in" / "a", FILES | {name: b"x"})
    refused(path, tmp_path / "in" / "pictures")
    assert os.listdir(tmp_path) == ["in"]
    assert not os.path.exists("/tmp/evil-of-a-test")


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "one"),
        (tarfile.LNKTYPE, "pictures/one"),
        (tarfile.CHRTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ],
)
def test_a_link_or_device_in_a_tar(tmp_path, kind, target):
    path = tar_of(tmp_path / "a", FILES | {"x": tar_entry("pictures/x", kind, target)})
    refused(path, tmp_path / "pictures", "pictures/x")


def test_a_link_in_a_zip(tmp_path):
    path = zip_of(tmp_path / "a", FILES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zip_entry("pictures/x", stat.S_IFLNK | 0o777), "/etc/passwd")
    refused(path, tmp_path / "pictures", "pictures/x", "neither a file nor a folder")


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_a_bomb(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(archives, "MOST_MEMBER_BYTES", 1000)
    refused(pack(tmp_path / "a", {"pictures/x": bytes(1001)}), tmp_path / "pictures", "too much", "pictures/x")
    monkeypatch.setattr(archives, "MOST_BYTES", 1500)
    members = {f"pictures/{i}": bytes(900) for i in range(2)}
    refused(pack(tmp_path / "a", members), tmp_path / "pictures", "too much", "pictures/1")
    monkeypatch.setattr(archives, "MOST_MEMBERS", 2)
    refused(pack(tmp_path / "a", FILES | {"pictures/c": b""}), tmp_path / "pictures", "more than 2 files")


def test_a_size_of_gigabytes_that_is_only_announced(tmp_path):
    info = tarfile.TarInfo("pictures/x")
    info.size = 2**40
    put(tmp_path / "a", info.tobuf())
    refused(tmp_path / "a", tmp_path / "pictures", "too much")


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_an_archive_that_is_cut(tmp_path, pack):
    path = pack(tmp_path / "a", {"pictures/x": os.urandom(5000)})
    path.write_bytes(path.read_bytes()[:3000])
    refused(path, tmp_path / "pictures", "truncated or corrupt")


def test_an_archive_of_something_else(tmp_path):
    refused(tar_of(tmp_path / "a", {"other/x": b""}), tmp_path / "pictures", "holds no folder pictures")


def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    path = tar_of(tmp_path / "a", FILES)
    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    refused(path, tmp_path / "pictures", "No space left on device", "make room")


def test_offline_the_line_says_which_files_to_put_where(tmp_path):
    with pytest.raises(DataMissing) as caught:
        folder_of(ARCHIVE, tmp_path / "data")
    line = str(caught.value)
    for part in ("Pictures", str(tmp_path / "data"), "pictures.tar.gz", "one, sub/two", "--data", "no connection"):
        assert part in line
    assert "\n" not in line
    assert not (tmp_path / "data").exists()


def test_what_is_missing_is_downloaded_checked_and_unpacked_once(tmp_path):
    (tmp_path / "mirror").mkdir()
    path = tar_of(tmp_path / "mirror" / ARCHIVE.name, FILES)
    known = "md5:" + hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    data = tmp_path / "data"
    with serving(path.parent) as url:
        there = replace(ARCHIVE, known_hash=known, mirrors=(*NOWHERE, url))
        assert folder_of(there, data) == data / "pictures"
    assert os.listdir(data) == ["pictures"]  # the archive itself is not kept
    assert folder_of(ARCHIVE, data) == data / "pictures"


def test_two_that_need_it_at_once_fetch_it_once(tmp_path, monkeypatch):
    path = tar_of(tmp_path / ARCHIVE.name, FILES)
    (tmp_path / "data").mkdir()
    fetched = []

    def slowly(mirrors, name, known_hash, data):
        fetched.append(name)
        time.sleep(0.2)
        return path

    monkeypatch.setattr(archives, "download", slowly)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: folder_of(ARCHIVE, tmp_path / "data"), range(4)))
    assert found == [tmp_path / "data" / "pictures"] * 4
    assert fetched == [ARCHIVE.name]
    assert os.listdir(tmp_path / "data") == ["pictures"]


def test_a_folder_that_somebody_else_put_there_meanwhile_will_do(tmp_path):
    path = tar_of(tmp_path / ARCHIVE.name, FILES)
    unpack(path, tmp_path / "pictures")
    unpack(path, tmp_path / "pictures")
    assert (tmp_path / "pictures" / "one").read_bytes() == b"1"


def test_a_download_with_the_wrong_hash_is_neither_unpacked_nor_kept(tmp_path):
    (tmp_path / "mirror").mkdir()
    path = tar_of(tmp_path / "mirror" / ARCHIVE.name, FILES)
    with serving(path.parent) as url, pytest.raises(DataMissing, match="wrong hash"):
        folder_of(replace(ARCHIVE, mirrors=(url,)), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_another_archive_put_there_by_hand_is_named_with_both_hashes_and_left_alone(tmp_path):
    path = tar_of(tmp_path / ARCHIVE.name, FILES)
    found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    known = "md5:" + "0" * 32
    with serving(tmp_path) as url, pytest.raises(InputError, match=f"md5 is {found}, not {'0' * 32}"):
        folder_of(replace(ARCHIVE, known_hash=known, mirrors=(url,)), tmp_path)
    assert hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == found


def test_an_archive_put_there_by_hand_is_unpacked_and_kept(tmp_path):
    path = tar_of(tmp_path / ARCHIVE.name, FILES)
    known = "md5:" + hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    assert folder_of(replace(ARCHIVE, known_hash=known), tmp_path) == tmp_path / "pictures"
    assert path.exists()
