"""What is copied from a run starts the same run: TOML and command line lead to an equal config."""

import contextlib
import itertools
import shlex
import tomllib
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as some

from esacl import cli
from esacl.config import BENCHMARK_NAMES, METHOD_NAMES, RunConfig, parse_setting, read_config
from esacl.errors import InputError
from esacl.reproducing import OPTIONS, as_command, as_toml, command, settings

PARSER = cli.parser()
MORE = {"sparsity": 0.5, "sdp": {"form": "segment", "every": 3}, "lr": 0.1, "buffer": {"size": 50}, "threads": 2}


def typed(line: str) -> RunConfig:
    """The config of a command line, as a shell and `esacl` read it."""
    args = PARSER.parse_args(shlex.split(line)[1:])
    given = dict(map(parse_setting, args.set))
    return read_config(None, given | {key: getattr(args, key) for key in OPTIONS if getattr(args, key) is not None})


def configs():
    names = BENCHMARK_NAMES, METHOD_NAMES, ("task", "class", "domain"), ("small", "der"), ({}, MORE)
    some_of = itertools.product(*names)
    for benchmark, method, scenario, protocol, more in some_of:
        try:
            yield RunConfig(benchmark=benchmark, method=method, scenario=scenario, protocol=protocol, **more)
        except InputError:
            continue  # not every method is there in every scenario


def test_every_kind_of_run_is_started_again_exactly():
    found = list(configs())
    assert len(found) > 100
    for config in found:
        assert RunConfig(**tomllib.loads(as_toml(config))) == config
        assert read_config(None, settings(config)) == config
        assert typed(as_command(config)) == config


def rehearsing() -> Iterator[RunConfig]:
    """Where what is given moves what follows from it: a buffer moves anchors, rehearsal and logits."""
    logits = {}, {"mask_logits": True}, {"mask_logits": False}, {"balance_logits": 0.5}, {"balance_logits": 0.0}
    choices = (
        ("esacl", "ewc", "finetune", "er", "derpp", "sparcl"), ("task", "class"), ("ewc", "er", "derpp", "co2l"),
        ({}, {"buffer": {"size": 50}}, {"buffer": {"size": 50, "rehearsal": "plain"}}), (1.0, 0.5), logits,
    )  # fmt: skip
    for method, scenario, base, buffer, fraction, weighed in itertools.product(*choices):
        sections = {"sparcl": {"base": base}, "ids": {"train_fraction": fraction}, **buffer}
        with contextlib.suppress(InputError):
            yield RunConfig(method=method, scenario=scenario, **sections, **weighed)


def test_every_way_to_rehearse_is_started_again_exactly():
    found = {config.digest: config for config in rehearsing()}
    assert len(found) > 50
    for config in found.values():
        assert read_config(None, settings(config)) == config
        assert typed(as_command(config)) == config


def test_the_command_says_what_differs_and_no_more():
    assert as_command(RunConfig()) == "esacl run"
    assert as_command(RunConfig(method="ewc", sparsity=0.9, seed=3)) == "esacl run --method ewc --sparsity 0.9 --seed 3"
    assert as_command(RunConfig(sdp={"every": 20})) == "esacl run --set sdp.every=20"
    assert command({"seed": None, "benchmark": "split-mnist"}) == "esacl run --benchmark split-mnist"


@given(some.text(max_size=40).filter(lambda name: "\0" not in name))
def test_any_name_survives_the_shell_and_the_file(name):
    try:
        config = RunConfig(name=name)
    except InputError:
        assert any(unicodedata.category(character) in ("Cc", "Cs") for character in name)
        return
    assert config.name == " ".join(name.split())
    assert typed(as_command(config)).name == config.name
    assert tomllib.loads(as_toml(config))["name"] == config.name


@pytest.mark.parametrize("name", ["$(touch x)", "`id`", "'; rm -rf x", "--json", '"', "\n[sdp]\nevery = 2", "é\u200b"])
def test_a_hostile_name_is_a_name_and_nothing_else(name):
    config = RunConfig(name=name)
    assert typed(as_command(config)) == config
    assert RunConfig(**tomllib.loads(as_toml(config))) == config
