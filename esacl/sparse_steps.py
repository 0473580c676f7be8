"""Training steps under a mask that stays, at what is left: passes by live units, updates of the survivors alone.

The optimiser and the anchors' pull go over vectors of the survivors, with the numbers that they would have in the whole
weights. After every update the network holds today's weights, so that whoever looks at it need not know of this;
whoever wants momentum or moments has them brought up to date first (`give_back`).

A GPU waits for launches here, not for arithmetic, and has its passes recorded instead (`esacl.graphed`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from esacl.anchors import Anchors, share_of_way
from esacl.mask import Mask
from esacl.ranking import MOMENT_DECAY
from esacl.remainder import Block, chain_of, laid_as, memory, remainder_of

DENSEST = 0.2
FEWEST = 100_000  # weights; of split digits' 16,000 the calls take longer than the sums

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Rates:
    """Those of one step: the optimiser's learning rate and momentum, and the anchors' rate of pull."""

    lr: float
    momentum: float
    pull: float


def can_shrink(network: nn.Module, allocation: str) -> bool:
    """Whether steps by what is left of such a network can be shorter: it is a chain of layers on a CPU.

    Convolutions are nearly all of a step, and lose channels only where whole units go: with weights going one by one
    the small CNN's steps took as long as before.
    """
    chain = chain_of(network)
    on_cpu = all(parameter.device.type == "cpu" for parameter in network.parameters())
    convolves = any(isinstance(module, nn.Conv2d) for module in network.modules())
    return chain is not None and on_cpu and (allocation == "neuron" or not convolves)


def pays(mask: Mask) -> bool:
    """Whether steps by what is left are shorter (`python -m benchmarks.wall_time`)."""
    return mask.density <= DENSEST and mask.total >= FEWEST


class SparseSteps:
    """What a training step asks of a network whose mask stays.

    Attributes:
        forward: inputs (n, ...) -> outputs (n, c).
        densities: kept fraction of each prunable weight.
    """

    def __init__(
        self, network: nn.Module, mask: Mask, anchors: Anchors | None, momentum: Tensors, moments: Tensors | None
    ) -> None:
        """Begin where the network stands.

        Args:
            network: a chain (`remainder.chain_of`) on a CPU, at its mask.
            mask: of all prunable weights.
            anchors: what pulls them.
            momentum: the optimiser's, by name of the weight; what has not moved yet has none.
            moments: of the squared gradient, where they are kept up.
        """
        chain = chain_of(network)
        assert chain is not None
        self.forward, self.densities = remainder_of(network, chain, mask), mask.layer_densities()
        self._momentum, self._moments, self._steps = momentum, moments, 0
        self._at_first = {} if moments is None else {name: moments[name].clone() for name in mask}
        self._survivors = {
            name: [_Survivors(block, name, anchors, momentum.get(name), moments) for block in blocks]
            for name, blocks in self.forward.blocks.items()
        }

    @torch.no_grad()
    def update(self, rates: Rates) -> None:
        """What optimiser and anchors do to the survivors after a backward pass."""
        for each in self._survivors.values():
            for survivors in each:
                survivors.update(rates)
        self._steps += 1

    @torch.no_grad()
    def give_back(self) -> None:
        """Bring the momentum and the moments that were given up to date; as often as one likes.

        What is removed has no momentum, and a gradient of 0 in its moments.
        """
        for name, each in self._survivors.items():
            if name in self._momentum:
                self._momentum[name].zero_()
                for survivors in each:
                    survivors.write(survivors.momentum, self._momentum[name])
            if self._moments is not None:
                torch.mul(self._at_first[name], MOMENT_DECAY**self._steps, out=self._moments[name])
                for survivors in each:
                    survivors.write(survivors.moment, self._moments[name])


class _Survivors:
    """The survivors of a block as vectors (n,)."""

    def __init__(
        self, block: Block, name: str, anchors: Anchors | None, momentum: Tensor | None, moments: Tensors | None
    ) -> None:
        self.block = block
        self.value = self._taken(block.whole)
        self.momentum = torch.zeros_like(self.value) if momentum is None else self._taken(momentum)
        self.moment = torch.zeros_like(self.value) if moments is None else self._taken(moments[name])
        self.anchored = anchors is not None and anchors.strength > 0 and name in anchors.importance
        if anchors is not None and self.anchored:
            self.strength = anchors.strength
            self.importance, self.solution = self._taken(anchors.importance[name]), self._taken(anchors.solution[name])
        self.keeps_moments = moments is not None

    def update(self, rates: Rates) -> None:
        """One step: as `torch.optim.SGD`, then as `Anchors.pull`."""
        block = self.block
        assert block.weight.grad is not None
        gradient = memory(laid_as(block.weight, block.weight.grad)).index_select(0, block.inside)
        block.weight.grad = None
        if self.keeps_moments:
            self.moment.mul_(MOMENT_DECAY).addcmul_(gradient, gradient, value=1 - MOMENT_DECAY)
        self.momentum.mul_(rates.momentum).add_(gradient)
        self.value.add_(self.momentum, alpha=-rates.lr)
        if self.anchored:
            self.value.lerp_(self.solution, share_of_way(self.importance, rates.pull * self.strength))
        memory(block.weight).index_copy_(0, block.inside, self.value)
        memory(block.whole).index_copy_(0, block.places, self.value)

    def write(self, values: Tensor, whole: Tensor) -> None:
        """Put values (n,) where the survivors are in a tensor of the whole weight's shape."""
        laid = laid_as(self.block.whole, whole)
        memory(laid).index_copy_(0, self.block.places, values)
        if laid is not whole:
            whole.copy_(laid)

    def _taken(self, whole: Tensor) -> Tensor:
        return memory(laid_as(self.block.whole, whole)).index_select(0, self.block.places)
