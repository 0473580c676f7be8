"""The decoded cache: decoded once, mapped afterwards, made anew where sources changed or the cache is damaged."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from picture_files import put

from esacl import decoded as cache
from esacl.decoded import FOLDER, Source, decoded
from esacl.errors import InputError

PIXELS = np.arange(10 * 2 * 3 * 3).reshape(10, 2, 3, 3).astype(np.uint8)
LABELS = np.arange(10) % 4


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(cache.platformdirs, "user_cache_path", lambda name: tmp_path / "user" / name)


@pytest.fixture
def counted(tmp_path):
    """A source of ten images in pieces of four, four and two, and how often it was decoded."""
    put(tmp_path / "data" / "a", b"1")
    times = []

    def pieces():
        times.append(1)
        for first in (0, 4, 8):
            yield PIXELS[first : first + 4], LABELS[first : first + 4]

    return Source("name-train", (tmp_path / "data" / "a",), (2, 3, 3), 4, pieces), times


def same(found):
    np.testing.assert_array_equal(found[0], PIXELS)
    np.testing.assert_array_equal(found[1], LABELS)
    assert (found[0].dtype, found[1].dtype) == (np.uint8, np.int64)


def kept(folder):
    (only,) = (folder / FOLDER).iterdir()
    return only


def test_it_is_decoded_once_and_mapped_afterwards(counted, tmp_path):
    source, times = counted
    for _ in range(3):
        found = decoded(source, tmp_path / "data")
        same(found)
        assert isinstance(found[0].base, np.memmap)
        assert not found[0].flags.writeable
    assert len(times) == 1
    same((np.load(kept(tmp_path / "data") / "pixels.npy"), np.load(kept(tmp_path / "data") / "labels.npy")))


@pytest.mark.parametrize("change", ["content", "time"])
def test_changed_sources_are_decoded_anew_and_the_old_is_removed(counted, tmp_path, change):
    source, times = counted
    decoded(source, tmp_path / "data")
    before = kept(tmp_path / "data")
    if change == "content":
        put(source.files[0], b"12")
    else:
        os.utime(source.files[0], (1, 1))
    same(decoded(source, tmp_path / "data"))
    assert len(times) == 2
    assert kept(tmp_path / "data") != before


def damage(file, content):
    def change(folder):
        put(folder / file, content(bytearray((folder / file).read_bytes())))

    return change


DAMAGE = {
    "cut": damage("pixels.npy", lambda b: b[:-1]),
    "a byte more": damage("pixels.npy", lambda b: b + b"x"),
    "empty": damage("pixels.npy", lambda b: b""),
    "no header": damage("pixels.npy", lambda b: b"x" * len(b)),
    "another shape": lambda folder: np.save(folder / "pixels.npy", PIXELS[:, :1]),
    "another type": lambda folder: np.save(folder / "pixels.npy", PIXELS.astype(np.int8)),
    "objects": lambda folder: np.save(folder / "pixels.npy", np.array([{}]), allow_pickle=True),
    "labels of another number": lambda folder: np.save(folder / "labels.npy", LABELS[:9]),
    "a label out of range": lambda folder: np.save(folder / "labels.npy", LABELS + 1),
    "labels as objects": lambda folder: np.save(folder / "labels.npy", np.array([{}] * 10), allow_pickle=True),
    "no labels": lambda folder: (folder / "labels.npy").unlink(),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_cache_is_made_anew(counted, tmp_path, case):
    source, times = counted
    decoded(source, tmp_path / "data")
    DAMAGE[case](kept(tmp_path / "data"))
    for _ in range(2):
        same(decoded(source, tmp_path / "data"))
    assert len(times) == 2


def test_a_header_of_terabytes_asks_for_no_memory(counted, tmp_path):
    source, times = counted
    decoded(source, tmp_path / "data")
    with (kept(tmp_path / "data") / "pixels.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (2**40, 2, 3, 3)}
        np.lib.format.write_array_header_1_0(file, header)
    same(decoded(source, tmp_path / "data"))
    assert len(times) == 2


def test_where_the_data_folder_cannot_be_written_it_is_the_users_cache(counted, tmp_path):
    source, times = counted
    put(tmp_path / "data" / FOLDER, b"in the way")
    for _ in range(2):
        same(decoded(source, tmp_path / "data"))
    assert len(times) == 1
    assert kept(tmp_path / "user" / "esacl").is_dir()


def test_two_data_folders_that_share_the_users_cache_keep_each_others(counted, tmp_path):
    source, times = counted
    other = replace(source, files=(tmp_path / "other" / "a",))
    put(tmp_path / "other" / "a", b"another")
    for folder in ("data", "other"):
        put(tmp_path / folder / FOLDER, b"in the way")
    for _ in range(2):
        same(decoded(source, tmp_path / "data"))
        same(decoded(other, tmp_path / "other"))
    assert len(times) == 2


def test_where_nothing_can_be_written_it_is_decoded_each_time(counted, tmp_path):
    source, times = counted
    put(tmp_path / "data" / FOLDER, b"in the way")
    put(tmp_path / "user", b"in the way")
    for _ in range(2):
        same(decoded(source, tmp_path / "data"))
    assert len(times) == 2


def test_a_full_disk_leaves_nothing_half_written(counted, tmp_path, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    source, _ = counted
    monkeypatch.setattr(cache, "_flush", full)
    same(decoded(source, tmp_path / "data"))
    for folder in (tmp_path / "data", tmp_path / "user" / "esacl"):
        assert not (folder / FOLDER).exists()


def test_what_fails_to_decode_is_told_and_leaves_nothing(counted, tmp_path):
    def broken():
        yield PIXELS[:4], LABELS[:4]
        raise InputError("image 5 is no image")

    with pytest.raises(InputError, match="image 5"):
        decoded(replace(counted[0], pieces=broken), tmp_path / "data")
    assert not (tmp_path / "data" / FOLDER).exists()


def test_another_process_that_was_faster_is_no_trouble(counted, tmp_path):
    source, times = counted

    def slower():
        decoded(source, tmp_path / "data")  # done while this one decodes
        yield PIXELS, LABELS

    same(decoded(replace(source, pieces=slower), tmp_path / "data"))
    assert len(times) == 1
    assert kept(tmp_path / "data").is_dir()


def test_what_a_killed_build_has_left_is_removed_by_the_next(counted, tmp_path):
    source, _ = counted
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[3])\n"
        "from pathlib import Path\n"
        "from esacl.decoded import _build, Source\n"
        "def pieces():\n    print('begun', flush=True)\n    sys.stdin.read()\n    yield\n"
        "source = Source('name-train', (Path(sys.argv[2]),), (2, 3, 3), 4, pieces)\n"
        "_build(source, Path(sys.argv[1]), 'name-train', '0' * 20)\n"
    )
    place, root = tmp_path / "data" / FOLDER, Path(cache.__file__).parents[1]
    command = [sys.executable, "-c", script, str(place), str(source.files[0]), str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as builder:
        builder.stdout.readline()
        (other,) = place.iterdir()
        same(decoded(source, tmp_path / "data"))
        assert other.is_dir(), "it was taken from one that is at work"
        builder.kill()
    put(tmp_path / "data" / "a", b"other files")
    put(place / ".hidden.tmp", b"no folder")
    same(decoded(source, tmp_path / "data"))
    assert not other.exists()
    assert {path.name[:11] for path in place.iterdir()} == {"name-train-", ".hidden.tmp"}
