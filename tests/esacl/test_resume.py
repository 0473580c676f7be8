"""Determinism and resume: same config, same events; from every checkpoint the same rest and the same weights."""

import numpy as np
import pytest
from picture_files import write_all
from tiny_runs import OTHERS, STATEFUL, distinct, events_of, label, of_kind, tiny

from esacl.events import CheckpointReady, Event, Stepped


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("data"))


def agree(one: list[Event], other: list[Event]) -> None:
    """Equal events; equal tensors and counters in every checkpoint, which events do not compare."""
    assert one == other
    for a, b in zip(of_kind(one, CheckpointReady), of_kind(other, CheckpointReady), strict=True):
        assert a.counters == b.counters
        assert a.tensors.keys() == b.tensors.keys()
        for name in a.tensors:
            np.testing.assert_array_equal(a.tensors[name], b.tensors[name], err_msg=name)


WHOLE = ({}, {"method": "derpp"}, {"method": "sparcl", "sparcl.base": "co2l", "scenario": "class"})  # at every place


def every(variants):
    """The variants, those beside `WHOLE` among the longer proofs: from the middle of a task they go on by default."""
    whole = {tiny(settings).digest for settings in WHOLE}
    return [v if tiny(v).digest in whole else pytest.param(v, marks=pytest.mark.slow) for v in variants]


@pytest.mark.parametrize("settings", every(distinct(STATEFUL)), ids=label)
def test_the_same_run_again_and_the_same_rest_from_every_checkpoint(settings):
    config = tiny(settings)
    events = events_of(config)
    agree(events, events_of(config))
    places = [i for i, event in enumerate(events) if isinstance(event, CheckpointReady)]
    stages = 1 if config.method == "joint" else config.tasks
    assert len(places) == stages * (config.epochs + 1)
    for place in places:
        agree(events[place + 1 :], events_of(config, events[place]))


@pytest.mark.parametrize("settings", distinct([*STATEFUL, *OTHERS], beside=WHOLE), ids=label)
def test_the_same_rest_from_the_middle_of_a_task(settings, data):
    config = tiny(settings)
    events = events_of(config, data=data)
    place = next(i for i, e in enumerate(events) if isinstance(e, CheckpointReady) and (e.task, e.epoch) == (1, 1))
    agree(events[place + 1 :], events_of(config, events[place], data))


@pytest.mark.parametrize(
    "change",
    [
        *({"seed": 1}, {"anchor.strength": 0.5}, {"sparsity": 0.5}, {"lr": 0.04}),
        *({"augment": "crop-flip"}, {"momentum": 0.0}, {"schedule": "constant"}),
    ],
    ids=label,
)
def test_another_config_is_another_run(change):
    losses = [[e.loss for e in of_kind(events_of(tiny(more)), Stepped)] for more in ({}, change)]
    assert losses[0] != losses[1]
