"""CIFAR: what is read is what the official format says; a batch that is none is named in one line."""

from pathlib import Path

import numpy as np
import pytest
from mirror import NOWHERE
from picture_files import CIFAR10, CIFAR100, modern_pickle, put, python2_pickle, rows_of, write_cifar10, write_cifar100

from esacl import cifar
from esacl.cifar import cifar10, cifar100
from esacl.errors import DataMissing, InputError

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
ROWS = rows_of("x", 10)
LABELS = list(range(10))


@pytest.mark.parametrize("dumps", [python2_pickle, modern_pickle])
def test_cifar10(tmp_path, dumps):
    write_cifar10(tmp_path, dumps=dumps)
    train, test = cifar10("train", tmp_path), cifar10("test", tmp_path)
    assert (train.pixels.shape, test.pixels.shape) == ((400, 32, 32, 3), (40, 32, 32, 3))
    assert (train.pixels.dtype, train.labels.dtype, train.white) == (np.uint8, np.int64, 255)
    assert train.class_names == tuple(f"kind {i}" for i in range(10))
    np.testing.assert_array_equal(train.labels, np.arange(400) % 10)
    # "The first 1024 entries contain the red channel values, the next 1024 the green, and the final 1024 the blue. The
    # image is stored in row-major order" (the publisher's page)
    red, green, blue = rows_of("data_batch_2", 80)[7].reshape(3, 1024)
    np.testing.assert_array_equal(train.pixels[87], np.stack([red, green, blue], axis=1).reshape(32, 32, 3))


@pytest.mark.parametrize("dumps", [python2_pickle, modern_pickle])
def test_cifar100_has_fine_labels(tmp_path, dumps):
    write_cifar100(tmp_path, dumps=dumps)
    train, test = cifar100("train", tmp_path), cifar100("test", tmp_path)
    assert (train.pixels.shape, test.pixels.shape) == ((1000, 32, 32, 3), (100, 32, 32, 3))
    np.testing.assert_array_equal(test.labels, np.arange(100))
    assert (train.class_names[0], train.class_names[99], len(train.class_names)) == ("fine 0", "fine 99", 100)
    np.testing.assert_array_equal(test.pixels[5, :, :, 2].ravel(), rows_of("test", 100)[5, 2048:])
    assert train.mean == (0.5071, 0.4867, 0.4408)


def test_only_the_files_of_the_part_are_looked_at(tmp_path):
    write_cifar10(tmp_path, "train")
    assert len(cifar10("train", tmp_path)) == 400
    with pytest.raises(InputError, match=r"has no file test_batch; put the original .* or delete"):
        cifar10("test", tmp_path)


BAD = {
    "a label out of range": ({b"labels": [*LABELS[:9], 10], b"data": ROWS}, "holds the label 10; labels are 0 to 9"),
    "a negative label": ({b"labels": [*LABELS[:9], -1], b"data": ROWS}, "holds the label -1"),
    "a label that is a text": ({b"labels": [*LABELS[:9], b"cat"], b"data": ROWS}, "holds the label"),
    "too few labels": ({b"labels": LABELS[:9], b"data": ROWS}, "holds 9 labels for its 10 images"),
    "coarse labels only": ({b"coarse_labels": LABELS, b"data": ROWS}, "holds no labels for its 10 images"),
    "no images": ({b"labels": LABELS}, "holds no array of images"),
    "images of another size": ({b"labels": LABELS, b"data": ROWS[:, :784].copy()}, "10x784 where n x 3072 is due"),
    "an array of one dimension": ({b"labels": LABELS, b"data": ROWS[0].copy()}, "3072 where n x 3072"),
    "nothing": ({b"labels": [], b"data": ROWS[:0]}, "0x3072"),
}


def nested(depth: int) -> list:
    found: list = []
    for _ in range(depth):
        found = [found]
    return found


BAD["a label that is a list of lists"] = ({b"labels": [*LABELS[:9], nested(300)], b"data": ROWS}, "label of type list;")


@pytest.mark.parametrize("case", BAD)
def test_a_bad_batch_is_named_in_one_line(tmp_path, case):
    content, told = BAD[case]
    write_cifar10(tmp_path)
    path = tmp_path / CIFAR10 / "data_batch_3"
    put(path, python2_pickle(content))
    with pytest.raises(InputError) as caught:
        cifar10("train", tmp_path)
    line = str(caught.value)
    assert line.startswith(f"{path} ")
    assert told in line
    assert "\n" not in line
    assert f"delete {tmp_path / CIFAR10}" in line
    assert not (tmp_path / "decoded").exists()  # nothing half-written, and no folder for it


@pytest.mark.parametrize("names", [[b"a"] * 9, b"abc", None, [1] * 10])
def test_names_that_are_none(tmp_path, names):
    write_cifar10(tmp_path)
    put(tmp_path / CIFAR10 / "batches.meta", python2_pickle({b"label_names": names} if names else {b"x": 1}))
    with pytest.raises(InputError, match=r"batches\.meta does not name 10 classes"):
        cifar10("train", tmp_path)


@pytest.mark.parametrize(("read", "folder"), [(cifar10, CIFAR10), (cifar100, CIFAR100)])
def test_offline_the_line_says_what_to_put_where(tmp_path, monkeypatch, read, folder):
    for layout in (cifar.CIFAR10, cifar.CIFAR100):
        monkeypatch.setitem(vars(layout.archive), "mirrors", NOWHERE)  # past the frozen dataclass
    with pytest.raises(DataMissing) as caught:
        read("train", tmp_path)
    assert folder in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.skipif(not (REAL / CIFAR10).is_dir(), reason="the real CIFAR-10 is not here")
def test_the_real_cifar10():
    train = cifar10("train", REAL)
    assert np.bincount(train.labels).tolist() == [5000] * 10
    mean = train.pixels.reshape(-1, 3).mean(0) / 255
    np.testing.assert_allclose(mean, train.mean, atol=2e-3)
