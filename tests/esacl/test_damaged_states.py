"""Checkpoints that are readable and wrong: a run goes on from one, or says in a line why not, and never breaks.

Every tensor and every counter of every kind of run is taken away, changed in shape, in type, in value, one at a time.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from picture_files import write_all
from tiny_runs import OTHERS, STATEFUL, distinct, events_of, label, of_kind, tiny

from esacl import room, run
from esacl.errors import InputError, RunFailure
from esacl.events import CheckpointReady
from esacl.layout import problems
from esacl.resuming import fitting

DEFAULT = ({"method": "derpp"}, {"buffer.size": 20, "scenario": "class"}, {"method": "sparcl", "sparcl.base": "co2l"})


def changed(tensor: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "one number", tensor.reshape(-1)[:1]
    yield "nothing in it", tensor.reshape(-1)[:0]
    yield "a dimension more", tensor[None]
    yield "float64", tensor.astype(np.float64)
    yield "int8", tensor.astype(np.int8)
    yield "bool", tensor.astype(bool)
    if tensor.dtype.kind == "f":
        yield "not finite", np.full_like(tensor, np.nan)
        yield "huge", np.full_like(tensor, 3e38)
    else:
        yield "negative", np.full_like(tensor, -1) if tensor.dtype.kind == "i" else ~tensor
        yield "beyond", np.full_like(tensor, 1 if tensor.dtype == bool else np.iinfo(tensor.dtype).max)


def states(good: CheckpointReady) -> Iterator[tuple[str, CheckpointReady]]:
    for name, tensor in good.tensors.items():
        rest = {key: value for key, value in good.tensors.items() if key != name}
        yield f"{name} missing", replace(good, tensors=rest)
        for what, other in changed(tensor):
            yield f"{name} {what}", replace(good, tensors={**rest, name: other})
    groups = {name[:place] for name in good.tensors for place, sign in enumerate(name) if sign == "/"}
    for prefix in sorted(groups):
        rest = {key: value for key, value in good.tensors.items() if not key.startswith(f"{prefix}/")}
        yield f"all of {prefix} missing", replace(good, tensors=rest)
    more = {**good.tensors, "anchors/importance/none": np.zeros(3, np.float32)}
    yield "one that is none", replace(good, tensors=more)
    for name in good.counters["ledger"]:
        for other in (None, "1", 10**400, -1e308, []):
            yield f"ledger {name} {other!s:.9}", replace(
                good, counters={**good.counters, "ledger": {**good.counters["ledger"], name: other}}
            )
    for name in good.counters:
        rest = {key: value for key, value in good.counters.items() if key != name}
        yield f"{name} missing", replace(good, counters=rest)
        values: tuple[Any, ...] = (None, -1, 10**30, 10**400, 0.5, "1", [], {}, {"a": [1]})
        for value in values:
            yield f"{name} is {value}", replace(good, counters={**rest, name: value})


@pytest.mark.parametrize(
    "settings",
    [*distinct(DEFAULT), *(pytest.param(one, marks=pytest.mark.slow) for one in distinct(STATEFUL, beside=DEFAULT))],
    ids=lambda settings: label(settings),
)
def test_a_state_that_is_wrong_is_refused_in_a_line_or_goes_on(settings):
    config = tiny({"epochs": 2, "train_limit": 24, **settings})
    places = {(one.task, one.epoch): one for one in of_kind(events_of(config), CheckpointReady)}
    broken = []
    for what, state in states(places.get((1, 1)) or max(places.items())[1]):
        try:
            list(fitting(run(config, state), config, state, None))
            if what.endswith(" missing"):
                broken.append(f"{what}: it went on without")
        except (InputError, RunFailure) as refused:
            if "\n" in str(refused):
                broken.append(f"{what}: {refused}")
        except Exception as error:  # what no reader of a run is to see
            broken.append(f"{what}: {type(error).__name__} {error}"[:160])
    assert not broken, "\n".join(broken)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize(
    "settings",
    [*distinct([*DEFAULT, *STATEFUL]), *(pytest.param(one, marks=pytest.mark.slow) for one in distinct(OTHERS))],
    ids=lambda settings: label(settings),
)
def test_every_state_that_a_run_leaves_fits_it(settings, data):
    config = tiny({"epochs": 2, "train_limit": 24, **settings})
    for state in of_kind(events_of(config, data=data), CheckpointReady):
        assert list(problems(config, state, data)) == []
        held = {name: one.nbytes for name, one in state.tensors.items()}
        buffer = sum(size for name, size in held.items() if name.startswith("buffer/"))
        assert 2 * (sum(held.values()) - buffer) <= room.PER_PARAMETER * room.parameters(config)
        assert sum(held.values()) <= room.most_of_state(config)
