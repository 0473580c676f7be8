"""Every reader of what people pass on, under inputs that nobody wrote; `python -m tests.fuzz` makes a million more."""

import random
from pathlib import Path

import pytest
from fuzz import CAP, READERS, fault_of, fuzz, held, mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from esacl.config import RunConfig
from esacl.errors import InputError
from esacl.event_lines import from_line, to_line
from esacl.events import EVENTS

EACH = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("name", READERS)
def test_what_it_takes_is_no_fault(name, tmp_path):
    for content in READERS[name].seeds:
        assert fault_of(READERS[name], content, tmp_path) is None


@pytest.mark.parametrize("name", READERS)
@EACH
@given(seed=st.integers(0, 2**32), noise=st.binary(max_size=200))
def test_a_reader_returns_or_refuses_in_one_line(name, tmp_path, seed, noise):
    reader = READERS[name]
    for content in (mutated(reader.seeds, random.Random(seed)), noise):
        assert fault_of(reader, content, tmp_path) is None, content


@given(kind=st.sampled_from(sorted(EVENTS)), fields=st.dictionaries(st.text(max_size=8), JSON, max_size=6))
def test_an_event_that_is_taken_says_the_same_again(kind, fields):
    import json

    line = json.dumps({"event": kind, **fields})
    try:
        event = from_line(line)
    except InputError:
        return
    assert from_line(to_line(event)) == event


@given(fields=st.dictionaries(st.sampled_from([*RunConfig.model_fields, "x"]), JSON, max_size=4))
def test_a_config_that_is_taken_says_the_same_again(fields):
    try:
        config = RunConfig.from_dict(fields)
    except InputError:
        return
    assert RunConfig.from_dict(config.to_dict()) == config


def test_a_fault_is_found(tmp_path):
    from fuzz import Reader

    def greedy(content: bytes, folder: Path) -> None:
        try:
            bytearray(4 * CAP)
        except Exception:
            raise InputError("damaged") from None

    def clumsy(content: bytes, folder: Path) -> None:
        raise KeyError("x")

    with held(CAP):
        assert fault_of(Reader((b"",), greedy), b"", tmp_path) == "asked for more memory than the cap"
    assert "KeyError" in str(fault_of(Reader((b"",), clumsy), b"", tmp_path))


@pytest.mark.slow
def test_a_million_inputs(tmp_path):
    taken, faults = fuzz(1_000_000, 0, tmp_path)
    assert sum(taken.values()) >= 1_000_000
    assert faults == []
