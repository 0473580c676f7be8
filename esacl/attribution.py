"""Which layer the FLOPs of a backward pass belong to, whatever way the layers are joined.

`FlopCounterMode` bills what runs backward to every module that is still open, and beside a shortcut one stays open
until both ways are done: its counts by module are right in a chain only. Here the nodes of the graph that a module's
forward pass has made are billed to it, and nothing else is.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.utils.flop_counter import FlopCounterMode


@contextmanager
def backward_flops(network: nn.Module, names: Sequence[str], counter: FlopCounterMode) -> Iterator[dict[str, int]]:
    """By name of a module, the FLOPs that `counter` sees in the backward passes of what runs forward in the block."""
    found, seen = dict.fromkeys(names, 0), 0

    def watch(name: str) -> Any:
        def made(module: nn.Module, inputs: tuple[Any, ...], outputs: Any) -> None:
            for node in _between(inputs, outputs):
                node.register_prehook(lambda gradients: begin())
                node.register_hook(lambda after, before: end(name))

        return made

    def begin() -> None:
        nonlocal seen
        seen = counter.get_total_flops()

    def end(name: str) -> None:
        found[name] += counter.get_total_flops() - seen

    with ExitStack() as hooks:
        for name in found:
            hooks.callback(network.get_submodule(name).register_forward_hook(watch(name)).remove)
        yield found


def _between(inputs: tuple[Any, ...], outputs: Any) -> list[Node]:
    """The nodes from the outputs back to the inputs, without what made these and without leaves."""
    before = {part.grad_fn for part in inputs if isinstance(part, Tensor)}
    found: list[Node] = []
    todo = [outputs.grad_fn] if isinstance(outputs, Tensor) else []
    while todo:
        node = todo.pop()
        if node is None or node in before or node in found or hasattr(node, "variable"):
            continue
        found.append(node)
        todo += [following for following, _ in node.next_functions]
    return found
