"""Runs of every method, with everything that they carry, killed at random: `python -m tests.kills --kills 50`.

Each run is a process, which gets a SIGKILL, and is gone on with to its end. What comes of it has to be what comes of
the same run undisturbed: event for event, array for array and weight for weight, with no event lost that was passed on
and no more than one epoch repeated. The kills are those of `--seed`, as far as a moment can be met again.
"""

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))  # as pytest has it

from faults import Killed, check_the_same, killed_and_resumed, undisturbed
from tiny_runs import STATEFUL, distinct, tiny

from esacl.store import RunStore

VARIANTS = distinct(STATEFUL)


@dataclass
class Found:
    """What came of the kills so far."""

    kills: int = 0
    runs: int = 0
    again: int = 0  # events that were computed once more
    variants: set[int] = field(default_factory=set)  # that were killed
    methods: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


def fell(kills: int, seed: int, folder: Path) -> Found:
    """Runs of one variant after the other are killed, until it is so many kills and none was left out."""
    found, store = Found(), RunStore(folder / "runs")
    whole: dict[int, str] = {}
    while found.kills < kills or len(found.variants) < len(VARIANTS):
        number = found.runs % len(VARIANTS)
        settings = VARIANTS[number]
        if number not in whole:
            whole[number] = undisturbed(store, tiny(settings))
        for tried in range(5):  # a run that was over before it could be killed is tried again
            killed = _killed(store, settings, whole[number], f"{seed} {found.runs} {tried}", found)
            if killed is None or killed.kills:
                break
        found.runs += 1
        found.variants.add(number)
        found.methods.add(tiny(settings).method)
    return found


def _killed(store: RunStore, settings: dict[str, Any], whole: str, seed: str, found: Found) -> Killed | None:
    """A run that is killed once or twice; None where it was not gone on with, or did not end as the undisturbed one."""
    rng, told = random.Random(seed), " ".join(f"{key}={value}" for key, value in settings.items()) or "the defaults"
    try:
        killed = killed_and_resumed(store, tiny(settings), whole, rng.choice((1, 1, 2)), rng)
        check_the_same(store, whole, killed.run_id)
    except AssertionError as error:
        found.kills += 1
        where = traceback.extract_tb(error.__traceback__)[-1]
        found.faults.append(f"seed {seed!r}, {told}: {where.line} {' '.join(str(error).split())[:300]}")
        print(f"{found.kills:>4}  {found.faults[-1]}", flush=True)
        return None
    events = len(store.read(whole).events)
    for moment in killed.moments:
        found.kills += 1
        found.again += moment.kept - moment.goes_on_after
        when = f"after event {moment.kept} of {events}, {moment.acknowledged} of them passed on"
        then = f"gone on with after event {moment.goes_on_after}, and it ended the same"
        print(f"{found.kills:>4}  seed {seed!r:<9} {told}: killed {when}; {then}", flush=True)
    store.delete(killed.run_id)
    return killed


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, and say what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="at least; every variant is killed once at least")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = fell(args.kills, args.seed, Path(folder))
    over = f"{found.runs} runs of {len(found.variants)} variants of {len(found.methods)} methods, seed {args.seed}"
    good, bad = found.kills - len(found.faults), len(found.faults)
    print(f"{found.kills} kills over {over}: {good} resumed to the very same end, {bad} not;", end=" ")
    print(f"{found.again} events computed again, {time.monotonic() - begun:.0f} s")
    print("\n".join(found.faults))
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
