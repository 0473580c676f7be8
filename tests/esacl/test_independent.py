"""ER, DER++ and EWC reach what plain loops reach that share no training code with them."""

import statistics
from functools import partial

import pytest
from oracles import plain_methods
from tiny_runs import events_of, label, of_kind, tiny

from esacl import networks, seeds
from esacl.events import Evaluated
from esacl.tasks import task_stream

SEEDS = range(3)
APART = 0.01  # of one seed, on average: both meet the same batches, and rounding moves an image here and there
COMMON = {"tasks": 5, "epochs": 10, "train_limit": None, "evaluation": "test"}


def ours(settings, seed):
    found = of_kind(events_of(tiny(COMMON | settings, seed=seed)), Evaluated)
    last = [e.accuracy for e in found if e.after == 4]
    assert len(last) == 5
    return sum(last) / 5


def start(settings, seed):
    config = tiny(COMMON | settings, seed=seed)
    stream = task_stream(config)
    return networks.build(config, stream), stream, config


def theirs(settings, seed):
    network, stream, config = start(settings, seed)
    loop = {"epochs": config.epochs, "batch": config.batch_size, "peak": config.lr}
    loop["numbers"] = partial(seeds.torch_generator, seed)
    if config.method == "ewc":
        inside = {"momentum": config.momentum, "in_the_loss": config.momentum == 0}
        strength = config.anchor.strength * (0.1 if inside["in_the_loss"] else 1.0)
        return plain_methods.ewc(network, stream, strength=strength, **inside, **loop)
    dark = {"alpha": config.derpp.alpha, "beta": config.derpp.beta} if config.method == "derpp" else {}
    plain = plain_methods.replayed if config.scenario == "class" else plain_methods.replayed_in_task_il
    return plain(network, stream, size=config.buffer.size, **loop, **dark)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"method": "er", "scenario": "class", "buffer.size": 100},
        {"method": "derpp", "scenario": "class", "buffer.size": 100},
        {"method": "derpp", "scenario": "class", "buffer.size": 100, "network": "small-cnn", "lr": 0.01, "epochs": 4},
        {"method": "er", "buffer.size": 50},
        {"method": "derpp", "buffer.size": 50},
        {"method": "ewc", "anchor.strength": 1.0},
        {"method": "ewc", "anchor.strength": 1.0, "momentum": 0.0, "lr": 0.1},
    ],
    ids=label,
)
def test_it_is_as_accurate_as_a_plain_loop(settings):
    """Seed by seed, since the spread over seeds is ten times as wide as what is to be seen."""
    one, other = ([run(settings, seed) for seed in SEEDS] for run in (ours, theirs))
    print(settings["method"], [round(100 * x, 2) for x in one], [round(100 * x, 2) for x in other])
    assert statistics.fmean(abs(a - b) for a, b in zip(one, other, strict=True)) <= APART
