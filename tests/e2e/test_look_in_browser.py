"""What belongs in a row stands in a row, and what is written in a control can be read."""

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
