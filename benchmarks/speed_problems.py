"""Trained networks for `speed.py`, and the truth about their curvature, found without the engine under test."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from esacl import networks
from esacl.config import RunConfig
from esacl.datasets import digits, mnist
from esacl.mask import Mask
from esacl.pruning import keep_top
from esacl.seeds import torch_generator
from esacl.tasks import task_stream

SPARSITY = 0.9
EXAMPLES = 500  # of the mean loss that is looked at
TRAINED_ON = 10_000  # of MNIST's training images
TIGHT = 1e-6  # of eigsh, whose values are the truth where the Hessian is too large to be built


@dataclass(frozen=True)
class Problem:
    """A trained network and the examples whose mean cross-entropy is looked at."""

    name: str
    network: nn.Module
    inputs: Tensor
    targets: Tensor
    mask: Mask | None = None  # restricts the Hessian to its survivors; the network is masked already

    @property
    def data(self) -> tuple[Tensor, Tensor]:
        """(inputs, targets), as `hessian` and `slice_2d` take them."""
        return self.inputs, self.targets

    def of(self, examples: int) -> "Problem":
        """The same network on the first so many examples."""
        return replace(self, inputs=self.inputs[:examples], targets=self.targets[:examples])


def mlp(data: Path | None, *, quick: bool) -> Problem:
    """784-400-400 trained on MNIST, 500 images; quick: 64-100-100 on digits, 40."""
    return _trained("mlp", data, epochs=3, quick=quick).of(40 if quick else EXAMPLES)


def small_cnn(data: Path | None, *, quick: bool) -> Problem:
    """The small CNN trained on MNIST, 500 images; quick: on 8x8 digits, 40."""
    return _trained("small-cnn", data, epochs=1, quick=quick).of(40 if quick else EXAMPLES)


def small_mlp(*, quick: bool) -> Problem:
    """64-100-100 trained on scikit-learn's digits, 500 images; quick: 40."""
    return _trained("mlp", None, epochs=3 if quick else 20, quick=True).of(40 if quick else EXAMPLES)


def tiny_mlp(*, quick: bool) -> Problem:
    """64-20-20 with 1,930 parameters, trained on digits, 200 images: its Hessian can be built; quick: 64-4, 20."""
    widths, examples = ((4,), 20) if quick else ((20, 20), 200)
    sizes = (64, *widths, 10)
    layers: list[nn.Module] = [nn.Flatten()]
    for number, (inside, outside) in enumerate(pairwise(sizes), start=1):
        layers += [nn.Linear(inside, outside), *([nn.ReLU()] if number < len(sizes) - 1 else [])]
    network = nn.Sequential(*layers)
    _initialise(network)
    images, labels = _digits()
    _train(network, images, labels, epochs=2 if quick else 20)
    return Problem("MLP " + "-".join(map(str, sizes)), network, images[:examples], labels[:examples])


def masked(problem: Problem, *, quick: bool, data: Path | None) -> Problem:
    """The same network cut to 90% by magnitude and trained on within its mask; H restricted to the survivors."""
    network = copy.deepcopy(problem.network)
    mask = cut(network)
    _train(network, *(_digits() if quick else _mnist(data)), epochs=1, mask=mask)
    return replace(problem, name=f"{problem.name}, 90% masked", network=network, mask=mask)


def cut(network: nn.Module) -> Mask:
    """What is left of a network at 90% sparsity, by magnitude over all its weights."""
    names = networks.prunable_names(network, "class")
    return keep_top({name: p.detach().abs() for name, p in network.named_parameters() if name in names}, SPARSITY)


class Reference:
    """H v of a problem by plain double backward through a float64 copy of the network.

    Independent of `esacl.curvature` on purpose: truth must not come from what it judges.
    """

    def __init__(self, problem: Problem) -> None:
        network = copy.deepcopy(problem.network).double()
        self._weights = list(network.parameters())
        value = cross_entropy(network(problem.inputs.double()), problem.targets)
        self._gradient = torch.autograd.grad(value, self._weights, create_graph=True)
        every = [
            torch.ones_like(p, dtype=torch.bool) if problem.mask is None or name not in problem.mask
            else problem.mask[name].bool()
            for name, p in network.named_parameters()
        ]  # fmt: skip
        self._kept = torch.cat([entry.reshape(-1) for entry in every]).nonzero()[:, 0]
        self.n = len(self._kept)

    def product(self, vector: np.ndarray) -> np.ndarray:
        """H v (n,) over the survivors."""
        whole = torch.zeros(sum(p.numel() for p in self._weights), dtype=torch.float64)
        whole[self._kept] = torch.from_numpy(np.ascontiguousarray(vector.reshape(-1)))
        parts = whole.split([p.numel() for p in self._weights])
        along = [part.view_as(p) for part, p in zip(parts, self._weights)]
        found = torch.autograd.grad(self._gradient, self._weights, along, retain_graph=True)
        return torch.cat([part.reshape(-1) for part in found])[self._kept].numpy()

    def top(self, k: int) -> np.ndarray:
        """The k largest eigenvalues, descending: exact where the matrix is small, else by eigsh at 1e-6."""
        if self.n <= 3000:
            return self.spectrum()[: -k - 1 : -1]
        operator = LinearOperator((self.n, self.n), matvec=self.product, dtype=np.float64)
        start = torch.randn(self.n, generator=torch_generator(0, "truth"), dtype=torch.float64).numpy()
        return np.sort(eigsh(operator, k, which="LA", tol=TIGHT, v0=start, return_eigenvectors=False))[::-1]

    def spectrum(self) -> np.ndarray:
        """All eigenvalues, ascending, of the matrix built column by column."""
        matrix = np.stack([self.product(column) for column in np.eye(self.n)])
        return np.linalg.eigvalsh((matrix + matrix.T) / 2)


def exact_trace(problem: Problem) -> float:
    """The trace of H for a network that is piecewise linear in each single weight, in float64.

    There d^2 output / d weight^2 = 0, so that the diagonal of H is that of J' (diag p - p p') J: its trace is the mean
    over examples of sum_c p_c |grad (output_c - sum_d p_d output_d)|^2. Holds for ReLU and max-pooling.
    """
    network = copy.deepcopy(problem.network).double()
    weights = {name: p.detach() for name, p in network.named_parameters()}

    def share(values: dict[str, Tensor], image: Tensor, p: Tensor) -> Tensor:
        outputs = functional_call(network, values, (image[None],))[0]
        return p.sqrt() * (outputs - p @ outputs)

    jacobian: Callable[..., dict[str, Tensor]] = torch.func.jacrev(share)
    total = 0.0
    for image in problem.inputs.double():
        with torch.no_grad():
            p = network(image[None])[0].softmax(0)
        total += sum(float(part.square().sum()) for part in jacobian(weights, image, p).values())
    return total / len(problem.inputs)


@cache
def _trained(name: str, data: Path | None, *, epochs: int, quick: bool) -> Problem:
    config = RunConfig(
        benchmark="split-digits" if quick else "split-mnist", network=name, scenario="class", device="cpu"
    )
    network = networks.build(config, task_stream(config, data))
    images, labels = _digits() if quick else _mnist(data)
    _train(network, images, labels, epochs=epochs)
    title = {"mlp": "MLP 64-100-100" if quick else "MLP 784-400-400"}.get(name, name)
    return Problem(title, network, images, labels).of(EXAMPLES)


def _digits() -> tuple[Tensor, Tensor]:
    images = digits("train")
    return _tensors(images.pixels, images.labels, images.white)


def _mnist(data: Path | None) -> tuple[Tensor, Tensor]:
    images = mnist("train", data)
    return _tensors(images.pixels[:TRAINED_ON], images.labels[:TRAINED_ON], images.white)


def _tensors(pixels: np.ndarray, labels: np.ndarray, white: int) -> tuple[Tensor, Tensor]:
    inputs = torch.from_numpy(pixels.astype(np.float32) / white).unsqueeze(1)
    return inputs, torch.from_numpy(labels.astype(np.int64))


def _train(network: nn.Module, images: Tensor, labels: Tensor, *, epochs: int, mask: Mask | None = None) -> None:
    """SGD with momentum 0.9, batch 64, on the CPU; within the mask if there is one."""
    optimiser = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=torch_generator(0, "epoch", epoch))
        for rows in order.split(64):
            if mask is not None:
                mask.apply(network)
            optimiser.zero_grad()
            cross_entropy(network(images[rows]), labels[rows]).backward()
            optimiser.step()
    if mask is not None:
        mask.apply(network)
    network.zero_grad()


def _initialise(network: nn.Module) -> None:
    """Uniform with variance 2 / fan_in, biases zero, from one seed (as `networks.build`)."""
    generator = torch_generator(0, "network")
    for parameter in network.parameters():
        if parameter.ndim < 2:
            nn.init.zeros_(parameter)
        else:
            bound = math.sqrt(6 / parameter[0].numel())
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
