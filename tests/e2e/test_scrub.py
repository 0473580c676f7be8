"""Scrubbing and playing in a real browser: what moves, what is told, what the keyboard does, one cut as a job."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

SLIDER = ".drawings input[type=range]"
LEVEL = ".drawings .slider output"
PICTURE = ".drawings image.cells"


@pytest.fixture
def page_of(visit, esacl_run):
    """A page of the EsaCL run with its slider on the screen."""

    def open_page(path: str, **query: str):
        here = visit()
        here.open(path, run=esacl_run, **query)
        here.page.wait_for_selector(SLIDER)
        here.page.wait_for_timeout(300)
        return here.page

    return open_page


def told(page) -> str | None:
    """The level in the link."""
    found = re.search(r"sparsity=([\d.]+)", page.url)
    return found[1] if found else None


def test_play_moves_the_level_and_its_end_is_told(page_of):
    page = page_of("sparsity", sparsity="0.0")
    before, picture = page.locator(LEVEL).inner_text(), page.locator(PICTURE).get_attribute("href")
    page.get_by_role("button", name="Play").click()
    expect(page.locator(LEVEL)).not_to_have_text(before)
    assert page.locator(PICTURE).get_attribute("href") != picture
    assert told(page) == "0.0"  # nothing is told while it plays
    page.get_by_role("button", name="Pause").click()
    page.wait_for_url(re.compile(r"sparsity=0\.[1-9]|sparsity=0\.0\d"))
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    shown = float(page.locator(LEVEL).inner_text().removesuffix("\u00a0%")) / 100
    assert float(told(page)) == pytest.approx(shown, abs=6e-4)


def test_a_hand_that_takes_hold_while_it_plays_stops_it_there(page_of):
    page = page_of("sparsity", sparsity="0.0")
    page.get_by_role("button", name="Play").click()
    expect(page.locator(LEVEL)).not_to_have_text("0.0\u00a0%")
    page.locator(SLIDER).focus()
    page.keyboard.press("End")
    page.wait_for_url(re.compile(r"sparsity=0\.995"))
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_play_runs_to_the_end_and_begins_anew(page_of):
    page = page_of("sparsity", sparsity="0.95")
    last = int(page.locator(SLIDER).get_attribute("max"))
    page.get_by_role("button", name="Play").click()
    page.wait_for_url(re.compile(r"sparsity=0\.995"))  # it stops by itself, and says where
    expect(page.locator(SLIDER)).to_have_value(str(last))
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Play").click()
    expect(page.locator(SLIDER)).to_have_value(re.compile(r"^[0-3]$"))
    page.get_by_role("button", name="Pause").click()


def test_the_keyboard_steps_and_plays(page_of):
    page = page_of("sparsity", sparsity="0.9")
    slider = page.locator(SLIDER)
    start = int(slider.input_value())
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_value(str(start + 1))
    page.wait_for_url(re.compile(r"sparsity=0\.9\d"))
    page.wait_for_timeout(500)
    expect(slider).to_be_focused()  # the page was drawn anew, and the hand is where it was
    page.keyboard.press("Home")
    expect(page.locator(LEVEL)).to_have_text("0.0\u00a0%")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.get_by_role("button", name="One step on").focus()
    before = int(slider.input_value())
    page.keyboard.press("Enter")
    expect(slider).to_have_value(str(before + 1))


def test_every_figure_moves_with_the_picture_at_once(page_of):
    page = page_of("sparsity", sparsity="0.5")
    seen = page.locator(SLIDER).evaluate(
        """async input => {
             const root = input.getRootNode(), found = [];
             for (const value of [0, Number(input.max)]) {
               input.value = value;
               input.dispatchEvent(new Event('input', {bubbles: true}));
               await new Promise(requestAnimationFrame); await new Promise(requestAnimationFrame);
               found.push([...root.querySelectorAll('figure svg')].map(svg => svg.innerHTML));
             }
             return found; }"""
    )
    dense, sparse = seen
    assert len(dense) == 8
    assert all(a != b for a, b in zip(dense, sparse))
    assert "400 of 400 kept" in "".join(dense) or "1&nbsp;280 of 1&nbsp;280 kept" in "".join(dense)


def test_a_cell_of_the_picture_says_what_it_holds(page_of):
    page = page_of("sparsity", sparsity="0.9")
    box = page.locator(PICTURE).bounding_box()
    page.locator(PICTURE).scroll_into_view_if_needed()
    box = page.locator(PICTURE).bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    expect(page.locator(".drawings .tip")).to_have_text(re.compile(r"^−?\d.*: (goes at \d|stays at every level)"))


def test_the_training_page_plays_and_tells_nobody(page_of):
    page = page_of("training", task="2")
    address, before = page.url, page.locator(LEVEL).inner_text()
    page.get_by_role("button", name="Play").click()
    expect(page.locator(LEVEL)).not_to_have_text(before)
    page.get_by_role("button", name="Pause").click()
    shown = page.locator(LEVEL).inner_text()
    page.wait_for_timeout(500)
    assert page.locator(LEVEL).inner_text() == shown
    assert page.url == address


def test_one_cut_is_evaluated_exactly_as_a_job(visit, store):
    from esacl.config import read_config
    from esacl.pipeline import run

    small = {"tasks": 2, "epochs": 1, "curvature.top": 0, "curvature.grid": 0, "curvature.levels": 5, "device": "cpu"}
    config = read_config(None, {**small, "name": "real digits"})
    run_id = store.create(config)
    for _ in store.record(run(config), run_id):
        pass
    here = visit()
    here.open("sparsity", run=run_id, sparsity=0.8)
    here.page.wait_for_selector(SLIDER)
    box = here.page.get_by_role("spinbutton", name="Weights removed, %")
    box.fill("83.5")
    box.press("Enter")
    here.page.wait_for_timeout(700)
    here.page.get_by_role("button", name="Evaluate exactly here").click()
    expect(here.page.get_by_text(re.compile(r"At 83\.50\s%: mean accuracy"))).to_be_visible(timeout=120_000)
    assert float(store.array(run_id, "exact-t1-83500")["level"]) == 0.835
