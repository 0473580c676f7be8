import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from esacl.arrays import read_arrays, write_arrays
from esacl.errors import RunUnreadable


def test_arrays_come_back_as_they_went(tmp_path):
    arrays = {
        "dense/body.0.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "mask/body.0.weight": np.array([[True, False]]),
        "names": np.array(["a", "Ärger"]),
        "scalar": np.array(0.9),
        "empty": np.zeros((0, 3), np.uint8),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    }
    write_arrays(tmp_path / "a.npz", arrays)
    found = read_arrays(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_objects_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(tmp_path / "a.npz", {"x": np.array([{}], dtype=object)})
    assert list(tmp_path.iterdir()) == []


def packed(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=True)
    return out.getvalue()


def claiming(shape: str) -> bytes:
    """An array file whose header claims more than follows."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 16


BAD = {
    "empty": b"",
    "no zip": b"nonsense" * 10,
    "pickle": packed({"x.npy": npy(np.array([{}], dtype=object))}),
    "claims 10^11": packed({"x.npy": claiming("(100000000000,)")}),
    "claims overflow": packed({"x.npy": claiming("(4294967296, 4294967296, 4294967296)")}),
    "negative": packed({"x.npy": claiming("(-2,)")}),
    "no array": packed({"x.npy": b"text"}),
    "evil header": packed({"x.npy": b"\x93NUMPY\x01\x00\x10\x00" + b"__import__('os')"}),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_what_is_no_array_file_is_refused_and_named(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(RunUnreadable, match=r"bad\.npz"):
        read_arrays(path)


def test_a_file_that_inflates_beyond_the_limit_is_refused_before_it_does(tmp_path):
    write_arrays(tmp_path / "a.npz", {"x": np.zeros(100_000)})
    assert (tmp_path / "a.npz").stat().st_size < 10_000
    with pytest.raises(RunUnreadable, match="unpacks to more than"):
        read_arrays(tmp_path / "a.npz", most=10_000)


@pytest.mark.parametrize("place", [30, 60, 200])
def test_a_flipped_or_cut_file_is_refused(tmp_path, place):
    path: Path = tmp_path / "a.npz"
    write_arrays(path, {"x": np.random.default_rng(0).normal(size=200)})
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:-place])
    with pytest.raises(RunUnreadable):
        read_arrays(path)
    data[place] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(RunUnreadable):
        read_arrays(path)


def test_a_missing_file_and_a_link_are_refused(tmp_path):
    with pytest.raises(RunUnreadable, match="missing"):
        read_arrays(tmp_path / "none.npz")
    write_arrays(tmp_path / "a.npz", {"x": np.zeros(1)})
    (tmp_path / "link.npz").symlink_to(tmp_path / "a.npz")
    with pytest.raises(RunUnreadable):
        read_arrays(tmp_path / "link.npz")


def test_damaged_packing_is_refused(tmp_path):
    good = packed({"x.npy": npy(np.arange(50.0))})
    start = good.index(b"x.npy") + 5  # where the packed data begin
    path = tmp_path / "a.npz"
    path.write_bytes(good[:start] + b"\xff\xff\xff" + good[start + 3 :])
    with pytest.raises(RunUnreadable):
        read_arrays(path)
