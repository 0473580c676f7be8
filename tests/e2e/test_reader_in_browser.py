"""Language and large type in a real browser, by keyboard, on a wide and on a narrow window."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

LETTERS = """() => {
  const found = [...document.querySelectorAll("*")].map((element) => element.shadowRoot).filter(Boolean);
  const letter = found.map((root) => root.querySelector("svg text.title")).find(Boolean);
  return letter ? letter.getBoundingClientRect().height : 0;
}"""
WIDER = "document.documentElement.scrollWidth - innerWidth"


def choose_chinese(page) -> None:
    page.locator(".st-key-_language input").focus()
    page.keyboard.press("ArrowDown")
    page.get_by_role("option", name="中文").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")


@pytest.mark.parametrize("width", [390, 1400])
def test_language_and_large_type_are_chosen_by_keyboard_and_stay_in_the_link(visit, esacl_run, width):
    here = visit(width=width)
    here.open("cost", run=esacl_run)
    page = here.page
    expect(page.locator("h1")).to_have_text("What did it cost?")
    choose_chinese(page)
    expect(page.locator("h1")).to_have_text("代价是多少？")
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    expect(page).to_have_url(re.compile("language=zh"))
    page.wait_for_function(f"({LETTERS})() > 0")
    before = page.evaluate(LETTERS)
    page.locator(".st-key-_large input").focus()
    page.keyboard.press("Space")
    expect(page.locator("html")).to_have_css("font-size", "21.6px")
    expect(page).to_have_url(re.compile("large=1"))
    assert page.evaluate(WIDER) <= 0
    if width > 1000:  # on a narrow window a figure is as wide as it can be in either case
        page.wait_for_function(f"({LETTERS})() > {1.2 * before}")
    page.goto(page.url)
    expect(page.locator("h1")).to_have_text("代价是多少？")
    expect(page.locator("html")).to_have_css("font-size", "21.6px")
