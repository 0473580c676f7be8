"""What belongs in a row stands in a row, and what is written in a control can be read."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

TOPS = "all => all.map(one => Math.round(one.getBoundingClientRect().top))"


@pytest.mark.parametrize("width", [1280, 1400])
@pytest.mark.parametrize("large", [0, 1])
def test_the_numbers_of_a_run_stand_in_one_row(visit, recorded_run, width, large):
    here = visit(width=width)
    here.open("run", run=recorded_run, large=large)
    numbers = here.page.locator("[data-testid=stMetric]")
    expect(numbers).to_have_count(4)
    tops = numbers.evaluate_all(TOPS)
    # Large type leaves room for four from a window of 1700 on; until then two and two, and none alone.
    assert len(set(tops)) == 1 if not large else all(tops.count(top) != 1 for top in tops)


def test_the_run_beside_it_is_named_in_full(visit, recorded_run):
    here = visit(width=1280)
    for path in ("curvature", "landscape"):
        here.open(path, run=recorded_run)
        box = here.page.locator(".st-key-_beside [data-baseweb=select] [value], .st-key-_beside input").first
        assert box.evaluate("one => one.scrollWidth <= one.clientWidth"), path


@pytest.mark.parametrize("dark", [False, True])
def test_a_button_that_cannot_be_pressed_keeps_its_words(visit, recorded_run, dark):
    here = visit(dark=dark)
    here.open("run", run=recorded_run)
    start = here.page.get_by_role("button", name="Start the run")
    expect(start).to_be_enabled()
    epochs = here.page.get_by_role("spinbutton", name="Epochs")
    epochs.fill("0")
    epochs.press("Enter")
    expect(start).to_be_disabled()
    # Its own quiet ink: that of a button in colour is the ground of one without.
    own, words = start.evaluate("one => [one, one.querySelector('p')].map(part => getComputedStyle(part).color)")
    assert own == words


OUTSIDE = """all => all.filter(one => one.getBoundingClientRect().right >
    one.closest('[data-testid=stColumn]').getBoundingClientRect().right + 1).map(one => one.innerText)"""


@pytest.mark.parametrize("width", [390, 1000, 1400])
def test_every_button_of_a_choice_lies_within_its_column(visit, recorded_run, width):
    here = visit(width=width)
    here.open("sparsity", run=recorded_run)
    buttons = here.page.locator("[data-testid=stColumn] [data-testid=stButtonGroup] button")
    expect(buttons.filter(has_text="whole units")).to_be_visible()
    assert buttons.evaluate_all(OUTSIDE) == []


def test_the_overview_tells_eigenvalues_in_the_order_of_time(visit, recorded_run):
    here = visit()
    here.open(run=recorded_run)
    said = here.page.get_by_text("Largest Hessian eigenvalue, last task:")
    expect(said).to_have_text(re.compile("dense .*pruned .*pruned, survivors only .*end of the task, survivors only "))
