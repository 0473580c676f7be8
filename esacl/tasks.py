"""Benchmarks: a data set as an indexable stream of tasks."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import overload

import numpy as np
import torch
from torch import Tensor

from esacl import cifar, datasets, tiny_imagenet
from esacl.config import RunConfig
from esacl.datasets import Images, Part
from esacl.errors import InputError
from esacl.seeds import numpy_generator, torch_generator

_VALIDATION_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs (n, c, h, w) float32 and targets (n,) int64: the output column of each."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, indices: Tensor) -> "Examples":
        """The examples at `indices` (m,) int64 or bool (n,)."""
        return Examples(self.inputs[indices], self.targets[indices])

    def to(self, device: torch.device | str) -> "Examples":
        """The same examples on another device."""
        return Examples(self.inputs.to(device), self.targets.to(device))


@dataclass(frozen=True, eq=False)
class Task:
    """One task of a stream. Its examples are made when they are first asked for, and freed with it.

    `classes` are the output columns that its targets take; `class_names` are what they mean in this task. `order`
    (h w,) says which pixel of an image, row by row, stands at each place; None where all stand where they were.
    """

    index: int
    classes: tuple[int, ...]
    class_names: tuple[str, ...]
    make_train: Callable[[], Examples]
    make_evaluation: Callable[[], Examples]
    order: np.ndarray | None = None

    @cached_property
    def train(self) -> Examples:
        """What the task is learned from."""
        return self.make_train()

    @cached_property
    def evaluation(self) -> Examples:
        """What it is judged on: the official test data, or the held-out tenth of the training data."""
        return self.make_evaluation()


@dataclass(frozen=True, eq=False)
class TaskStream(Sequence[Task]):
    """The tasks of a benchmark in their order; `stream[:n]` are the first n.

    Each access makes a new `Task`, so that one copy of the data set (as bytes) is all that stays in memory.
    """

    name: str
    scenario: str
    input_shape: tuple[int, int, int]  # (c, h, w)
    outputs: int
    class_names: tuple[str, ...]  # of the output columns
    length: int
    make: Callable[[int], Task]
    mean: tuple[float, ...] = (0.0,)  # of each channel, of pixels from 0 to 1
    std: tuple[float, ...] = (1.0,)
    left_out: int = 0  # classes that are there and in no task, since they do not come out even

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Task, ...]: ...
    def __getitem__(self, index: int | slice) -> Task | tuple[Task, ...]:
        chosen = range(self.length)[index]
        return self.make(chosen) if isinstance(chosen, int) else tuple(self.make(i) for i in chosen)

    def __iter__(self) -> Iterator[Task]:
        return (self.make(index) for index in range(self.length))

    def pixels(self, inputs: Tensor) -> np.ndarray:
        """Inputs (n, c, h, w) as the network sees them -> uint8 (n, h, w), or (n, h, w, 3) for colour."""
        mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (self.mean, self.std))
        shown = ((inputs.detach().cpu() * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
        return shown.squeeze(1).numpy() if shown.shape[1] == 1 else shown.permute(0, 2, 3, 1).numpy()

    @property
    def black(self) -> Tensor:
        """What the network sees of a black pixel; (c,)."""
        return (-torch.tensor(self.mean) / torch.tensor(self.std)).expand(self.input_shape[0])


def task_stream(config: RunConfig, data: Path | None = None) -> TaskStream:
    """The stream of `config.benchmark`; data sets lie below `data`.

    Raises:
        DataMissing: the data set is neither there nor can it be downloaded.
        InputError: its files are damaged, or lack a class that the stream needs.
    """
    return BENCHMARKS[config.benchmark](config, data)


def split_digits(config: RunConfig, data: Path | None) -> TaskStream:
    """scikit-learn's 8x8 digits, two classes a task in natural order. Pixels / 16. `data` is not needed."""
    return _split(config, *_train_and_evaluation(config, datasets.digits))


def split_mnist(config: RunConfig, data: Path | None) -> TaskStream:
    """MNIST, two classes a task in natural order (Zenke et al. 2017). Pixels / 255."""
    return _split(config, *_train_and_evaluation(config, partial(datasets.mnist, data=data)), data=data)


def permuted_mnist(config: RunConfig, data: Path | None) -> TaskStream:
    """MNIST with its pixels reordered: task 0 as it is, each other task by a permutation of its own.

    Ten shared output columns (Goodfellow et al. 2013; Kirkpatrick et al. 2017). The permutation of task t
    depends on the run's seed and on t.
    """
    train, evaluation = _train_and_evaluation(config, partial(datasets.mnist, data=data))
    names = train.class_names
    _require_classes(config, train, evaluation, len(names), data)

    def make(index: int) -> Task:
        order = _permutation(config, index, config.resolution**2)
        return Task(
            index,
            tuple(range(len(names))),
            names,
            lambda: _examples(_permuted(_limited(config, index, train).averaged(config.resolution), order)),
            lambda: _examples(_permuted(evaluation.averaged(config.resolution), order)),
            order if index else None,
        )

    shape = _shape(config, train)
    return TaskStream(config.benchmark, config.scenario, shape, len(names), names, config.tasks, make)


def split_cifar10(config: RunConfig, data: Path | None) -> TaskStream:
    """CIFAR-10, two classes a task in natural order, normalised by channel."""
    return _split(config, *_train_and_evaluation(config, partial(cifar.cifar10, data=data)), data=data)


def split_cifar100(config: RunConfig, data: Path | None) -> TaskStream:
    """CIFAR-100, ten of its fine classes a task in natural order, normalised by channel."""
    read = partial(cifar.cifar100, data=data)
    return _split(config, *_train_and_evaluation(config, read), classes_per_task=10, data=data)


def split_tiny_imagenet(config: RunConfig, data: Path | None) -> TaskStream:
    """Tiny-ImageNet in the order of wnids.txt, normalised by channel.

    The classes that are there are dealt out evenly: all 200 in ten tasks make 20 a task, 40 of them make 4. Those at
    the end that do not come out even are in no task: of 13 in five tasks the last three. `TaskStream.left_out` counts
    them, and a run says so where it starts.

    Raises:
        InputError: there are fewer than two classes for each task.
    """
    train, evaluation = _train_and_evaluation(config, partial(tiny_imagenet.tiny_imagenet, data=data))
    there = len(train.class_names)
    each = there // config.tasks
    if each < 2:
        fewer = f"choose at most {there // 2} task{'s' if there > 3 else ''}, or " if there > 1 else ""
        raise InputError(
            f"{config.benchmark} has {there} class{'es' if there > 1 else ''} here, too few for two in each of "
            f"{config.tasks} tasks; {fewer}put the whole data set in its place"
        )
    stream = _split(config, train, evaluation, classes_per_task=each, data=data)
    return replace(stream, left_out=there - each * config.tasks)


BENCHMARKS: dict[str, Callable[[RunConfig, Path | None], TaskStream]] = {
    "split-digits": split_digits,
    "split-mnist": split_mnist,
    "permuted-mnist": permuted_mnist,
    "split-cifar10": split_cifar10,
    "split-cifar100": split_cifar100,
    "split-tiny-imagenet": split_tiny_imagenet,
}


def _train_and_evaluation(config: RunConfig, read: Callable[[Part], Images]) -> tuple[Images, Images]:
    train = read("train")
    if config.evaluation == "test":
        return train, read("test")
    # One split for the whole stream: no image may be held out in one task and trained on in another.
    generator = numpy_generator(config.seed, "validation")
    held_out = datasets.stratified(train.labels, round(_VALIDATION_SHARE * len(train)), generator)
    return train.take(datasets.others(held_out, len(train))), train.take(held_out)


def _split(
    config: RunConfig, train: Images, evaluation: Images, *, classes_per_task: int = 2, data: Path | None = None
) -> TaskStream:
    """Task t of two classes holds 2t and 2t + 1, and so on; under domain-IL all tasks share the columns 0 and 1."""
    classes = classes_per_task * config.tasks
    _require_classes(config, train, evaluation, classes, data, classes_per_task)
    shared = config.scenario == "domain"

    def make(index: int) -> Task:
        first = classes_per_task * index
        labels = tuple(range(first, first + classes_per_task))
        shift = first if shared else 0

        def ours(images: Images) -> Images:
            return images.take(np.flatnonzero(np.isin(images.labels, labels)))

        return Task(
            index,
            tuple(label - shift for label in labels),
            tuple(train.class_names[label] for label in labels),
            lambda: _examples(_limited(config, index, ours(train)).averaged(config.resolution), shift),
            lambda: _examples(ours(evaluation).averaged(config.resolution), shift),
        )

    names = ("even", "odd") if shared else train.class_names[:classes]
    shape = _shape(config, train)
    return TaskStream(
        config.benchmark, config.scenario, shape, len(names), names, config.tasks, make, train.mean, train.std
    )


def _shape(config: RunConfig, images: Images) -> tuple[int, int, int]:
    """(c, h, w)."""
    return (images.pixels.shape[3] if images.pixels.ndim == 4 else 1, config.resolution, config.resolution)


def _require_classes(
    config: RunConfig, train: Images, evaluation: Images, classes: int, data: Path | None, each: int | None = None
) -> None:
    """Raises InputError where a class has no example. `each`: classes a task, where fewer tasks would do with fewer."""
    for part, images in (("training", train), ("evaluation", evaluation)):
        lacking = sorted(set(range(classes)) - set(np.unique(images.labels).tolist()))
        if lacking:
            most = lacking[0] // each if each else 0
            fewer = f", or choose at most {most} task{'s' if most > 1 else ''}" if most else ""
            where, name = data or datasets.default_folder(), train.class_names[lacking[0]]
            raise InputError(
                f"the {part} data of {config.benchmark} below {where} has no example of class {name!r}; "
                f"put the whole data set there{fewer}"
            )


def _limited(config: RunConfig, index: int, images: Images) -> Images:
    if config.train_limit is None or config.train_limit >= len(images):
        return images
    generator = numpy_generator(config.seed, "train-limit", index)
    return images.take(datasets.stratified(images.labels, config.train_limit, generator))


def _examples(images: Images, shift: int = 0) -> Examples:
    colour = images.pixels.ndim == 4
    pixels = images.pixels.transpose(0, 3, 1, 2) if colour else images.pixels[:, np.newaxis]
    inputs = pixels.astype(np.float32, order="C")
    inputs /= images.white
    if colour:
        inputs -= np.array(images.mean, np.float32)[:, np.newaxis, np.newaxis]
        inputs /= np.array(images.std, np.float32)[:, np.newaxis, np.newaxis]
    return Examples(torch.from_numpy(inputs), torch.from_numpy(images.labels - shift))


def _permutation(config: RunConfig, index: int, pixels: int) -> np.ndarray:
    if index == 0:
        return np.arange(pixels)
    return torch.randperm(pixels, generator=torch_generator(config.seed, "permutation", index)).numpy()


def _permuted(images: Images, order: np.ndarray) -> Images:
    flat = images.pixels.reshape(len(images), -1)
    return replace(images, pixels=np.take(flat, order, axis=1).reshape(images.pixels.shape))
