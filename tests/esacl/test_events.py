import dataclasses
import json
import types
import typing

import numpy as np
import pytest

from esacl.errors import RunUnreadable
from esacl.event_lines import from_line, to_line
from esacl.events import (
    EVENTS,
    ArrayRecorded,
    CheckpointReady,
    CostCounted,
    CurvatureMeasured,
    Failed,
    RunFinished,
    RunStarted,
    Stepped,
)


def example(wanted, other: bool):
    """A value of a field's type; `other` picks the second branch of a union and another value."""
    if isinstance(wanted, types.UnionType):
        return example(typing.get_args(wanted)[int(other)], other)
    if typing.get_origin(wanted) is tuple:
        return () if other else (example(typing.get_args(wanted)[0], False),) * 2
    examples = {float: (0.1, 1e-300), int: (3, 2**60), bool: (True, False), str: ("a", "λ \n\"'</script>")}
    return None if wanted is types.NoneType else examples[wanted][int(other)]


def examples():
    for kind in EVENTS.values():
        if kind is CheckpointReady:
            continue  # never a line
        hints = typing.get_type_hints(kind)
        names = [f.name for f in dataclasses.fields(kind) if f.name != "arrays"]
        for other in (False, True):
            yield kind(**{name: example(hints[name], other) for name in names})


@pytest.mark.parametrize("event", list(examples()), ids=lambda event: type(event).__name__)
def test_every_event_goes_through_a_line_and_comes_back(event):
    line = to_line(event)
    assert "\n" not in line
    assert from_line(line) == from_line(line.encode()) == event


@pytest.mark.parametrize("kind", EVENTS.values(), ids=EVENTS.keys())
def test_events_are_frozen_and_keyword_only(kind):
    assert kind.__dataclass_params__.frozen
    assert all(f.kw_only for f in dataclasses.fields(kind))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_never_written(value):
    event = CurvatureMeasured(
        task=0, point="dense", restricted=False, engine="lanczos", top_eigenvalues=(value,), residuals=(0.0,),
        products=1, converged=True, network_norm=1.0, relative_sharpness=1.0, examples=1, fraction=1.0,
    )  # fmt: skip
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_line(event)


STARTED = to_line(next(e for e in examples() if isinstance(e, RunStarted) and e.shared is None))


def failed(**changes):
    return json.dumps({"event": "Failed", "error": "x"} | changes)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"", "not an event line"),
        (b"\xff\xfe", "not an event line"),
        (b"{", "not an event line"),
        (b"[]", "unknown event"),
        (b"null", "unknown event"),
        (b'{"event":["RunFinished"]}', "unknown event"),
        (b'{"event":"Surprise"}', "newer version"),
        (b'{"error":"x"}', "unknown event"),
        (b'{"event":"Failed"}', "error"),
        (failed(more=1), "more"),
        (failed(error=3), r"Failed\.error: 3"),
        (failed(error=None), r"Failed\.error: None"),
        (failed(error="\ud800"), r"'\\ud800' is half a sign"),
        (r'{"event":"Failed","error":"\uDFFF"}', "is half a sign"),
        (failed(**{"\udc00": 1}), "is half a sign"),
        ('{"event":"Failed","error":"x","error":"y"}', "twice"),
        ('{"event":"TaskFinished","task":0,"density":NaN}', "NaN"),
        ('{"event":"TaskFinished","task":0,"density":1e999}', "1e999"),
        ('{"event":"TaskFinished","task":0,"density":1' + "0" * 400 + "}", "density"),
        ('{"event":"TaskFinished","task":true,"density":1.0}', "task"),
        ('{"event":"TaskFinished","task":1.5,"density":1.0}', "task"),
        ('{"event":"TaskFinished","task":9223372036854775808,"density":1}', r"TaskFinished\.task: 9223372036854775808"),
        (STARTED.replace("null", "-1" + "0" * 4000), r"RunStarted\.shared: -10000"),
        ('{"event":"TaskFinished","task":1,"density":"1"}', "density"),
        ("[" * 100_000, "not an event line"),
    ],
)
def test_what_is_no_event_is_refused(line, told):
    with pytest.raises(RunUnreadable, match=told):
        from_line(line)


def test_what_a_path_of_other_bytes_says_is_written_so_that_it_is_read_again():
    event = Failed(error="😀 /runs/\udcff/x cannot be written")
    assert from_line(to_line(event)) == Failed(error="😀 /runs/?/x cannot be written")


def test_whole_numbers_stand_for_floats():
    event = from_line('{"event":"TaskFinished","task":0,"density":1}')
    assert isinstance(event.density, float)


def test_a_line_from_before_there_were_bills_is_read():
    event = next(e for e in examples() if isinstance(e, CostCounted))
    later = [f.name for f in dataclasses.fields(CostCounted) if f.default is not dataclasses.MISSING]
    fields = {name: value for name, value in json.loads(to_line(event)).items() if name not in later}
    old = from_line(json.dumps(fields))
    assert old.train_flops == event.train_flops
    assert (old.replay_flops, old.layer_names) == (None, ())
    del fields["train_flops"]
    with pytest.raises(RunUnreadable, match=r"missing or unknown fields: train_flops$"):
        from_line(json.dumps(fields))


def test_a_line_with_what_was_never_measured_is_read_without_it():
    event = next(e for e in examples() if isinstance(e, Stepped))
    old = json.loads(to_line(event)) | {"curvature_term": None, "lambda_max": None}
    assert from_line(json.dumps(old)) == event
    with pytest.raises(RunUnreadable, match=r"TaskFinished has missing or unknown fields: lambda_max$"):
        from_line('{"event":"TaskFinished","task":0,"density":1,"lambda_max":null}')


def test_arrays_are_equal_by_name_and_content():
    array = np.arange(6.0)
    one = ArrayRecorded(name="a", arrays={"x": array, "y": array})
    assert one == ArrayRecorded(name="a", arrays={"y": array.copy(), "x": array})
    assert one != ArrayRecorded(name="b", arrays={"x": array, "y": array})
    assert one != ArrayRecorded(name="a", arrays={"x": array, "y": array + 1})
    assert one != ArrayRecorded(name="a", arrays={"x": array.reshape(2, 3), "y": array})
    assert one != ArrayRecorded(name="a", arrays={"x": array.astype(np.float32), "y": array})
    assert from_line(to_line(one)) == one


def test_equal_events_have_equal_lines():
    fields = {f.name: 1 for f in dataclasses.fields(Stepped)}
    assert to_line(Stepped(**fields)) == to_line(Stepped(**dict(reversed(fields.items()))))
    assert to_line(RunFinished()) == '{"event":"RunFinished"}'
    assert json.loads(to_line(Failed(error="disk full"))) == {"event": "Failed", "error": "disk full"}
