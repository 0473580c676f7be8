"""Co2L (Cha, Lee and Shin 2021): what a learner keeps and computes to learn by contrast, with a classifier after it."""

import copy
import math
from collections import OrderedDict
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from esacl import probe, seeds
from esacl.buffer import Buffer
from esacl.config import RunConfig
from esacl.contrastive import DISTILLATION, asymmetric_contrast, nearest_class, relation_distillation
from esacl.cost import Ledger
from esacl.flops import LayerFlops
from esacl.footprint import activation_bytes
from esacl.group import Group
from esacl.mask import Mask
from esacl.networks import Network
from esacl.replay import Batch
from esacl.stages import Stage

PROJECTED = 128  # numbers of a projection, as published
VIEWS = 2
# Of the projections of a batch with each other: the contrast, twice as much for its gradient, the nearest neighbours;
# and of a distilling step the relations of today, twice as much for their gradient, those of the past.
SIMILARITIES = "projection.similarities"
PRODUCTS, PAST_PRODUCTS = 4, 4
_PIECE = 512  # images whose features are made at once


class Projection(nn.Sequential):
    """Features (n, f) -> projections (n, 128) of length 1, through one hidden layer of f."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        layers = OrderedDict(hidden=nn.Linear(width, width), activation=nn.ReLU(), out=nn.Linear(width, PROJECTED))
        super().__init__(layers)
        for parameter in self.parameters():
            if parameter.ndim < 2:
                nn.init.zeros_(parameter)
            else:  # as `networks.build` does
                bound = math.sqrt(6 / width)
                nn.init.uniform_(parameter, -bound, bound, generator=generator)

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Projections (n, 128)."""
        return F.normalize(super().forward(inputs))


class Co2L:
    """A representation learned by contrast, held by the frozen network of the last task.

    The projection and, while a task is learned, the frozen network live beside the network: they are no part of what is
    pruned or evaluated, are kept in checkpoints and are on the bill. The network's head is learned after each task.

    Differences from the paper: a step sees as many replayed images as fresh ones, where the paper shuffles both into
    one set; the memory is the reservoir that every method here has; views have no resized crop, hue or grey; the
    classifier learns from features of whole images, made once, and not from views.
    """

    def __init__(self, config: RunConfig, network: Network, ledger: Ledger, group: Group | None = None) -> None:
        self._config, self._network, self._ledger, self._group = config, network, ledger, group or Group()
        width = network.head.in_features
        projection = Projection(width, seeds.torch_generator(config.seed, "projection"))
        self._stack = nn.Sequential(network.body, projection.to(network.head.weight.device)).eval()
        self._teacher: nn.Module | None = None
        self._inside = {"head.weight": 0.0, **dict.fromkeys(("projection.hidden.weight", "projection.out.weight"), 1.0)}
        flops = {"hidden": 2 * width * width, "out": 2 * width * PROJECTED}
        ledger.beside({f"projection.{name}.weight": LayerFlops(n, n, n) for name, n in flops.items()})
        ledger.beside({SIMILARITIES: LayerFlops(0, 0, 0)})

    def parameters(self) -> dict[str, nn.Parameter]:
        """Those of the projection, by the names that the ledger and the optimiser's state know."""
        return {f"projection.{name}": p for name, p in self._stack[1].named_parameters()}

    def begin(self, task: int) -> None:
        """A task begins: hold on to the network as it is."""
        self._teacher = copy.deepcopy(self._stack).requires_grad_(False) if task > 0 else None

    def entered(self, densities: Mapping[str, float] | None) -> dict[str, float]:
        """Densities of the layers that a step enters: with the projection, without the head."""
        return dict(densities or {}) | self._inside

    def loss(
        self, stage: Stage, batch: Batch, generator: torch.Generator, past_mask: Mask | None
    ) -> tuple[Tensor, int, Tensor]:
        """The loss () of two views of a batch, how many went back, and what stands for outputs (n, c) of the batch.

        Anchors are the fresh images, because the buffer holds nothing of a task before its end. `past_mask` is that of
        the frozen network: what its pass costs.
        """
        assert stage.view is not None, "the stage of a contrastive run has views"
        inputs, targets = torch.cat([batch.inputs] * VIEWS), batch.targets.repeat(VIEWS)
        images = torch.arange(len(batch), device=targets.device).repeat(VIEWS)
        views = stage.view(inputs, generator)
        projections = self._group.spread(self._stack, views)
        loss = asymmetric_contrast(projections, targets, images < batch.fresh)
        if self._teacher is not None:
            with torch.no_grad():
                past = self._group.spread(self._teacher, views)
            self._ledger.forward(
                len(views), self.entered(past_mask.layer_densities() if past_mask else None), item="other"
            )
            loss = loss + DISTILLATION * relation_distillation(projections, past)
            self._ledger.similarities(SIMILARITIES, PAST_PRODUCTS, len(views), PROJECTED)
        self._ledger.similarities(SIMILARITIES, PRODUCTS, len(views), PROJECTED)
        answers = nearest_class(projections.detach(), targets, images, stage.criterion.open)
        return loss, len(views), answers[: len(batch)]

    def classify(self, stage: Stage, buffer: Buffer, densities: Mapping[str, float] | None) -> None:
        """Learn the network's head on the frozen features of today's examples and the buffer's.

        In class-IL it is one classifier over all seen classes. In task-IL the buffer's examples teach the heads of
        their own tasks, since the features that those heads were fitted to have moved. Removed examples take part: here
        they cost one forward pass.
        """
        kept = buffer.kept
        inputs = [stage.examples.inputs] + ([kept.inputs] if kept else [])
        targets = torch.cat([stage.examples.targets] + ([kept.targets] if kept else []))
        with torch.no_grad():
            seen = torch.cat([self._network.features(part) for some in inputs for part in some.split(_PIECE)])
        self._ledger.forward(len(seen), dict(densities or {}) | {"head.weight": 0.0}, item="other")
        generator = seeds.torch_generator(self._config.seed, "classifier", stage.task)
        count = probe.fit(self._network.head, seen, targets, stage.criterion, generator)
        self._ledger.layer("head.weight", count)

    # -- memory and resume

    @property
    def teacher_bytes(self) -> int:
        """The frozen network of this task: its weights that are not zero, with a bit for each, or all of them."""
        weights = [] if self._teacher is None else self._teacher.state_dict().values()
        return sum(min(4 * w.numel(), 4 * int(w.count_nonzero()) + -(-w.numel() // 8)) for w in weights)

    def activation_bytes(self, stage: Stage, buffer: Buffer) -> int:
        """The most that is held at once: by a step's views of the fresh images, or as features to classify."""
        batch = stage.examples.inputs[: self._config.batch_size]
        features = 4 * self._network.head.in_features * (len(stage.examples) + len(buffer))
        return max(activation_bytes(self._stack, torch.cat([batch] * VIEWS)), features)

    def tensors(self, *, inside: bool) -> dict[str, Tensor]:
        """Tensors to go on from: the projection, and inside a task the frozen network."""
        found = {f"own/{name}": p for name, p in self._stack[1].named_parameters()}
        teacher = self._teacher.state_dict() if inside and self._teacher is not None else {}
        return found | {f"teacher/{name}": t for name, t in teacher.items()}

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from `tensors()`; inside a task once it has begun."""
        for name, parameter in self._stack[1].named_parameters():
            parameter.copy_(tensors[f"own/{name}"])
        if self._teacher is not None:
            for name, tensor in self._teacher.state_dict().items():
                # A file may have made a number into a vector of one.
                tensor.copy_(tensors[f"teacher/{name}"].reshape(tensor.shape))
