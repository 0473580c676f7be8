"""Task streams: what every benchmark must keep, run over the dict; then what each is."""

import shutil

import numpy as np
import pytest
import torch
from idx_files import write_mnist
from picture_files import CIFAR10, python2_pickle, rows_of, write_all, write_cifar10, write_tiny

from esacl import cifar, datasets
from esacl.config import BENCHMARK_NAMES, BENCHMARKS, RunConfig
from esacl.errors import DataMissing, InputError
from esacl.tasks import BENCHMARKS as FUNCTIONS
from esacl.tasks import Examples, TaskStream, task_stream

CASES = [(name, scenario) for name, facts in BENCHMARKS.items() for scenario in facts["scenarios"]]
every_benchmark = pytest.mark.parametrize(("benchmark_name", "scenario"), CASES)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    monkeypatch.setattr(datasets, "MNIST_MIRRORS", ("http://127.0.0.1:9/",))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("data"))


def rows(examples: Examples) -> list[bytes]:
    return [row.numpy().tobytes() for row in examples.inputs]


def test_the_names_are_those_of_the_config():
    assert tuple(FUNCTIONS) == BENCHMARK_NAMES


@every_benchmark
def test_invariants(data, benchmark_name, scenario):
    published = {"resolution": BENCHMARKS[benchmark_name]["side"]}  # averages of the fixtures' noise are grey
    stream = task_stream(RunConfig(benchmark=benchmark_name, scenario=scenario, **published), data)
    assert isinstance(stream, TaskStream)
    tasks = BENCHMARKS[benchmark_name]["tasks"]
    assert len(stream) == len(list(stream)) == len(stream[:99]) == tasks
    assert [task.index for task in stream[1:3]] == [1, 2]
    assert stream[-1].index == tasks - 1
    with pytest.raises(IndexError):
        stream[tasks]
    assert len(stream.class_names) == stream.outputs
    seen: set[int] = set()
    for task in stream:
        assert len(task.class_names) == len(task.classes)
        for examples in (task.train, task.evaluation):
            assert examples.inputs.shape == (len(examples), *stream.input_shape)
            assert (examples.inputs.dtype, examples.targets.dtype) == (torch.float32, torch.int64)
            pixels = (
                examples.inputs * torch.tensor(stream.std)[:, None, None] + torch.tensor(stream.mean)[:, None, None]
            )
            assert -1e-6 <= float(pixels.min()) < float(pixels.max()) == pytest.approx(1, abs=0.03)  # a JPEG's white
            assert set(examples.targets.tolist()) == set(task.classes)
        assert not set(rows(task.train)) & set(rows(task.evaluation))
        seen |= set(task.classes)
    assert seen == set(range(stream.outputs))


@every_benchmark
def test_the_same_seed_gives_the_same_stream(data, benchmark_name, scenario):
    config = RunConfig(benchmark=benchmark_name, scenario=scenario, train_limit=20, evaluation="validation", seed=3)
    state = torch.random.get_rng_state()
    for first, second in zip(task_stream(config, data), task_stream(config, data), strict=True):
        assert torch.equal(first.train.inputs, second.train.inputs)
        assert torch.equal(first.evaluation.inputs, second.evaluation.inputs)
    assert torch.equal(state, torch.random.get_rng_state())


@every_benchmark
def test_all_seeds_have_the_same_test_set(data, benchmark_name, scenario):
    streams = [task_stream(RunConfig(benchmark=benchmark_name, scenario=scenario, seed=s), data) for s in (0, 7)]
    for first, second in zip(*streams, strict=True):
        assert torch.equal(first.evaluation.targets, second.evaluation.targets)
        # a permuted task has the same images in another order of pixels
        assert torch.equal(*(t.evaluation.inputs.flatten(1).sort().values for t in (first, second)))
        assert torch.equal(first.train.targets, second.train.targets)


@every_benchmark
def test_validation_is_a_stratified_tenth_of_the_training_data(data, benchmark_name, scenario):
    fields = {"benchmark": benchmark_name, "scenario": scenario}
    whole = task_stream(RunConfig(**fields), data)[0]
    parts = [task_stream(RunConfig(**fields, evaluation="validation", seed=s), data)[0] for s in (0, 1)]
    for part in parts:
        assert sorted(rows(part.train) + rows(part.evaluation)) == sorted(rows(whole.train))
        share = part.evaluation.targets.bincount() / whole.train.targets.bincount()
        assert float((share - 0.1).abs().max()) < 0.02
    assert set(rows(parts[0].evaluation)) != set(rows(parts[1].evaluation))


@pytest.mark.parametrize("name", ["split-mnist", "permuted-mnist"])
def test_validation_never_opens_the_test_files(tmp_path, name):
    write_mnist(tmp_path, "train")
    assert len(task_stream(RunConfig(benchmark=name, evaluation="validation"), tmp_path)[0].evaluation)
    with pytest.raises(DataMissing):
        task_stream(RunConfig(benchmark=name), tmp_path)


def test_validation_never_asks_for_the_test_part_of_the_digits(monkeypatch):
    asked = []
    read = datasets.digits
    monkeypatch.setattr(datasets, "digits", lambda part: asked.append(part) or read(part))
    task_stream(RunConfig(evaluation="validation"))[0].evaluation  # noqa: B018
    assert asked == ["train"]


@every_benchmark
@pytest.mark.parametrize("limit", [4, 33])
def test_train_limit_is_per_task_and_stratified(data, benchmark_name, scenario, limit):
    config = RunConfig(benchmark=benchmark_name, scenario=scenario, train_limit=limit)
    whole = task_stream(RunConfig(benchmark=benchmark_name, scenario=scenario), data)
    for task, unlimited in zip(task_stream(config, data), whole, strict=True):
        assert len(task.train) == limit
        counts = task.train.targets.bincount(minlength=100)[list(task.classes)]
        assert int(counts.max() - counts.min()) <= 2
        assert set(rows(task.train)) <= set(rows(unlimited.train))
        assert len(task.evaluation) == len(unlimited.evaluation)


def test_a_limit_beyond_the_data_is_no_limit(data):
    limited = task_stream(RunConfig(benchmark="split-mnist", train_limit=10_000), data)
    assert len(limited[0].train) == 80


def test_split_targets_are_columns():
    for scenario in ("task", "class"):
        stream = task_stream(RunConfig(scenario=scenario, tasks=3))
        assert (stream.outputs, len(stream)) == (6, 3)
        assert [task.classes for task in stream] == [(0, 1), (2, 3), (4, 5)]
        assert stream.class_names == ("0", "1", "2", "3", "4", "5")
    shared = task_stream(RunConfig(scenario="domain", tasks=3))
    assert (shared.outputs, shared.class_names) == (2, ("even", "odd"))
    assert [task.classes for task in shared] == [(0, 1)] * 3
    assert [task.class_names for task in shared] == [("0", "1"), ("2", "3"), ("4", "5")]


def test_shared_columns_mean_even_and_odd():
    separate, shared = (task_stream(RunConfig(scenario=scenario)) for scenario in ("class", "domain"))
    for ours, theirs in zip(shared, separate, strict=True):
        assert torch.equal(ours.train.inputs, theirs.train.inputs)
        assert torch.equal(ours.train.targets, theirs.train.targets % 2)


def test_permuted_mnist_moves_pixels_only(data):
    plain = datasets.mnist("test", data).pixels.reshape(100, -1) / np.float32(255)
    config = RunConfig(benchmark="permuted-mnist", tasks=4)
    tasks = list(task_stream(config, data))
    np.testing.assert_array_equal(tasks[0].evaluation.inputs.flatten(1), plain)
    orders = set()
    for task in tasks:
        moved = task.evaluation.inputs.flatten(1).numpy()
        # random images: a column of pixels is found again by its values over the images
        position = {column.tobytes(): i for i, column in enumerate(plain.T)}
        order = tuple(position[column.tobytes()] for column in moved.T)
        assert sorted(order) == list(range(784))
        orders.add(order)
        train = datasets.mnist("train", data).pixels.reshape(400, -1)[:, order] / np.float32(255)
        np.testing.assert_array_equal(task.train.inputs.flatten(1), train)  # one order for both parts
    assert len(orders) == 4


def test_permutations_depend_on_the_seed_but_not_on_the_number_of_tasks(data):
    def second(**fields):
        return task_stream(RunConfig(benchmark="permuted-mnist", **fields), data)[1].evaluation.inputs

    assert torch.equal(second(tasks=2), second(tasks=20))
    assert not torch.equal(second(seed=0), second(seed=1))


def test_a_task_makes_its_examples_once_and_a_stream_keeps_none(data):
    stream = task_stream(RunConfig(benchmark="permuted-mnist"), data)
    task = stream[1]
    assert task.train is task.train
    assert stream[1].train is not task.train


def test_a_class_that_is_missing_is_named(tmp_path, data):
    write_mnist(tmp_path)
    raw = tmp_path / "MNIST" / "raw"
    from idx_files import idx_bytes

    for file in raw.glob("*labels*"):
        file.unlink()
    (raw / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(400) % 7))
    (raw / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(100) % 10))
    with pytest.raises(InputError, match=r"training data of split-mnist below .* of class '7'; ") as caught:
        task_stream(RunConfig(benchmark="split-mnist"), tmp_path)
    assert f"below {tmp_path} has" in str(caught.value)
    assert str(caught.value).endswith("put the whole data set there, or choose at most 3 tasks")
    assert len(task_stream(RunConfig(benchmark="split-mnist", tasks=3), tmp_path)) == 3


def test_a_permuted_task_says_in_which_order_it_sees_the_pixels(tmp_path):
    write_mnist(tmp_path)
    stream = task_stream(RunConfig(benchmark="permuted-mnist", tasks=3), tmp_path)
    plain = stream[0].evaluation.inputs.flatten(1)
    assert stream[0].order is None
    for task in (stream[1], stream[2]):
        assert torch.equal(task.evaluation.inputs.flatten(1), plain[:, torch.from_numpy(task.order)])
    assert stream[1].order.tolist() != stream[2].order.tolist()


def test_a_lower_resolution_is_the_mean_of_blocks(data):
    published = task_stream(RunConfig(benchmark="split-tiny-imagenet", resolution=64), data)
    halved = task_stream(RunConfig(benchmark="split-tiny-imagenet"), data)
    assert (published.input_shape, halved.input_shape) == ((3, 64, 64), (3, 32, 32))
    for part in ("train", "evaluation"):
        large, small = getattr(published[1], part), getattr(halved[1], part)
        means = torch.nn.functional.avg_pool2d(large.inputs, 2)
        one_step = 1 / 255 / min(halved.std)
        assert (small.inputs - means).abs().max() <= one_step / 2 + 1e-6
        assert torch.equal(small.targets, large.targets)


def test_pixels_are_permuted_after_they_are_averaged(data):
    halved = task_stream(RunConfig(benchmark="permuted-mnist", resolution=14, tasks=2), data)
    plain, permuted = halved[0].evaluation.inputs, halved[1].evaluation.inputs
    assert plain.shape[1:] == permuted.shape[1:] == halved.input_shape == (1, 14, 14)
    assert not torch.equal(plain, permuted)
    assert torch.equal(plain.flatten(1).sort(dim=1).values, permuted.flatten(1).sort(dim=1).values)


def test_pixels_undo_the_normalisation(data):
    stream = task_stream(RunConfig(benchmark="split-mnist"), data)
    expected = datasets.mnist("test", data)
    shown = stream.pixels(stream[2].evaluation.inputs)
    np.testing.assert_array_equal(shown, expected.pixels[np.isin(expected.labels, (4, 5))])
    assert shown.dtype == np.uint8
    colour = stream.pixels(torch.rand(2, 3, 4, 5) * 3 - 1)
    assert (colour.shape, colour.min(), colour.max()) == ((2, 4, 5, 3), 0, 255)


def test_colour_is_normalised_by_channel_and_undone_for_display(data):
    stream = task_stream(RunConfig(benchmark="split-cifar10"), data)
    assert stream.input_shape == (3, 32, 32)
    expected = cifar.cifar10("test", data)
    ours = expected.pixels[np.isin(expected.labels, (2, 3))]
    inputs = stream[1].evaluation.inputs
    np.testing.assert_array_equal(stream.pixels(inputs), ours)
    for channel, (mean, std) in enumerate(zip((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2615), strict=True)):
        by_hand = (ours[:, :, :, channel] / 255 - mean) / std
        np.testing.assert_allclose(inputs[:, channel], by_hand, atol=1e-5)
        assert float(stream.black[channel]) == pytest.approx(-mean / std)
    assert inputs.is_contiguous()


@pytest.mark.parametrize(("name", "outputs", "first"), [("split-cifar10", 10, 2), ("split-cifar100", 100, 10)])
def test_cifar_has_its_published_tasks(data, name, outputs, first):
    stream = task_stream(RunConfig(benchmark=name), data)
    assert (stream.outputs, stream[0].classes) == (outputs, tuple(range(first)))
    assert [len(task.classes) for task in stream] == [first] * len(stream)


@pytest.mark.parametrize(("tasks", "each"), [(1, 10), (2, 5), (3, 3), (5, 2)])
def test_the_classes_of_tiny_imagenet_that_are_there_are_dealt_out_in_their_order(data, tasks, each):
    stream = task_stream(RunConfig(benchmark="split-tiny-imagenet", tasks=tasks, resolution=64), data)
    assert [len(task.classes) for task in stream] == [each] * tasks
    assert [name for task in stream for name in task.class_names] == [f"word {i}" for i in range(each * tasks)]
    assert stream.input_shape == (3, 64, 64)


@pytest.mark.parametrize(("scenario", "tasks", "left"), [("task", 3, 1), ("class", 4, 2), ("task", 5, 0)])
def test_classes_that_do_not_come_out_even_are_counted(data, scenario, tasks, left):
    config = RunConfig(benchmark="split-tiny-imagenet", scenario=scenario, tasks=tasks, resolution=64)
    assert task_stream(config, data).left_out == left


def test_more_tasks_than_there_are_classes_for(data):
    with pytest.raises(InputError, match="has 10 classes here, too few for two in each of 6 tasks; choose at most 5"):
        task_stream(RunConfig(benchmark="split-tiny-imagenet", tasks=6), data)


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (1, "1 class here, too few for two in each of 2 tasks; put"),
        (3, "3 classes here, too few for two in each of 2 tasks; choose at most 1 task, or put"),
    ],
)
def test_what_is_told_of_few_classes_can_be_done(tmp_path, classes, told):
    write_tiny(tmp_path, classes=classes, train=10)
    with pytest.raises(InputError) as caught:
        task_stream(RunConfig(benchmark="split-tiny-imagenet", tasks=2), tmp_path)
    assert str(caught.value) == f"split-tiny-imagenet has {told} the whole data set in its place"


def test_a_class_of_cifar_that_is_missing_is_named(tmp_path):
    write_cifar10(tmp_path)
    batch = {b"labels": [i % 7 for i in range(40)], b"data": rows_of("x", 40)}
    (tmp_path / CIFAR10 / "test_batch").write_bytes(python2_pickle(batch))
    with pytest.raises(InputError, match=r"split-cifar10 below .* has no example of class 'kind 7'.* at most 3 tasks$"):
        task_stream(RunConfig(benchmark="split-cifar10"), tmp_path)
    assert len(task_stream(RunConfig(benchmark="split-cifar10", tasks=3), tmp_path)) == 3


def test_validation_never_opens_the_test_pictures(tmp_path):
    write_cifar10(tmp_path, "train")
    shutil.rmtree(write_tiny(tmp_path) / "tiny-imagenet-200" / "val")
    for name in ("split-cifar10", "split-tiny-imagenet"):
        assert len(task_stream(RunConfig(benchmark=name, evaluation="validation"), tmp_path)[0].evaluation)
        with pytest.raises(InputError):
            task_stream(RunConfig(benchmark=name), tmp_path)


def test_examples_take_and_move():
    examples = Examples(torch.arange(12.0).reshape(3, 1, 2, 2), torch.tensor([5, 6, 7]))
    taken = examples.take(torch.tensor([2, 0]))
    assert taken.targets.tolist() == [7, 5]
    assert torch.equal(taken.inputs, examples.inputs[[2, 0]])
    assert examples.take(examples.targets > 5).targets.tolist() == [6, 7]
    assert examples.to("meta").inputs.device.type == "meta"
