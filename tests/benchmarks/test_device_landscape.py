import pickle

import numpy as np
import pytest
import torch

from benchmarks import device_landscape as landscape
from benchmarks.resnet import ResNet18
from esacl.errors import InputError

CPU = torch.device("cpu")


def test_it_is_resnet_18():
    network = ResNet18()
    assert sum(p.numel() for p in network.parameters()) == 11_173_962
    with torch.no_grad():
        assert network.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_quick_on_a_cpu_finds_time_and_work_and_says_that_the_peak_is_unknown():
    found = landscape.resnet_landscape(CPU, True)
    assert found["peak_tflops"] == "unknown for CPU"
    grid, top = found["grid_5x5"], found["top5"]
    assert grid["evaluations"] == 25
    assert len(top["values"]) == 5
    assert top["products"] > 4
    for one in (grid, top):
        assert one["seconds"] > 0
        assert one["share_of_peak"] is None
    # A product is a gradient and more: over three forward passes.
    assert top["flops"] / top["products"] > 3 * grid["flops"] / 25


def test_flops_are_those_of_a_forward_pass():
    network = ResNet18(width=4).eval()
    counted = landscape._flops(lambda: landscape._forward(network, torch.zeros(2, 3, 16, 16)))
    stem = 2 * 2 * 16 * 16 * 27 * 4  # two images, a multiplication and an addition
    assert counted > stem
    assert counted == 2 * landscape._flops(lambda: landscape._forward(network, torch.zeros(1, 3, 16, 16)))


def test_the_whole_size_is_refused_on_a_cpu():
    assert "--quick" in landscape.resnet_landscape(CPU, False)["skipped"]


def test_peaks_are_of_the_precision_that_is_used():
    assert landscape.peak_of("NVIDIA H200", tf32=True) == 494.7
    assert landscape.peak_of("NVIDIA H200", tf32=False) == 67.0
    assert landscape.peak_of("Tesla T4", tf32=True) == 8.1
    assert landscape.peak_of("NVIDIA H200 MIG 1g.18gb", tf32=True) is None
    assert landscape._rate(2e12, 2.0, 4.0) == {"seconds": 2.0, "flops": 2e12, "tflops": 1.0, "share_of_peak": 0.25}


def batch(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))


def test_cifar_is_read_where_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3072), dtype=np.uint8)
    batch(tmp_path / landscape.CIFAR[0], {b"data": pixels, b"labels": [1, 2, 3, 4, 5, 6]})
    source, images, labels = landscape._images(4, 32, tmp_path)
    assert (source, images.shape) == ("of CIFAR-10", (4, 3, 32, 32))
    assert labels.tolist() == [1, 2, 3, 4]
    assert images.mean().abs() < 1e-5
    assert landscape._images(4, 32, tmp_path / "elsewhere")[0].startswith("made-up")


@pytest.mark.parametrize("content", [{b"labels": [1]}, [1, 2], Exception("x")])
def test_what_is_no_batch_is_refused_and_runs_nothing(tmp_path, content):
    path = tmp_path / "data_batch_1"
    batch(path, content)
    with pytest.raises(InputError, match="no batch of CIFAR-10"):
        landscape.read_cifar(path, 1)
