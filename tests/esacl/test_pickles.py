"""Pickles from strangers: arrays of bytes come through as they were; every program is refused in one line, unrun."""

import contextlib
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from picture_files import modern_pickle, put, python2_pickle

from esacl.errors import InputError
from esacl.pickles import array_of, read_pickle

ROWS = np.arange(2 * 3072).reshape(2, 3072).astype(np.uint8)
GOOD = python2_pickle({b"labels": [1, 2], b"data": ROWS})
ENCODE = b"c_codecs\nencode\n"
DTYPE = b"cnumpy\ndtype\n"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
EMPTY_ARRAY = RECONSTRUCT + b"cnumpy\nndarray\nK\0\x85U\x01b\x87R"
BYTES = DTYPE + b"U\x02u1K\0K\x01\x87R"


class Payload:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def array_saying(shape: bytes, content: bytes = b"U\x03abc", kind: bytes = BYTES) -> bytes:
    return b"\x80\x02}U\x04data" + EMPTY_ARRAY + b"(K\x01" + shape + kind + b"\x89" + content + b"tbs."


@pytest.fixture
def read(tmp_path):
    def of(content: bytes, most: int = 2**20):
        put(tmp_path / "batch", content)
        return read_pickle(tmp_path / "batch", most, "get another")

    return of


@pytest.mark.parametrize("dumps", [python2_pickle, modern_pickle, lambda v: pickle.dumps(v, protocol=4)])
@pytest.mark.parametrize("core", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_what_is_read_is_what_was_written(read, tmp_path, dumps, core):
    content = dumps({b"labels": [1, 300, 70000], b"data": ROWS, b"label_names": [b"cat", b"dog"]})
    for old in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        if content[:2] == b"\x80\x02":  # later protocols count the letters of names
            content = content.replace(b"c" + old + b"\n", b"c" + core + b"\n")
    found = read(content)
    assert (found["labels"], found["label_names"]) == ([1, 300, 70000], [b"cat", b"dog"])
    array = array_of(found["data"], tmp_path, "")
    np.testing.assert_array_equal(array, ROWS)
    assert array.dtype == np.uint8
    assert not array.flags.writeable


def test_an_array_in_fortrans_order(read, tmp_path):
    found = read(modern_pickle({b"data": np.asfortranarray(ROWS)}))
    np.testing.assert_array_equal(array_of(found["data"], tmp_path, ""), ROWS)


PROGRAMS = {
    "os.system": (pickle.dumps({b"data": Payload(os.system, "touch ran")}, 2), "asks for posix.system"),
    "eval": (pickle.dumps(Payload(eval, "open('ran', 'w')"), 2), "asks for __builtin__.eval"),
    "getattr": (pickle.dumps(Payload(getattr, 1, "real"), 4), "asks for builtins.getattr"),
    "bytes of a size": (pickle.dumps(Payload(bytes, 10**9), 2), "asks for __builtin__.bytes"),
    "bytearray of a size": (pickle.dumps(Payload(bytearray, 10**9), 4), "asks for builtins.bytearray"),
    "numpy's own function": (pickle.dumps(Payload(np.zeros, 10**9), 4), "asks for numpy.zeros"),
    "numpy's scalar": (pickle.dumps({b"labels": np.int64(3)}, 2), "multiarray.scalar"),
    "a class by INST": (b"\x80\x02(ios\nsystem\n.", "uses INST"),
    "a class by OBJ": (b"\x80\x02(cnumpy\nndarray\nK\x01o.", "uses OBJ"),
    "a class by NEWOBJ": (b"\x80\x02cnumpy\nndarray\n)\x81.", "uses NEWOBJ"),
    "an extension": (b"\x80\x02\x82\x01.", "uses EXT1"),
    "a persistent id": (b"\x80\x02Px\n.", "uses PERSID"),
    "codecs for another encoding": (b"\x80\x02" + ENCODE + b"X\x01\0\0\0aX\x05\0\0\0rot13\x86R.", "else than latin1"),
    "an array of objects": (array_saying(b"K\x01\x85", kind=DTYPE + b"U\x02O8K\0K\x01\x87R"), "unsigned bytes"),
    "reconstruct of no array": (b"\x80\x02" + RECONSTRUCT + DTYPE + b"K\0\x85U\x01b\x87R.", "no array"),
    "attributes of what it imported": (b"\x80\x02" + ENCODE + b"N}U\x05_leftM\xff\xffs\x86b.", "changes what it"),
    "a dtype by its state": (b"\x80\x02" + DTYPE + b"}U\x01xK\x01sb.", "changes what it"),
}
DAMAGE = {
    "empty": (b"", "truncated or corrupt"),
    "no pickle": (b"<html>", "truncated or corrupt"),
    "no dict": (b"\x80\x02].", "holds no dict"),
    "cut": (GOOD[: len(GOOD) // 2], "truncated or corrupt"),
    "cut by a byte": (GOOD[:-1], "truncated or corrupt"),
    "a text of four gigabytes": (b"\x80\x02}U\x04dataX\xff\xff\xff\xff.", "truncated or corrupt"),
    "a memo of four billion": (b"\x80\x02}r\xff\xff\xff\x7f.", "memo of gigabytes"),
    "a huge announced array": (array_saying(b"J" + struct.pack("<i", 2**31 - 1) + b"J\0\0\0\x40\x86"), "and holds 3"),
    "a negative shape": (array_saying(b"J\xfd\xff\xff\xffJ\xff\xff\xff\xff\x86"), "unsigned bytes"),
    "an array without content": (b"\x80\x02}U\x04data" + EMPTY_ARRAY + b"s.", "without shape and content"),
    "seventy dimensions": (array_saying(b"(" + b"K\1" * 70 + b"t", b"U\1a"), "an array of 70 dimensions"),
    "nothing, in huge rows": (array_saying(b"(K\0J" + struct.pack("<i", 2**31 - 1) + b"t", b"U\0"), "and holds 0"),
    "a state that is none": (b"\x80\x02" + EMPTY_ARRAY + b"K\x01b.", "without shape and content"),
}


@pytest.mark.parametrize("case", PROGRAMS)
def test_a_program_is_refused_and_not_run(read, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    content, told = PROGRAMS[case]
    with pytest.raises(InputError, match=told) as caught:
        read(content)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "batch") in str(caught.value)
    assert os.listdir(tmp_path) == ["batch"]


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named_in_one_line_and_asks_for_no_memory(read, tmp_path, case):
    content, told = DAMAGE[case]
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=told) as caught:
            array_of(read(content)["data"], tmp_path / "batch", "get another")
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert "batch" in str(caught.value)
    assert str(caught.value).endswith("get another")


def test_tuples_in_tuples_neither_overflow_the_stack_nor_are_hashed_for_ever(read):
    with pytest.raises(InputError, match="makes more than 16 tuples"):
        read(b"\x80\x02})" + b"\x85" * 300_000 + b"Ns.")
    doubled = b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60))
    with pytest.raises(InputError, match="makes more than 16 tuples"):
        read(b"\x80\x02})" + doubled + b"Ns.")
    assert read(b"\x80\x02})" + doubled[: 5 * 14] + b"Ns.").keys()  # as many as there may be end at once


@pytest.mark.parametrize(
    "step",
    [
        DTYPE + b"U\x02u1h\0\x86q\0R",  # an argument of dtype holds the tuple before it
        DTYPE + b"U\x02u1\x85Rh\0\x85q\0b",  # a state of dtype
        RECONSTRUCT + b"cnumpy\nndarray\nh\0\x85q\0U\x01b\x87R",  # the shape of an array
    ],
)
def test_no_tuple_is_nested_by_way_of_what_consumes_it(read, step):
    with pytest.raises(InputError, match=r"nests what no array needs|more than 16 tuples"):
        read(b"\x80\x02})q\0" + step * 40 + b"h\0Ns.")


def test_a_text_that_is_encoded_again_and_again_does_not_grow(read):
    text = b"X" + struct.pack("<i", 60_000) + b"a" * 60_000 + b"q\0"
    again = ENCODE + b"h\0X\x06\0\0\0latin1\x86R"
    with pytest.raises(InputError, match="expands to more than its own size"):
        read(b"\x80\x02](" + text + again * 50 + b"e.")


def test_a_huge_file_is_not_opened(tmp_path):
    path = tmp_path / "batch"
    with path.open("wb") as file:
        file.truncate(2**20 + 1)
    with pytest.raises(InputError, match="larger than 1 MB"):
        read_pickle(path, 2**20, "")


def test_something_else_than_an_array(tmp_path):
    with pytest.raises(InputError, match="no array of images"):
        array_of([1, 2], tmp_path, "")


@pytest.mark.parametrize("position", range(0, 200, 3))
def test_any_byte_changed_is_harmless_or_refused(read, position):
    for value in (0, 40, 82, 255):
        content = bytearray(GOOD)
        content[position] = value
        with contextlib.suppress(InputError):  # the only error there may be
            assert all(isinstance(key, str) for key in read(bytes(content)))
