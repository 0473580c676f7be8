"""What somebody is told who does not see the page: its language, and what the slider has come to."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

SLIDER = ".drawings input[type=range]"
LANGUAGE = "document.documentElement.lang"
# What a screen reader is given: the words of the region that speaks by itself, and of what it rests on.
HEARD = """input => {
  const root = input.getRootNode();
  const region = root.querySelector('.slider output');
  return {
    role: region.computedRole ?? region.getAttribute('role') ?? region.tagName,
    said: region.textContent,
    value: input.getAttribute('aria-valuetext'),
    figures: [...root.querySelectorAll('figure svg[role=img]')].map(one => one.getAttribute('aria-label')),
    same: region === (window.heardRegion ??= region),
  }; }"""
DRAG = """async input => {
  input.value = Number(input.value) + 2;
  input.dispatchEvent(new Event('input', {bubbles: true}));
  await new Promise(requestAnimationFrame); await new Promise(requestAnimationFrame);
}"""
HEAR = """input => {
  window.heard = [];
  const region = input.getRootNode().querySelector('.slider output');
  new MutationObserver(() => window.heard.push(region.textContent)).observe(region, {childList: true});
}"""


@pytest.fixture
def sparsity(visit, esacl_run):
    here = visit()
    here.open("sparsity", run=esacl_run, sparsity=0.5)
    here.page.wait_for_selector(SLIDER)
    here.page.wait_for_timeout(500)
    return here.page


def test_each_level_is_said_once_as_a_number_with_its_figures(sparsity):
    slider = sparsity.locator(SLIDER)
    slider.evaluate(HEAR)
    before = slider.evaluate(HEARD)
    assert before["role"] in ("status", "OUTPUT")  # an output speaks by itself, and waits for its turn
    slider.evaluate(DRAG)
    after = slider.evaluate(HEARD)
    assert after["said"] == after["value"]
    assert re.fullmatch(r"[\d.]+\u00a0%", after["said"])
    assert sparsity.evaluate("window.heard") == [after["said"]]
    assert after["same"], "a region that is put in anew says nothing"
    slider.evaluate("input => input.dispatchEvent(new Event('change', {bubbles: true}))")
    figures = sparsity.locator(f".drawings svg[role=img][aria-label*='{after['said']}']")
    expect(figures).not_to_have_count(0)  # drawn anew by the server, once the hand has let go
    then = slider.evaluate(HEARD)
    assert (then["said"], then["value"]) == (after["said"], after["said"])
    assert len(before["figures"]) == len(then["figures"]) == 8
    told = [after["said"] in said for said in then["figures"]]
    assert sum(told) >= 5, then["figures"]  # what a figure is described by is of the level that it shows


def test_the_slider_has_a_name_and_its_value_in_words(sparsity):
    slider = sparsity.get_by_role("slider", name="Weights removed")
    expect(slider).to_have_count(1)
    slider.focus()
    sparsity.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "0.0\u00a0%")
    expect(sparsity.get_by_role("button", name="Play")).to_have_count(1)
    sparsity.keyboard.press("Space")
    expect(sparsity.get_by_role("button", name="Pause")).to_have_count(1)
    sparsity.keyboard.press("Space")


def test_the_page_says_in_which_language_it_is_and_nothing_says_otherwise(visit, esacl_run):
    here = visit()
    here.open("cost", run=esacl_run, language="zh")
    page = here.page
    page.wait_for_function(f"{LANGUAGE} === 'zh'")
    page.evaluate(f"{LANGUAGE} = 'fr'")  # as a framework does that knows one language
    page.wait_for_function(f"{LANGUAGE} === 'zh'")
    page.locator(".st-key-_language [role=combobox], .st-key-_language input").first.click()
    page.get_by_role("option", name="English").click()
    page.wait_for_function(f"{LANGUAGE} === 'en'")
    expect(page.locator("h1")).to_have_text("What did it cost?")
    page.evaluate(f"{LANGUAGE} = 'zh'")
    page.wait_for_function(f"{LANGUAGE} === 'en'")
