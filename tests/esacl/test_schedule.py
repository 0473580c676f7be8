"""Schedule: its endpoints by hand, and that neither rate nor ramp is ever 0."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esacl.schedule import DECAY_SHARE, WARM_UP_STEPS, Schedule

schedules = st.builds(Schedule, st.integers(1, 3000), st.floats(1e-4, 10), st.floats(0.001, 1))


def test_warm_up_constant_rate_and_linear_decay():
    schedule = Schedule(steps=1000, peak=2.0, ramp_share=0.5)
    assert schedule.lr(0) == pytest.approx(2.0 / WARM_UP_STEPS)
    assert schedule.lr(9) == pytest.approx(1.0)
    assert {schedule.lr(step) for step in range(WARM_UP_STEPS - 1, 601)} == {2.0}
    assert schedule.lr(800) == pytest.approx(2.0 * 200 / 400)
    assert schedule.lr(999) == pytest.approx(2.0 / (DECAY_SHARE * 1000))


def test_a_short_task_warms_up_over_a_fifth_of_it():
    assert [Schedule(10, 1.0, 0.5).lr(step) for step in range(3)] == pytest.approx([0.5, 1.0, 1.0])
    assert Schedule(1, 1.0, 0.5).lr(0) == 1.0


def test_a_constant_rate_knows_neither_warm_up_nor_decay():
    schedule = Schedule(100, 0.3, 0.5, constant=True)
    assert {schedule.lr(step) for step in range(100)} == {0.3}
    assert schedule.ramp(0) == pytest.approx(1 / 50)


def test_the_ramp_reaches_1_after_its_share_of_the_steps():
    schedule = Schedule(steps=100, peak=1.0, ramp_share=0.5)
    assert schedule.ramp(0) == pytest.approx(1 / 50)
    assert schedule.ramp(24) == pytest.approx(0.5)
    assert schedule.ramp(48) < 1
    assert {schedule.ramp(step) for step in range(49, 100)} == {1.0}


@given(schedules)
def test_rate_and_ramp_stay_within_their_bounds(schedule):
    steps = range(schedule.steps)
    assert all(0 < schedule.lr(step) <= schedule.peak * (1 + 1e-12) for step in steps)
    ramps = [schedule.ramp(step) for step in steps]
    assert ramps[0] > 0
    assert ramps == sorted(ramps)
    assert ramps[-1] == pytest.approx(1, abs=1e-9)


@given(schedules)
def test_the_rate_rises_then_stands_then_falls(schedule):
    rates = [schedule.lr(step) for step in range(schedule.steps)]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@pytest.mark.parametrize("every", [1, 3, 7, 50])
@pytest.mark.parametrize("times", [0, 1, 3, 10])
def test_so_many_equal_parts_end_whatever_the_steps_between_two_reports(every, times):
    schedule = Schedule(steps=50, peak=0.1, ramp_share=0.5)
    ends = [*range(every, 50, every), 50]
    passed = [now for told, now in zip([0, *ends], ends) if schedule.passes(told, now, times)]
    assert len(passed) == min(times, len(ends))
    assert passed[-1:] == [50][:times]


def test_the_pull_total_is_the_sum_over_the_task():
    schedule = Schedule(steps=2, peak=0.5, ramp_share=1.0)
    assert schedule.pull_total == pytest.approx(schedule.lr(0) * 0.5 + schedule.lr(1) * 1.0)
