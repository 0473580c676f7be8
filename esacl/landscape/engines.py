"""How many points are computed: one by one, queued on the device, or mapped together; where it pays, measured."""

import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from esacl.errors import InputError
from esacl.landscape.plane import Plane

Point = Sequence[float]  # coordinates
Group = tuple[np.ndarray, np.ndarray | None]  # losses (m,) and accuracies (m,) of the next m points
Engine = Callable[[Plane, Sequence[Point]], Tensor]  # -> measured (m, chunks, 2)

# What is alive while points are mapped together may take this much memory.
MAPPED_BYTES = 1 << 30
# A group of points takes about this long, so that a cancel is heard.
GROUP_SECONDS = 0.2
GROUP = 64  # points in one at most, unless they are mapped
PROBED = 8  # points an engine is timed on
AGREES = 1e-4  # relative: an engine that is further from the loop than this is not chosen


def loop(plane: Plane, points: Sequence[Point]) -> Tensor:
    """One by one; each value is waited for."""
    return torch.stack([plane.measured(point).cpu() for point in points])


def queued(plane: Plane, points: Sequence[Point]) -> Tensor:
    """One by one, without waiting for a value before all are on their way."""
    return torch.stack([plane.measured(point) for point in points])


def mapped(plane: Plane, points: Sequence[Point]) -> Tensor:
    """All at once, by `torch.vmap` over the coordinates.

    Raises:
        InputError: a network or a loss that cannot be mapped over.
    """
    wide = torch.float32 if plane.device.type == "mps" else torch.float64
    coordinates = torch.tensor([tuple(point) for point in points], dtype=wide, device=plane.device)
    try:
        with torch.no_grad():
            found: Tensor = torch.vmap(plane.mapped)(coordinates)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"engine 'vmap' cannot map over this network or loss ({reason}); choose loop or queued"
        ) from None
    return found


ENGINES: dict[str, Engine] = {"loop": loop, "queued": queued, "vmap": mapped}
ENGINE_NAMES = ("auto", *ENGINES)


def check_engine(name: str) -> None:
    """Refuse a name that is no engine.

    Raises:
        InputError: an unknown name.
    """
    if name not in ENGINE_NAMES:
        raise InputError(f"unknown engine {name!r}; choose from {', '.join(ENGINE_NAMES)}")


def chosen(plane: Plane, name: str, points: Sequence[Point]) -> str:
    """The engine to use: on a GPU `auto` times each on a few of the points and takes the fastest.

    On a CPU it is the loop: mapping gains nothing there (measured 0.2 to 1.2 times its speed).
    """
    if name != "auto":
        return name
    return "loop" if plane.device.type == "cpu" else fastest(plane, points)


def fastest(plane: Plane, points: Sequence[Point]) -> str:
    """The engine that takes least time a point here, of those that agree with the loop."""
    few = points[:PROBED]
    expected = plane.read(loop(plane, few))[0]
    seconds: dict[str, float] = {}
    for name in ENGINES:
        size = _most(plane, name, few)
        try:
            found = [_timed(plane, name, few[:size]) for _ in range(2)][-1]  # the first also loads kernels
        except (InputError, torch.OutOfMemoryError):
            continue
        if np.allclose(found[1], expected[:size], rtol=AGREES, equal_nan=True):
            seconds[name] = found[0] / size
    return min(seconds, key=seconds.__getitem__)


def groups(plane: Plane, engine: str, points: Sequence[Point]) -> Generator[Group, None, None]:
    """What is found at the points, a group of them at a time, in their order.

    A group grows while it takes less than about `GROUP_SECONDS`, up to what the engine and the memory allow.
    """
    most = _most(plane, engine, points)
    done, size = 0, 1
    while done < len(points):
        part = points[done : done + size]
        begin = time.perf_counter()
        found = plane.read(ENGINES[engine](plane, part))
        done += len(part)
        quick = time.perf_counter() - begin < GROUP_SECONDS / 2
        size = min(2 * size, most) if quick else max(1, min(size, most))
        yield found


def _timed(plane: Plane, name: str, points: Sequence[Point]) -> tuple[float, np.ndarray]:
    begin = time.perf_counter()
    losses, _ = plane.read(ENGINES[name](plane, points))
    return time.perf_counter() - begin, losses


def _most(plane: Plane, engine: str, points: Sequence[Point]) -> int:
    """Points in a group at most."""
    if engine != "vmap" or not points:
        return GROUP
    with torch.no_grad(), _Bytes() as made:
        plane.mapped(torch.tensor(tuple(points[0]), dtype=torch.float32, device=plane.device))
    return max(1, MAPPED_BYTES // max(made.bytes, 1))


class _Bytes(TorchFunctionMode):
    """Adds up the size of all that is computed: an upper bound on what is alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor):
            self.bytes += found.numel() * found.element_size()
        return found
