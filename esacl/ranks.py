"""Which of several processes this one is, as `torchrun` tells those that it starts; known without torch."""

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Ranks:
    """A process among `count`, the first of which leads.

    Attributes:
        rank: of all processes, from 0.
        local_rank: of those on this machine, from 0.
        count: how many there are.
        local_count: how many on this machine.
        restarts: how often torchrun has started all of them again.
    """

    rank: int
    local_rank: int
    count: int
    local_count: int
    restarts: int = 0


def of_torchrun(environment: Mapping[str, str] = os.environ) -> Ranks | None:
    """What torchrun says in the environment; None where it did not start this process, or started no other.

    Other launchers and schedulers set RANK and WORLD_SIZE too, and mean other things: only torchrun counts.
    """
    if "TORCHELASTIC_RUN_ID" not in environment:
        return None
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT")
    found = Ranks(*(int(environment.get(name, "0")) for name in names))
    return found if found.count > 1 else None


def count_of(hardware: Mapping[str, object] | None) -> int:
    """How many processes did a run, by the hardware in its `machine.json`: one, where nothing is said."""
    told = (hardware or {}).get("processes", 1)
    return told if isinstance(told, int) and not isinstance(told, bool) and told > 0 else 1
