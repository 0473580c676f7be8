"""The compact sparse file: what is read is what was written, by numpy alone, and a damaged one is one line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from esacl.errors import InputError
from esacl.export import compact, load_sparse
from esacl.export.compact import as_compact, read_compact

LOADER = Path(load_sparse.__file__)


def sparse(shape, density, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) * (rng.random(shape) < density)).astype(np.float32)


def header_of(data: bytes) -> dict:
    return json.loads(data[12 : 12 + int.from_bytes(data[8:12], "little")])


def with_header(data: bytes, change) -> bytes:
    """The file with its header changed by `change(header)`."""
    length = int.from_bytes(data[8:12], "little")
    header = json.loads(data[12 : 12 + length])
    change(header)
    told = json.dumps(header).encode()
    return data[:8] + len(told).to_bytes(4, "little") + told + data[12 + length :]


def read(tmp_path, data: bytes):
    path = tmp_path / "net.sparse"
    path.write_bytes(data)
    return read_compact(path)


@given(
    shape=some.lists(some.integers(0, 7), max_size=4),
    density=some.sampled_from([0.0, 0.02, 0.3, 1.0]),
    seed=some.integers(0, 2**32 - 1),
)
def test_what_is_read_is_what_was_written(tmp_path_factory, shape, density, seed):
    tensors = {"one": sparse(shape, density, seed), "two": sparse((40, 30), density, seed)}
    data = as_compact(tensors, {"run": "x"})
    header, found = read(tmp_path_factory.getbasetemp(), data)
    assert header["run"] == "x"
    assert found.keys() == tensors.keys()
    for name in tensors:
        np.testing.assert_array_equal(found[name], tensors[name], strict=True)


def test_gaps_are_counted_by_hand(tmp_path):
    array = np.zeros(1000, np.float32)
    array[[3, 4, 260, 771]] = 1, 2, 3, 4  # 3 zeros; 0; 255 = one full step and 0; 510 = two full steps and 0
    data = as_compact({"w": array}, {})
    one = header_of(data)["tensors"][0]
    assert one["encoding"] == "gaps"
    places = data[-(one["end"]) :][: one["middle"]]
    assert list(places) == [3, 0, 255, 0, 255, 255, 0]
    np.testing.assert_array_equal(read(tmp_path, data)[1]["w"], array)


@pytest.mark.parametrize(("density", "encoding"), [(1.0, "dense"), (0.5, "bitmask"), (0.05, "gaps")])
def test_the_shortest_encoding_is_taken(density, encoding):
    data = as_compact({"w": sparse((300, 300), density)}, {})
    assert header_of(data)["tensors"][0]["encoding"] == encoding


def test_wide_rows_that_are_nearly_empty_are_written_as_csr(tmp_path):
    array = np.zeros((2, 60_000), np.float32)
    array[:, [7, 59_999]] = 1.5
    data = as_compact({"w": array}, {})
    assert header_of(data)["tensors"][0]["encoding"] == "csr"
    np.testing.assert_array_equal(read(tmp_path, data)[1]["w"], array)


def test_a_network_of_95_percent_is_twelve_times_smaller():
    shapes = {"hidden1.weight": (400, 784), "hidden2.weight": (400, 400)}
    dense = {"hidden1.bias": (400,), "hidden2.bias": (400,), "head.weight": (10, 400), "head.bias": (10,)}
    tensors = {name: sparse(shape, 0.05) for name, shape in shapes.items()}
    tensors |= {name: sparse(shape, 1.0) for name, shape in dense.items()}
    whole = 4 * sum(array.size for array in tensors.values())
    assert whole / len(as_compact(tensors, {})) > 12


def test_the_loader_needs_thirty_lines_and_numpy_alone(tmp_path):
    code = [
        line for line in LOADER.read_text().splitlines() if line.strip() and not line.strip().startswith(('"', "#"))
    ]
    assert len(code) <= 30
    (tmp_path / "loader.py").write_text(LOADER.read_text())
    (tmp_path / "net.sparse").write_bytes(as_compact({"w": sparse((50, 40), 0.1)}, {}))
    script = (
        "import sys; sys.modules.update(torch=None, esacl=None, scipy=None)\n"
        "from loader import load\nprint(float(load('net.sparse')[1]['w'].sum()))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.')\n{script}"],
                          cwd=tmp_path, capture_output=True, text=True)  # fmt: skip
    assert done.stderr == ""
    assert float(done.stdout) == pytest.approx(float(sparse((50, 40), 0.1).sum()))


def test_a_value_that_is_not_finite_is_not_written():
    with pytest.raises(InputError, match=r"head\.bias holds a value that is not finite"):
        as_compact({"head.bias": np.array([1.0, np.nan], np.float32)}, {})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda one: one.update(shape=[2**20, 2**20]), "more than"),
        (lambda one: one.update(shape=[-1, 4]), "are none"),
        (lambda one: one.update(shape=[True]), "are none"),
        (lambda one: one.update(shape="big"), "are none"),
        (lambda one: one.update(shape=[1] * 9), "are none"),
        (lambda one: one.update(shape=[10, 10]), "other places or values"),
        (lambda one: one.update(encoding="pickle"), "has the encoding 'pickle'"),
        (lambda one: one.update(encoding=["gaps"]), "has the encoding"),
        (lambda one: one.update(end=10**9), "outside of the file"),
        (lambda one: one.update(middle=one["end"] + 4), "outside of the file"),
        (lambda one: one.update(middle=one["middle"] + 1), "outside of the file"),
        (lambda one: one.pop("name"), "lacks a key"),
        (lambda one: one.update(more=1), "or has one more"),
    ],
)
def test_a_header_that_lies_is_one_line(tmp_path, change, told):
    data = as_compact({"w": sparse((50, 40), 0.1)}, {})
    with pytest.raises(InputError, match="is damaged") as caught:
        read(tmp_path, with_header(data, lambda header: change(header["tensors"][0])))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tensor_that_is_there_twice_is_refused(tmp_path):
    data = as_compact({"w": sparse((50, 40), 0.1)}, {})
    with pytest.raises(InputError, match="is there twice"):
        read(tmp_path, with_header(data, lambda header: header["tensors"].append(header["tensors"][0])))


@pytest.mark.parametrize("start", [0, 2])
def test_two_tensors_do_not_share_bytes(tmp_path, start):
    data = as_compact({"w": sparse((50, 40), 0.1)}, {})
    with pytest.raises(InputError, match="'v' does not begin where the one before it ends"):
        read(
            tmp_path,
            with_header(data, lambda h: h["tensors"].append(h["tensors"][0] | {"name": "v", "start": start})),
        )


def test_a_small_file_cannot_ask_for_much_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(compact, "load", lambda path: pytest.fail("it was loaded"))
    data = as_compact({"w": np.zeros(8, np.float32)}, {})
    with pytest.raises(InputError, match="more than 67108864 entries"):
        read(tmp_path, with_header(data, lambda header: header["tensors"][0].update(shape=[2**30])))


@given(data=some.data())
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, data):
    whole = bytearray(as_compact({"w": sparse((30, 20), 0.1), "v": sparse((3, 9), 0.6)}, {"run": "x"}))
    for _ in range(data.draw(some.integers(1, 4))):
        whole[data.draw(some.integers(0, len(whole) - 1))] = data.draw(some.integers(0, 255))
    cut = data.draw(some.sampled_from([None, 0, 7, 11, 40, len(whole) // 2, len(whole) - 1]))
    try:
        _, found = read(tmp_path_factory.getbasetemp(), bytes(whole[:cut]))
    except InputError:
        return
    assert all(np.isfinite(array).all() for array in found.values())


def test_what_is_no_such_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="not there"):
        read_compact(tmp_path / "gone")
    with pytest.raises(InputError, match="begins otherwise"):
        read(tmp_path, b"PK\x03\x04 something else")
    (tmp_path / "link").symlink_to(tmp_path / "net.sparse")
    with pytest.raises(InputError, match="not a regular file"):
        read_compact(tmp_path / "link")
