"""Stepwise work becomes events at every step, and few lines."""

from collections.abc import Iterator

import pytest

from esacl.analysis.driving import PIECES, driven, reported
from esacl.events import Analysing, Event, Pulse
from esacl.stepwise import Step, Steps, finish


def work(steps: int, seen: list[int]) -> Steps[str]:
    for done in range(1, steps + 1):
        seen.append(done)
        yield Step(done, steps)
    return "result"


def kept(events: Iterator[Event], results: list[str]) -> Iterator[Event]:
    results.append((yield from events))


@pytest.mark.parametrize("drive", [driven, lambda steps: reported(steps, 0, "landscape")])
def test_each_step_is_a_moment_to_stop_in(drive):
    seen, results = [], []
    events = kept(drive(work(57, seen)), results)
    for _ in range(10):
        next(events)
    assert len(seen) in (9, 10)  # the first event may stand before the first step
    list(events)
    assert (seen[-1], results) == (57, ["result"])


def test_a_part_tells_where_it_is_in_the_whole_stage_and_leaves_few_lines():
    events = list(reported(work(1000, []), 2, "landscape", part=1, parts=3))
    lines = [e for e in events if isinstance(e, Analysing)]
    assert len(events) == 1001
    assert [(e.done, e.total) for e in lines] == [(PIECES + piece, 3 * PIECES) for piece in range(PIECES)]
    assert {type(e) for e in events} == {Analysing, Pulse}


def test_finish_gives_the_result():
    assert finish(work(3, [])) == "result"


def in_groups(*sizes: int) -> Steps[str]:
    done = 0
    for size in sizes:
        done += size
        yield Step(done, sum(sizes))
    return "result"


def test_equal_work_leaves_equal_lines_however_much_a_step_takes_at_once():
    """Groups of points grow while the clock says that they are quick."""
    slow, quick = (
        [event for event in reported(in_groups(*sizes), 0, "landscape") if isinstance(event, Analysing)]
        for sizes in ([1] * 60, [1, 2, 4, 8, 16, 29])
    )
    assert [event.done for event in slow] == list(range(PIECES))
    assert quick == slow
