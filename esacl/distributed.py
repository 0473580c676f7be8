"""One run by several processes: each its part of every batch, all of them the same result.

What is split is what costs: the way of a batch through the network and back. Every process has the same config and seed
and so holds the same weights, masks, anchors and buffer, draws the same batch, takes the outputs of its part of it and
gets those of all others (`spread`); everything that is computed of outputs (losses, scores of IDS, what SparCL removes,
the logits that DER++ keeps, Co2L's contrasts) is computed by everybody and is that of the whole batch. Backward each
process follows its own part, and the gradients are added up (`add_up`). So the gradient is that of the one global
batch whatever the parts are, uneven ones and empty ones included, up to the order in which numbers are added.

Why not `DistributedDataParallel`: it averages the gradients of losses that each process has for itself. Here a loss is
of the whole batch: DER++ has three means in one, importance weights and contrasts know all examples, a last batch does
not divide. And the network is entered in several ways (features, a frozen copy, a projection in place of the head)
where it hooks into one, `forward`. What is given up: it sends while it still computes, here all gradients go at once.

The bill (`cost.Ledger`) counts the whole batch, so it is of all processes together and equals that of one. Each
process holds the weights, the optimiser's state, anchors and buffer, which the bill lists once. Peak memory is that of
the first process. What is measured beside training (curvature, slices) everybody computes: nobody would have
anything to do meanwhile, and nobody has to wait for a process whose time is not known.
"""

import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from typing_extensions import override

from esacl.devices import resolve_device
from esacl.errors import InputError, RunFailure
from esacl.events import CheckpointReady
from esacl.global_batchnorm import GlobalBatchNorm, replace_norms
from esacl.group import Found, Group, T
from esacl.ranks import Ranks

TIMEOUT = timedelta(minutes=30)  # of one exchange; a process that dies is noticed at once, not by this


class LostTouch(RunFailure):
    """An exchange between processes broke off."""


def part_of(n: int, rank: int, count: int) -> tuple[int, int]:
    """Where the part of process `rank` of `count` begins and ends among n examples; the first ones have one more."""
    share, more = divmod(n, count)
    begin = rank * share + min(rank, more)
    return begin, begin + share + (rank < more)


class Processes(Group):
    """The processes that torchrun started, of which this one is `ranks`.

    Args:
        ranks: which one this is.
        store: through which they meet (torch's key-value store).
        device: name of the run's device: with CUDA they exchange by NCCL, else by gloo.
        why: what is known of why an exchange broke off; None where nothing is.

    Raises:
        InputError: a device that processes cannot share.
    """

    def __init__(self, ranks: Ranks, store: Any, device: str, why: Callable[[], str | None] = lambda: None) -> None:
        self._ranks, self._why = ranks, why
        self._device = device_of(device, ranks)
        backend = "cpu:gloo,cuda:nccl" if self._device.type == "cuda" else "gloo"
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)
        dist.init_process_group(backend, store=store, rank=ranks.rank, world_size=ranks.count, timeout=TIMEOUT)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Processes":
        return self  # a copied layer belongs to the same processes

    @override
    def device(self, name: str) -> torch.device:
        return self._device

    @override
    def spread(self, function: Callable[[Tensor], Found], inputs: Tensor) -> Found:
        begin, end = part_of(len(inputs), self._ranks.rank, self._ranks.count)
        found = function(inputs[begin:end])
        if isinstance(found, tuple):
            first, second = (self._whole(part, begin, len(inputs)) for part in found)
            return first, second
        return self._whole(found, begin, len(inputs))

    @override
    @torch.no_grad()
    def add_up(self, parameters: Iterable[Tensor]) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not gradients:
            return
        whole = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, piece in zip(gradients, whole.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(piece.view_as(gradient))

    @override
    @torch.no_grad()
    def agree(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            flat = tensor.detach().reshape(-1).clone()
            self._exchanged(partial(dist.broadcast, flat, 0))
            tensor.copy_(flat.view(tensor.shape))

    @override
    def in_turn(self, work: Callable[[], T]) -> T:
        if self._ranks.local_rank == 0:
            found = work()
            self.sum(torch.zeros(1))
            return found
        self.sum(torch.zeros(1))
        return work()

    @override
    def norms(self, network: nn.Module) -> None:
        if self._device.type == "cuda":  # torch's own, which is fused and wants CUDA
            replace_norms(network, nn.SyncBatchNorm.convert_sync_batchnorm)
        else:
            replace_norms(network, lambda layer: GlobalBatchNorm(layer, self._ranks.rank, self._ranks.count, self.sum))

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the processes of a tensor that each has, in place."""
        self._exchanged(lambda: dist.all_reduce(tensor))
        return tensor

    def tell(self, state: CheckpointReady | None) -> CheckpointReady | None:
        """The state that the first process goes on from, if it does; what the others give is not looked at."""
        if self._ranks.rank == 0:
            if state is None:
                self._say(b"")
                return None
            arrays = {name: np.ascontiguousarray(value) for name, value in state.tensors.items()}
            shapes = {name: [str(value.dtype), list(value.shape)] for name, value in arrays.items()}
            told = {"task": state.task, "epoch": state.epoch, "counters": dict(state.counters), "arrays": shapes}
            self._say(json.dumps(told).encode())
            self._say(b"".join(value.tobytes() for value in arrays.values()))
            return state
        head = self._say(None)
        if not head:
            return None
        told = json.loads(head)
        data, place, tensors = self._say(None), 0, {}
        for name, (kind, shape) in told["arrays"].items():
            count = int(np.prod(shape, dtype=np.int64))
            tensors[name] = np.frombuffer(data, kind, count, place).reshape(shape).copy()
            place += tensors[name].nbytes
        return CheckpointReady(task=told["task"], epoch=told["epoch"], tensors=tensors, counters=told["counters"])

    def _say(self, data: bytes | None) -> bytes:
        """What the first process says, as bytes: no pickle travels."""
        size = torch.tensor([len(data or b"")])
        self.agree([size])
        found = torch.zeros(int(size), dtype=torch.uint8)
        if data:
            found = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        if len(found):
            self.agree([found])
        return found.numpy().tobytes()

    def _whole(self, own: Tensor, begin: int, n: int) -> Tensor:
        found: Tensor = _Whole.apply(own, begin, n, self.sum)
        return found

    def _exchanged(self, exchange: Callable[[], object]) -> None:
        try:
            exchange()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise LostTouch(self._why() or self._all_there(error)) from None

    def _all_there(self, error: RuntimeError) -> str:
        told = " ".join(str(error).split())[:200]
        return (
            f"processes 0 to {self._ranks.count - 1} are all there but lost touch with each other ({told}); look at "
            "the network between them, then resume the run"
        )


def device_of(name: str, ranks: Ranks) -> torch.device:
    """The device of one of several processes: a CUDA device each, or the CPU.

    Raises:
        InputError: a device that they would have to share, or too few of them.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"device {name!r} is one and there are {ranks.count} processes; choose auto, cpu or cuda")
    there = torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and not there):
        return torch.device("cpu")
    if there < ranks.local_count:
        raise InputError(
            f"{ranks.local_count} processes on a machine with {there} CUDA devices; start {there or 'none'}, "
            "or choose device cpu"
        )
    return resolve_device(f"cuda:{ranks.local_rank}")


class _Whole(torch.autograd.Function):
    """Own rows (m, ...) -> those of all processes (n, ...); backward the own rows of the gradient."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, begin: int, n: int, add: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.place = slice(begin, begin + len(own))
        whole = own.new_zeros(n, *own.shape[1:])
        whole[ctx.place] = own
        return add(whole)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient[ctx.place], None, None, None
