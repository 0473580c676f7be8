"""The ratio at which the figures say that the gate of IDS opens is the one at which it does."""

from dataclasses import replace

import pytest

from app import frames, gate
from app.figures import training
from esacl.break_even import opens_below
from esacl.events import CostCounted, Stepped


def told(events, *, ratio=None, is_open=False, forward=None, backward=None):
    """The events with one ratio for all reports, and a bill with these passes."""
    for event in events:
        if isinstance(event, Stepped):
            event = replace(event, selection_ratio=ratio, selection_open=is_open)
        if isinstance(event, CostCounted):
            event = replace(event, fresh_forward_flops=forward, fresh_backward_flops=backward)
        yield event


def test_a_run_tells_what_its_backward_passes_cost(events):
    assert gate.opens_below(list(told(events)), 0.5) == opens_below(0.5, 2.0)
    assert gate.opens_below(list(told(events, forward=10.0, backward=12.0)), 0.5) == opens_below(0.5, 1.2)
    sparse = list(told(events, forward=1.0, backward=11.0))  # a dense gradient behind a sparse pass
    assert gate.opens_below(sparse, 0.5) == opens_below(0.5, 2.0)


def test_what_the_gate_decided_has_the_last_word(events):
    bill = {"forward": 10.0, "backward": 12.0}
    assert gate.opens_below(list(told(events, ratio=0.63, is_open=True, **bill)), 0.5) == 0.63
    assert gate.opens_below(list(told(events, ratio=0.47, is_open=True, **bill)), 0.5) == opens_below(0.5, 1.2)
    assert gate.opens_below(list(told(events, ratio=0.47, **bill)), 0.5) == 0.47


def test_the_line_of_the_figure_is_where_the_gate_opens(events):
    found = list(told(events, ratio=0.7))
    drawn = training.gate(frames.losses(found), 3, 0.61)
    axis = next(m for m in drawn["marks"] if m["tag"] == "line" and m["at"]["class"] == "axis dotted")
    said = next(m for m in drawn["marks"] if m.get("text") == "the gate opens below 0.61")
    assert axis["at"]["y1"] == pytest.approx(said["at"]["y"] - 15)
    curve = next(m for m in drawn["marks"] if m["tag"] == "path")
    assert float(curve["at"]["d"].split()[1].partition("L")[0]) < axis["at"]["y1"]  # 0.7 lies above it
    assert "second moment" in str(drawn["marks"])
    assert "variance" not in str(drawn).lower()
