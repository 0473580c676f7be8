"""Tiny-ImageNet: the classes of wnids.txt in its order, decoded as they were written; what is no image is named."""

import struct

import numpy as np
import pytest
from picture_files import TINY, put, write_jpeg, write_tiny
from PIL import Image

from esacl.errors import InputError
from esacl.tiny_imagenet import MOST_FILE_BYTES, read_image, tiny_imagenet


@pytest.fixture
def data(tmp_path):
    return write_tiny(tmp_path, classes=3, train=4, test=2)


def first_image(data):
    wnid = (data / TINY / "wnids.txt").read_text().split()[0]
    return data / TINY / "train" / wnid / "images" / f"{wnid}_0.JPEG"


def refused(call, *parts):
    with pytest.raises(InputError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    for part in parts:
        assert str(part) in line


def test_classes_are_numbered_in_the_order_of_wnids(data):
    train, test = tiny_imagenet("train", data), tiny_imagenet("test", data)
    assert (train.pixels.shape, test.pixels.shape) == ((12, 64, 64, 3), (6, 64, 64, 3))
    assert (train.pixels.dtype, train.white, train.class_names) == (np.uint8, 255, ("word 0", "word 1", "word 2"))
    np.testing.assert_array_equal(train.labels, np.repeat([0, 1, 2], 4))
    np.testing.assert_array_equal(test.labels, [0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(train.pixels[0], np.asarray(Image.open(first_image(data))))
    np.testing.assert_array_equal(test.pixels[4], np.asarray(Image.open(data / TINY / "val" / "images" / "val_4.JPEG")))


def test_classes_that_wnids_does_not_list_are_no_part_of_it(data):
    path = data / TINY / "wnids.txt"
    first, _, third = path.read_text().split()
    path.write_text(f"{third}\n{first}\n")
    train, test = tiny_imagenet("train", data), tiny_imagenet("test", data)
    assert (len(train), len(test), train.class_names) == (8, 4, ("word 2", "word 0"))


def test_classes_without_words_go_by_their_ids_and_equal_words_are_told_apart(data):
    wnids = (data / TINY / "wnids.txt").read_text().split()
    put(data / TINY / "words.txt", f"{wnids[0]}\tcat\n{wnids[1]}\tcat, other\n".encode())
    names = tiny_imagenet("test", data).class_names
    assert names == (f"cat ({wnids[0]})", f"cat ({wnids[1]})", wnids[2])
    (data / TINY / "words.txt").unlink()
    assert tiny_imagenet("test", data).class_names == tuple(wnids)


def test_grey_images_become_colour(data):
    write_jpeg(first_image(data), np.random.default_rng(0), mode="L")
    pixels = tiny_imagenet("train", data).pixels[0]
    assert pixels.shape == (64, 64, 3)
    assert (pixels == pixels[:, :, :1]).all()
    assert pixels.std() > 10


def jpeg_saying(data, width, height):
    """A JPEG of 64x64 whose header announces another size."""
    content = bytearray(first_image(data).read_bytes())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def test_a_huge_image_is_refused_before_it_is_decoded(data, monkeypatch):
    monkeypatch.setattr(Image.Image, "convert", lambda *args: pytest.fail("it was decoded"))
    path = first_image(data)
    content = jpeg_saying(data, 9000, 9000)
    put(path, content)
    refused(lambda: tiny_imagenet("train", data), path, "9000x9000 pixels, not 64x64")
    put(path, jpeg_saying(data, 65500, 65500) if b"\xff\xc0" in content else content)
    refused(lambda: tiny_imagenet("train", data), path, "not 64x64")


def test_an_image_of_another_size(data):
    write_jpeg(first_image(data), np.random.default_rng(0), (65, 64))
    refused(lambda: tiny_imagenet("train", data), first_image(data), "JPEG of 65x64 pixels, not 64x64", "delete")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF"])
def test_another_format_named_jpeg(data, kind):
    Image.new("RGB", (64, 64)).save(first_image(data), kind)
    refused(lambda: tiny_imagenet("train", data), first_image(data), "is no JPEG")


def test_a_truncated_image(data):
    path = first_image(data)
    path.write_bytes(path.read_bytes()[:900])
    refused(lambda: tiny_imagenet("train", data), path, "truncated or corrupt")


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", b"<html>"])
def test_what_is_no_image(tmp_path, content):
    put(tmp_path / "x.JPEG", content)
    refused(lambda: read_image(tmp_path / "x.JPEG", "get another"), "x.JPEG", "get another")


def test_a_huge_file_is_not_opened(tmp_path):
    with (tmp_path / "x.JPEG").open("wb") as file:
        file.truncate(MOST_FILE_BYTES + 1)
    refused(lambda: read_image(tmp_path / "x.JPEG", ""), "larger than 1 MB")


def test_a_class_without_a_folder_is_named(data):
    wnids = (data / TINY / "wnids.txt").read_text().split()
    (data / TINY / "wnids.txt").write_text("\n".join([*wnids, "n99999999"]))
    refused(lambda: tiny_imagenet("train", data), "n99999999", "holds 0 images")
    refused(lambda: tiny_imagenet("test", data), "no image of class n99999999")


def test_an_annotated_image_that_is_missing_is_named(data):
    (data / TINY / "val" / "images" / "val_1.JPEG").unlink()
    refused(lambda: tiny_imagenet("test", data), "val_1.JPEG", "cannot be read")


@pytest.mark.parametrize("wnids", ["", "../../etc", "n1\nn1", "n" * 30, "\n".join(f"n{i}" for i in range(201))])
def test_a_list_of_classes_that_is_none(data, wnids):
    (data / TINY / "wnids.txt").write_text(wnids)
    refused(lambda: tiny_imagenet("train", data), "wnids.txt does not list 1 to 200 different classes")


@pytest.mark.parametrize("line", ["val_0.JPEG\n", "../x.JPEG\tn00000003\n", "\tn00000003\n", "val_0.JPEG\t../n\n"])
def test_annotations_that_lead_elsewhere_or_nowhere(data, line):
    (data / TINY / "val" / "val_annotations.txt").write_text(line)
    refused(lambda: tiny_imagenet("test", data), "val_annotations.txt", "line 1")


def test_texts_that_cannot_be_read(data):
    (data / TINY / "wnids.txt").write_bytes(b"\xff\xfe\xff")
    refused(lambda: tiny_imagenet("train", data), "wnids.txt is no text")
    (data / TINY / "wnids.txt").unlink()
    refused(lambda: tiny_imagenet("train", data), "wnids.txt cannot be read")
