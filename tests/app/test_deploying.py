"""What was measured for deployment: read with care, and said honestly."""

import dataclasses

import numpy as np
import pytest
from synthetic_run import deployment_arrays

from app import deploying
from esacl.errors import RunUnreadable


@pytest.fixture
def found():
    return deploying.deployment(deployment_arrays())


def test_each_engine_and_each_format_has_its_bar(found):
    assert [bar.value for bar in deploying.times(found, 32)] == [8e-4, 3e-4, 6e-4]
    assert [bar.name for bar in deploying.times(found, 32)] == [
        "PyTorch, dense", "PyTorch, sparse layers", "ONNX Runtime, dense",
    ]  # fmt: skip
    assert "half of 5 rounds between 0.76\u00a0ms and 0.84\u00a0ms" in deploying.times(found, 32)[0].tip
    assert [(bar.name, bar.value) for bar in deploying.files(found)] == [
        ("safetensors, dense", 7200), ("compact sparse file", 900), ("ONNX, dense", 7900),
    ]  # fmt: skip
    assert deploying.smaller(found) == "8 times smaller than dense safetensors, 12.5\u00a0% of it."


def test_a_sparse_file_that_is_larger_is_not_called_smaller(found):
    larger = dataclasses.replace(found, sizes={**found.sizes, "sparse": 7920})
    assert deploying.smaller(larger) == "1.1 times as large as dense safetensors: it saves nothing here."


def test_where_sparsity_does_not_pay_it_is_said(found):
    pays, not_here = deploying.verdict(found, 32), deploying.verdict(found, 256)
    assert pays == "Batch 32: sparsity pays, 2 times as fast as ONNX Runtime, dense, the best dense one."
    assert not_here == "Batch 256: sparsity does **not** pay in time: ONNX Runtime, dense is 1.5 times as fast."
    dense = deploying.deployment(deployment_arrays() | {"sparse_layers": np.array([], dtype=str)})
    assert "No layer is sparse enough" in deploying.verdict(dense, 1)


def shrunk_arrays(seconds: float) -> dict:
    """The same with a smaller network that takes `seconds`."""
    arrays = deployment_arrays()
    return arrays | {
        "engines": np.array([*arrays["engines"], "torch, shrunk"]),
        "seconds": np.concatenate([arrays["seconds"], np.full((1, 3, 5), seconds)]),
        "apart": np.append(arrays["apart"], 1e-7),
        "shrunk_bytes": np.array(800),
        "shrunk_layers": np.array(["body.hidden1", "body.hidden2"]),
        "shrunk_widths": np.array([[100, 32], [100, 29]]),
    }


def test_a_network_without_idle_units_stands_beside_the_others():
    found = deploying.deployment(shrunk_arrays(5e-5))
    assert deploying.times(found, 32)[-1].name == "PyTorch, idle units left out"
    assert deploying.files(found)[-1].value == 800
    assert deploying.smallest(found) == "The smallest: safetensors, idle units left out, 800\u00a0B."
    assert "(units a layer: hidden1 100 → 32, hidden2 100 → 29)" in deploying.widths(found)
    assert deploying.verdict(found, 32) == (
        "Batch 32: leaving idle units out pays, 12 times as fast as ONNX Runtime, dense, the best of the whole network."
    )
    slow = deploying.deployment(shrunk_arrays(1.0))
    assert deploying.verdict(slow, 32) == deploying.verdict(deploying.deployment(deployment_arrays()), 32)
    assert "does **not** pay" in deploying.verdict(slow, 256)
    alone = deploying.deployment(shrunk_arrays(5e-5) | {"sparse_layers": np.array([], dtype=str)})
    assert "leaving idle units out pays" in deploying.verdict(alone, 1)


def test_every_file_of_the_smaller_network_has_its_bar_and_the_smallest_is_named():
    sizes = {"shrunk_formats": np.array(["safetensors", "sparse"]), "shrunk_sizes": np.array([800, 600])}
    found = deploying.deployment(shrunk_arrays(5e-5) | sizes)
    assert [(bar.name, bar.value) for bar in deploying.files(found)][3:] == [
        ("safetensors, idle units left out", 800), ("compact sparse file, idle units left out", 600),
    ]  # fmt: skip
    assert deploying.smallest(found) == "The smallest: compact sparse file, idle units left out, 600\u00a0B."


@pytest.mark.parametrize("factor", [0.96, 0.9999, 1.0, 1.04])
def test_what_makes_no_difference_is_not_called_one(factor):
    arrays = deployment_arrays()
    times = np.array([1e-4, factor * 1e-4])[:, None, None] * np.ones((2, 3, 5))
    less = {name: arrays[name][:2] for name in ("engines", "apart")} | {"seconds": times}
    found = deploying.deployment(arrays | less)
    told = "no difference in time that shows between PyTorch, sparse layers and PyTorch, dense."
    assert deploying.verdict(found, 32) == f"Batch 32: {told}"
    noisy = times * np.array([[[1]], [[0.9]]]) * np.linspace(0.7, 1.3, 5)  # by a tenth, and half of the rounds apart
    assert deploying.verdict(deploying.deployment(arrays | less | {"seconds": noisy}), 1).endswith(told)


def test_sparse_layers_that_are_not_there_are_not_timed():
    arrays = shrunk_arrays(1.01e-4) | {"sparse_layers": np.array([], dtype=str)}
    found = deploying.deployment(arrays)
    assert "PyTorch, sparse layers" not in [bar.name for bar in deploying.times(found, 1)]
    assert "does **not** pay" in deploying.verdict(deploying.deployment(shrunk_arrays(1.0) | {
        "sparse_layers": np.array([], dtype=str)}), 1)  # fmt: skip


def by_onnx_too(seconds: float, shrunk: float) -> dict:
    """The same by ONNX Runtime as well, which takes `seconds`, and torch `shrunk`."""
    arrays = shrunk_arrays(shrunk)
    return arrays | {
        "engines": np.array([*arrays["engines"], "ONNX Runtime, shrunk"]),
        "seconds": np.concatenate([arrays["seconds"], np.full((1, 3, 5), seconds)]),
        "apart": np.append(arrays["apart"], 1e-7),
    }


def test_what_pays_by_onnx_runtime_alone_is_no_whole_network():
    found = deploying.deployment(by_onnx_too(5e-5, 1.0))
    assert deploying.times(found, 32)[-1].name == "ONNX Runtime, idle units left out"
    assert deploying.verdict(found, 256) == (
        "Batch 256: leaving idle units out pays by ONNX Runtime, 80 times as fast as ONNX Runtime, dense, the best of "
        "the whole network."
    )
    torch_is_faster = deploying.deployment(by_onnx_too(5e-5, 2e-5))
    assert "leaving idle units out pays, 30 times" in deploying.verdict(torch_is_faster, 32)
    assert "does **not** pay" in deploying.verdict(deploying.deployment(by_onnx_too(1.0, 1.0)), 256)


def test_recordings_without_it_say_nothing_of_it(found):
    assert deploying.widths(found) == ""
    assert found.shrunk_sizes == {}
    assert deploying.smallest(found) == "The smallest: compact sparse file, 900\u00a0B."


def test_a_machine_without_onnx_shows_what_it_has():
    arrays = deployment_arrays()
    less = {name: arrays[name][:2] for name in ("engines", "seconds", "apart", "formats", "bytes")}
    found = deploying.deployment(arrays | less)
    assert len(deploying.times(found, 1)) == len(deploying.files(found)) == 2
    assert "PyTorch, dense, the best dense one" in deploying.verdict(found, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": np.zeros((3, 3, 5))},
        {"seconds": np.ones((2, 3, 5))},
        {"seconds": np.full((3, 3, 5), np.nan)},
        {"seconds": np.ones((3, 3, 0))},
        {"engines": np.array(["torch, dense", "magic", "ONNX Runtime, dense"])},
        {"bytes": np.array([1])},
        {"batches": np.array(["many"] * 3)},
        {"threads": np.array([1, 2])},
    ],
    ids=str,
)
def test_damaged_arrays_are_one_line(change):
    with pytest.raises(RunUnreadable, match="damaged; measure it again"):
        deploying.deployment(deployment_arrays() | change)


@pytest.mark.parametrize("change", [
    {"shrunk_widths": np.ones((2, 3))}, {"shrunk_bytes": np.ones(2)},
    {"shrunk_formats": np.array(["sparse"]), "shrunk_sizes": np.ones(2)},
    {"shrunk_formats": np.array(["magic"]), "shrunk_sizes": np.ones(1)}, {"shrunk_sizes": np.ones(1)},
], ids=str)
def test_damaged_widths_are_one_line(change):
    with pytest.raises(RunUnreadable, match="damaged; measure it again"):
        deploying.deployment(shrunk_arrays(1.0) | change)
