"""What the protocol costs at scale: small cases counted by hand."""

import itertools

import pytest

from benchmarks import scale
from benchmarks.scale_model import (
    Times,
    bound,
    evaluated_of,
    exchange_seconds,
    images_of,
    makespan,
    read_times,
    run_seconds,
    steps_of,
    with_stragglers,
)
from esacl.errors import InputError

ABOUT = {"kind": "measured", "hardware": "h", "source": "s", "commit": "c"}


def config(benchmark="split-cifar10", method="derpp", sparsity=0.9):
    return scale._config(benchmark, method, sparsity)


def test_a_schedule_counted_by_hand():
    runs = [3.0, 3, 2, 2, 2]
    assert makespan(runs, 1) == 12
    assert makespan(runs, 2) == 7  # 3 2 2 and 3 2; nobody does better than 6
    assert makespan([2, 2, 2, 3, 3], 2) == 7  # 2 2 3 and 2 3
    assert makespan([1, 1, 1, 1, 4], 2) == 6
    assert makespan([4, 1, 1, 1, 1], 2) == 4
    assert bound(runs, 2) == 6
    assert bound([1, 1, 4], 3) == 4


def test_no_schedule_is_below_the_bound_nor_beyond_grahams():
    for runs in itertools.product([1.0, 2.0, 5.0], repeat=5):
        for gpus in (1, 2, 3):
            assert bound(runs, gpus) <= makespan(runs, gpus) <= (2 - 1 / gpus) * bound(runs, gpus) + 1e-9


def test_steps_of_the_published_protocol():
    assert steps_of(config()) == 5 * 50 * 313
    assert steps_of(config("split-cifar100")) == 10 * 50 * 157
    assert steps_of(config("split-tiny-imagenet")) == 10 * 100 * 313


@pytest.mark.parametrize(("method", "images"), [("ewc", 32), ("er", 64), ("derpp", 96), ("sparcl", 96), ("esacl", 128)])
def test_images_of_a_step(method, images):
    assert images_of(config(method=method)) == pytest.approx(images)


def test_evaluations_of_all_tasks_so_far():
    # CIFAR-10: 2,000 test images a task, 1 + 2 + 3 + 4 + 5 tasks, forward alone
    assert evaluated_of(config()) == pytest.approx(15 * 2000 / 3)


def test_seconds_of_a_run():
    times = Times(**ABOUT, flops_per_second=1e9, least_seconds=0.001, run={"start_seconds": 7.0})
    steps, evaluations = 5 * 50 * 313 * 0.096, 10_000 / 1e3
    assert run_seconds(config(), times, 1e6) == pytest.approx(7 + steps + evaluations)


def test_a_step_is_between_its_neighbours_and_never_faster_than_the_smallest():
    times = Times(**ABOUT, points={32: [(8.0, 0.010), (32.0, 0.010), (96.0, 0.026)]})
    found = [times.step(images, 32, 0.0) for images in (1, 8, 20, 64, 96, 128)]
    assert found == pytest.approx([0.010, 0.010, 0.010, 0.018, 0.026, 0.026 * 128 / 96])
    with pytest.raises(InputError, match="no step was measured with images of 64 pixels a side, only 32"):
        times.step(8, 64, 0.0)
    assert Times(**ABOUT, flops_per_second=1e9, least_seconds=0.5).step(1, 32, 1e6) == 0.5


def test_an_image_of_an_unmeasured_side_counts_by_its_pixels_where_the_file_says_so():
    times = Times(**ABOUT, points={32: [(32.0, 0.010), (96.0, 0.030)]}, by_pixels=True)
    assert times.step(16, 64, 0.0) == pytest.approx(0.020)  # as 64 of 32x32
    assert times.step(48, 64, 0.0) == pytest.approx(0.060)


def test_exchanges_by_a_ring():
    link = {"bytes_per_second": 1e9, "latency_seconds": 1e-3}
    # k = 4: 6 rounds; 1.5 times 2e9 bytes; three small ones are 6 rounds each
    assert exchange_seconds(4, 2e9, 3, link) == pytest.approx(6e-3 * 4 + 1.5 * 2)


def test_stragglers_are_a_share_of_the_runs():
    assert with_stragglers([1.0, 2.0], 0.0, 3.0, 0) == [1, 2]
    assert with_stragglers([1.0, 2.0], 1.0, 3.0, 0) == [3, 6]
    late = with_stragglers([1.0] * 1000, 0.05, 2.0, 0)
    assert 20 < sum(one == 2 for one in late) < 90


def test_the_protocol_is_six_hundred_runs():
    everything = scale.configs()
    assert len(everything) == 600
    assert len({one.digest for one in everything}) == 600
    assert {one.network for one in everything} == {"resnet18"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind = 1", "will not do"),
        ('kind = "assumed"\nhardware = "h"\nsource = "s"\ncommit = "c"', "neither"),
        ('kind = "guessed"\nhardware = "h"\nsource = "s"\ncommit = "c"\nflops_per_second = 1.0', "'guessed'"),
        ("[", "will not do"),
        (None, "cannot be read"),
    ],
)
def test_bad_times_are_one_line(text, said, tmp_path, capsys):
    path = tmp_path / "times.toml"
    if text is not None:
        path.write_text(text)
    assert scale.main(["--times", str(path), "--out", str(tmp_path / "out.md")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: times ")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out.md").exists()


def test_what_was_measured_is_reported_as_measured(tmp_path, capsys, monkeypatch):
    path, out = tmp_path / "times.toml", tmp_path / "out.md"
    assert scale.main(["--measure", str(path), "--device", "cpu", "--images", "2", "3", "--sides", "4"]) == 0
    times = read_times(path)
    assert times.kind == "measured"
    assert [images for images, _ in times.points[4]] == [2, 3]
    assert times.exchange.keys() == read_times(scale.HERE / "times" / "scale.toml").exchange.keys()
    monkeypatch.setattr(scale, "network_facts", lambda side: (1e6, 44, 20))
    larger = "[[step]]\nside = 64\nimages = 8\nseconds = 1\n"
    path.write_text(path.read_text().replace("side = 4", "side = 32") + larger)
    beside = str(scale.HERE / "times" / "scale.toml")
    assert scale.main(["--times", str(path), "--out", str(out), "--beside", beside]) == 0
    text = out.read_text()
    assert "**The step times are measured.**" in text
    assert "By other times, assumed, the same runs are" in text
    assert text.count("| split-") == 15
