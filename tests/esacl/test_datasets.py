"""Data sets: what is read is what was written; what is damaged, missing or offline is one typed line."""

import gzip
import hashlib
import importlib.util
import os
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from idx_files import idx_bytes, write_mnist
from mirror import NOWHERE, serving

from esacl import datasets
from esacl.errors import DataMissing, InputError
from esacl.seeds import numpy_generator

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
IMAGES = np.arange(3 * 28 * 28).reshape(3, 28, 28) % 251


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    monkeypatch.setattr(datasets, "MNIST_MIRRORS", NOWHERE)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def refused(call, *parts: str, kind: type[InputError] = InputError) -> str:
    """The one line with which a call is refused; it must hold all `parts`."""
    with pytest.raises(kind) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    for part in parts:
        assert part in line
    return line


# --- digits ---------------------------------------------------------------------------------------------


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    train, test = datasets.digits("train"), datasets.digits("test")
    ours = np.concatenate([train.pixels, test.pixels]).reshape(-1, 64)
    labelled = np.column_stack([ours, np.concatenate([train.labels, test.labels])])
    theirs = np.column_stack([bunch.data, bunch.target]).astype(np.int64)
    assert sorted(map(tuple, labelled)) == sorted(map(tuple, theirs))
    assert (len(train), len(test), train.white) == (1258, 539, 16)


def test_digits_without_the_file_come_from_scikit_learn_itself(monkeypatch):
    expected = datasets.digits("test")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = datasets.digits("test")
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    np.testing.assert_array_equal(found.labels, expected.labels)


def test_digits_split_is_stratified():
    train, test = datasets.digits("train"), datasets.digits("test")
    share = np.bincount(test.labels) / (np.bincount(train.labels) + np.bincount(test.labels))
    assert np.abs(share - 0.3).max() < 0.01


# --- stratified draws -----------------------------------------------------------------------------------


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    share=st.floats(0, 1.2),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_stratified_keeps_each_share_within_one(sizes, share, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * 3, sizes))
    count = round(share * len(labels))
    drawn = datasets.stratified(labels, count, numpy_generator(seed, "x"))
    assert len(drawn) == min(count, len(labels))
    assert (np.diff(drawn) > 0).all()
    for number, size in enumerate(sizes):
        got = int((labels[drawn] == 3 * number).sum())
        assert abs(got - size * min(count, len(labels)) / len(labels)) < 1
    rest = datasets.others(drawn, len(labels))
    assert sorted([*drawn, *rest]) == list(range(len(labels)))


def test_stratified_draws_by_its_generator():
    labels = np.arange(100) % 2
    draws = [tuple(datasets.stratified(labels, 20, numpy_generator(seed, "x"))) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


# --- idx files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a-ubyte", "a-ubyte.gz"])
@pytest.mark.parametrize("shape", [(7,), (3, 28, 28), (1, 1)])
def test_idx_round_trip(tmp_path, name, shape):
    array = np.arange(np.prod(shape)).reshape(shape) % 256
    content = idx_bytes(array)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    np.testing.assert_array_equal(datasets.read_idx(tmp_path / name, len(shape)), array)


GOOD = idx_bytes(IMAGES)
PACKED = gzip.compress(GOOD)
BAD = {
    "empty": (b"", "ends within its header"),
    "header only in part": (GOOD[:9], "ends within its header, after 9 bytes"),
    "labels for images": (
        idx_bytes(np.arange(3)) + bytes(8),
        "does not begin like an idx file of 3 dimensions",
    ),
    "floats": (b"\0\0\x0d\x03" + GOOD[4:], "00000d03"),
    "not idx": (b"<html>not found</html>", "does not begin like"),
    "one byte short": (GOOD[:-1], "announces 2352 bytes and holds only 2351"),
    "one byte more": (GOOD + b"\0", "announces 2352 bytes and holds more"),
    "no images": (idx_bytes(np.zeros((0, 28, 28))), "announces an array of 0x28x28"),
    "a hundred thousand million": (struct.pack(">HBBIII", 0, 8, 3, 2**32 - 1, 28, 28), "4294967295x28x28"),
    "product overflows 64 bits": (struct.pack(">HBBIII", 0, 8, 3, *[2**32 - 1] * 3), "announces an array of"),
}
BAD_PACKED = {
    "empty": (b"", "ends within its header"),
    "not gzip": (GOOD, "truncated or corrupt"),
    "cut": (PACKED[: len(PACKED) // 2], "truncated or corrupt"),
    "cut in its trailer": (PACKED[:-3], "truncated or corrupt"),
    "wrong sum": (PACKED[:-8] + bytes(8), "truncated or corrupt"),
    "garbage inside": (PACKED[:20] + b"\xff" * 40 + PACKED[60:], "truncated or corrupt"),
    "garbage behind": (PACKED + b"garbage", "truncated or corrupt"),
    "a bomb": (gzip.compress(GOOD + bytes(200_000_000), 1), "announces 2352 bytes and holds more"),
    "an announced bomb": (
        gzip.compress(struct.pack(">HBBIII", 0, 8, 3, 2_000_000, 28, 28) + bytes(10**6)), "2000000x28x28",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_idx_file_is_named_in_one_line(tmp_path, case):
    content, cause = BAD[case]
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    refused(lambda: datasets.read_idx(path, 3), str(path), cause, "delete it")


@pytest.mark.parametrize("case", BAD_PACKED)
def test_a_bad_gzip_file_is_named_in_one_line(tmp_path, case):
    content, cause = BAD_PACKED[case]
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    refused(lambda: datasets.read_idx(path, 3), str(path), cause, "delete it")


def test_a_bomb_is_never_inflated(tmp_path, monkeypatch):
    path = tmp_path / "bomb.gz"
    path.write_bytes(BAD_PACKED["a bomb"][0])
    asked = []
    read = gzip.GzipFile.read

    def counting(self, size=-1):
        asked.append(size)
        return read(self, size)

    monkeypatch.setattr(gzip.GzipFile, "read", counting)
    refused(lambda: datasets.read_idx(path, 3), "holds more")
    assert all(0 <= size <= IMAGES.size + 1 for size in asked)
    assert len(asked) == 2


def test_a_huge_file_is_not_opened(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    with path.open("wb") as file:
        file.truncate(datasets.MOST_BYTES + 1)  # sparse: takes no room
    refused(lambda: datasets.read_idx(path, 3), str(path), "larger than 64 MB")


def test_a_folder_or_nothing_in_place_of_a_file(tmp_path):
    refused(lambda: datasets.read_idx(tmp_path, 3), str(tmp_path), "cannot be read")
    refused(lambda: datasets.read_idx(tmp_path / "no", 3), str(tmp_path / "no"), "cannot be read")


@given(
    packed=st.booleans(),
    position=st.integers(0, 10**6),
    byte=st.integers(0, 255),
    length=st.integers(0, 10**6),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_damage_is_either_harmless_or_refused(packed, position, byte, length):
    content = bytearray(PACKED if packed else GOOD)
    content[position % len(content)] = byte
    content = content[: 1 + length % (2 * len(content))]  # half of the time nothing is cut off
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("x.gz" if packed else "x")
        path.write_bytes(content)
        line = None
        try:
            size = datasets.read_idx(path, 3).size
        except InputError as error:
            size, line = 0, str(error)
        assert size <= IMAGES.size
        assert line is None or (str(path) in line and "\n" not in line)


# --- MNIST ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["MNIST/raw", "mnist/raw", "."])
@pytest.mark.parametrize("compress", [True, False])
def test_mnist_is_found_in_each_layout(tmp_path, folder, compress):
    write_mnist(tmp_path, folder=folder, compress=compress)
    train, test = datasets.mnist("train", tmp_path), datasets.mnist("test", tmp_path)
    assert (train.pixels.shape, test.pixels.shape) == ((400, 28, 28), (100, 28, 28))
    assert (train.pixels.dtype, train.labels.dtype, train.white) == (np.uint8, np.int64, 255)
    np.testing.assert_array_equal(train.labels, np.arange(400) % 10)
    expected = np.random.default_rng(100).integers(0, 256, (100, 28, 28))
    np.testing.assert_array_equal(test.pixels, expected)
    assert datasets.mnist_folder(tmp_path) == tmp_path / folder


def test_the_folder_comes_from_the_environment(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    monkeypatch.setenv("ESACL_DATA", str(tmp_path))
    assert len(datasets.mnist("test")) == 100
    assert datasets.mnist_folder() == tmp_path / "MNIST" / "raw"
    monkeypatch.setenv("ESACL_DATA", "")
    assert datasets.default_folder().name == "esacl"


def test_only_the_files_of_the_part_are_looked_at(tmp_path):
    write_mnist(tmp_path, "train")
    assert len(datasets.mnist("train", tmp_path)) == 400
    assert datasets.mnist_folder(tmp_path) is None


def test_files_that_do_not_belong_together(tmp_path):
    raw = write_mnist(tmp_path) / "MNIST" / "raw"
    labels = raw / "train-labels-idx1-ubyte.gz"

    def put(path: Path, array: np.ndarray) -> None:
        path.write_bytes(gzip.compress(idx_bytes(array)))

    put(labels, np.arange(399) % 10)
    refused(lambda: datasets.mnist("train", tmp_path), str(labels), "399 labels for the 400 images")
    put(labels, np.arange(400) % 11)
    refused(lambda: datasets.mnist("train", tmp_path), str(labels), "the label 10")
    images = raw / "train-images-idx3-ubyte.gz"
    put(images, np.zeros((400, 32, 32)))
    refused(lambda: datasets.mnist("train", tmp_path), str(images), "32x32 pixels instead of 28x28")


def test_offline_the_line_says_which_files_to_put_where(tmp_path):
    line = refused(lambda: datasets.mnist("train", tmp_path), "no connection", "--data", kind=DataMissing)
    assert str(tmp_path / "MNIST" / "raw") in line
    for name in datasets.MNIST_HASHES:
        assert name in line
    assert len(line) < 500


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "MNIST").write_text("in the way")
    refused(lambda: datasets.mnist("train", tmp_path), str(tmp_path / "MNIST" / "raw"), kind=DataMissing)


def test_what_is_missing_is_downloaded_from_the_first_mirror_that_has_it(tmp_path, monkeypatch):
    mirror = write_mnist(tmp_path / "mirror", folder=".")
    hashes = {name: hashlib.sha256((mirror / name).read_bytes()).hexdigest() for name in datasets.MNIST_HASHES}
    monkeypatch.setattr(datasets, "MNIST_HASHES", hashes)
    data = tmp_path / "data"
    with serving(mirror) as url:
        monkeypatch.setattr(datasets, "MNIST_MIRRORS", (*NOWHERE, url))
        assert len(datasets.mnist("train", data)) == 400
    assert sorted(os.listdir(data / "MNIST" / "raw")) == sorted(datasets.MNIST_FILES["train"])  # not the test data
    monkeypatch.setattr(datasets, "MNIST_MIRRORS", NOWHERE)
    assert len(datasets.mnist("train", data)) == 400  # and not once more


def test_a_download_with_the_wrong_hash_is_not_kept(tmp_path, monkeypatch):
    mirror = write_mnist(tmp_path / "mirror", folder=".")
    with serving(mirror) as url:
        monkeypatch.setattr(datasets, "MNIST_MIRRORS", (url,))
        refused(lambda: datasets.mnist("train", tmp_path / "data"), "wrong hash", kind=DataMissing)
    assert not list((tmp_path / "data").rglob("*.gz"))


@pytest.mark.skipif(not (REAL / "train-images-idx3-ubyte.gz").is_file(), reason="the real MNIST is not here")
def test_the_real_mnist():
    train, test = datasets.mnist("train", REAL), datasets.mnist("test", REAL)
    # the class sizes that everybody counts
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert round(float(train.pixels.mean()) / 255, 4) == 0.1307  # the mean everybody normalises by
