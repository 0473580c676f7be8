"""The tour by clicking, the glossary by keyboard, on a wide and on a narrow window."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

TITLES = (
    "Sparse networks that learn task after task", "Does it remember?", "How much can go?", "What does a cut cost?",
    "Which instances tell?", "What did it cost?", "Predict, then look",
)  # fmt: skip
LONG = 30_000  # milliseconds: a page or a control that loads when it is first asked for
TERMS = ".st-key-glossary-terms"
WIDER = """() => {
  const main = document.querySelector("[data-testid=stMain]");
  return Math.max(document.documentElement.scrollWidth - innerWidth, main.scrollWidth - main.clientWidth);
}"""


def test_the_tour_is_taken_from_start_to_end(visit, recorded_run):
    here = visit(width=390)
    here.open()
    page, banner = here.page, here.page.locator(".st-key-tour")
    page.get_by_role("button", name="Take the tour").click()
    for step, title in enumerate(TITLES, 1):
        expect(banner).to_contain_text(f"Step {step} of 7", timeout=LONG)
        expect(page.locator("h1")).to_have_text(title, timeout=LONG)
        expect(page).to_have_url(re.compile(f"run={recorded_run}.*tour={step}"))
        assert page.evaluate(WIDER) <= 0
        if step < len(TITLES):
            banner.get_by_role("button", name="Next").click()
    expect(banner.get_by_role("button", name="Next")).to_have_count(0)
    banner.get_by_role("button", name="End the tour").click()
    expect(banner).to_have_count(0)
    expect(page.locator("h1")).to_have_text(TITLES[-1])
    expect(page).not_to_have_url(re.compile("tour="))


def test_who_strays_from_the_tour_is_led_back(visit, recorded_run):
    here = visit()
    here.open("forgetting", run=recorded_run, tour=2)
    page, banner = here.page, here.page.locator(".st-key-tour")
    page.locator("[data-testid=stTopNavLink]", has_text="Curvature").click()
    expect(banner).to_contain_text("The tour waits on the page Forgetting", timeout=LONG)
    banner.get_by_role("button", name="Back to the tour").click()
    expect(page.locator("h1")).to_have_text(TITLES[1], timeout=LONG)
    expect(banner).to_contain_text("Step 2 of 7")


@pytest.mark.parametrize("width", [390, 1400])
def test_the_glossary_is_opened_searched_and_left_by_keyboard(visit, recorded_run, width):
    here = visit(width=width)
    here.open("cost", run=recorded_run, tour=6)
    page, terms = here.page, here.page.locator(TERMS)
    page.locator(".st-key-glossary button").focus()
    page.keyboard.press("Enter")
    expect(terms).to_contain_text("Accuracy matrix", timeout=LONG)
    assert page.evaluate(WIDER) <= 0
    box = terms.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert terms.evaluate("element => element.scrollWidth <= element.clientWidth"), "a formula is too wide"
    expect(page.locator(".st-key-glossary-find input")).to_be_focused(timeout=LONG)
    page.keyboard.type("lambda_max")
    expect(terms).not_to_contain_text("Accuracy matrix")
    expect(terms.locator("strong").first).to_have_text("λₘₐₓ")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("How sharp is the loss?", timeout=LONG)
    expect(terms).to_have_count(0)
    expect(page).to_have_url(re.compile(f"curvature.*run={recorded_run}"))
    page.locator(".st-key-glossary button").focus()
    page.keyboard.press("Enter")
    expect(terms).to_be_visible()
    page.keyboard.press("Escape")
    expect(terms).to_have_count(0)
