"""The six experiments as a student does them: read, predict, commit, move the handle, read the answer."""

import re

import pytest
from playwright.sync_api import expect
from test_browser import script_runs

from benchmarks.provenance import ROOT

pytestmark = pytest.mark.browser

SERIES = ROOT / "assets" / "series" / "anchor-digits.json"
VERDICT = re.compile("It came out")
QUESTION = "[data-testid=stRadio]"
expect.set_options(timeout=20_000)  # one of these pages may be the first that the server draws


def begin(visit, number: int, *, width: int = 1400):
    """The page at one experiment of the run that comes with the project."""
    run = next(path.name for path in (ROOT / "assets").glob("*-esacl-*"))
    here = visit(width)
    here.open(f"experiments?experiment={number}&run={run}")
    return here


def predict(page, answer: str) -> None:
    """Choose an answer and commit to it; nothing is told before."""
    expect(page.get_by_text(VERDICT)).to_have_count(0)
    button = page.get_by_role("button", name="Commit, and see")
    expect(button).to_be_disabled()
    page.locator(QUESTION).get_by_text(answer).click()
    expect(button).to_be_enabled()
    expect(page.get_by_text(VERDICT)).to_have_count(0)
    button.click()
    expect(page.get_by_text(VERDICT)).to_have_count(1)
    expect(page.get_by_text("You predicted:")).to_be_visible()
    expect(page.locator("[data-testid=stException], [data-testid=stAlertContentError]")).to_have_count(0)


def press(page, key: str, times: int = 1, *, before: str, after: str) -> None:
    """Move the slider by keys from one value to another."""
    slider = page.locator(".drawings", has=page.locator("input[type=range]")).first
    expect(slider.locator("output")).to_have_text(before)
    for _ in range(times):
        slider.locator("input").press(key)
    expect(slider.locator("output")).to_have_text(after)


def fits_a_telephone(page) -> None:
    """The answer and the teacher's notes on a narrow window."""
    page.get_by_text("For the teacher").click()
    expect(page.get_by_text("Ask before you reveal")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 900})
    page.wait_for_timeout(250)
    main = page.locator("[data-testid=stMain]")
    assert main.evaluate("element => element.scrollWidth <= element.clientWidth")


def test_an_experiment_is_chosen_and_goes_into_the_link(visit):
    here = begin(visit, 1)
    here.page.locator("[data-testid=stButtonGroup] button", has_text="3 Rescale").click()
    expect(here.page.locator("h2")).to_have_text("What is sharpness not?")
    here.page.wait_for_url(re.compile("experiment=3"))
    other = visit()
    other.open(here.page.url.removeprefix(other.root).lstrip("/"))
    expect(other.page.locator("h2")).to_have_text("What is sharpness not?")


def test_a_link_to_no_experiment_is_calm(visit):
    here = begin(visit, 9)
    expect(here.page.locator("[data-testid=stAlert]")).to_contain_text("There is no experiment '9'")
    expect(here.page.locator("h2")).to_have_text("Which network survives the cut?")


def test_1_two_networks_are_cut(visit):
    here = begin(visit, 1)
    expect(here.page.locator(".drawings svg")).to_have_count(2)  # the weights of both, to judge by
    predict(here.page, "EWC, cut by magnitude falls first")
    expect(here.page.get_by_text("Where on the slice?")).to_be_visible()
    expect(here.page.locator(".drawings svg").nth(4)).to_be_visible()  # accuracy, length, both ways, two planes
    press(here.page, "End", before="90.0\u00a0%", after="99.50\u00a0%")
    fits_a_telephone(here.page)
    here.page.set_viewport_size({"width": 1400, "height": 1000})
    here.page.get_by_text("to be turned and measured: Landscape").click()
    expect(here.page.locator("h1")).to_have_text("What does the loss look like there?")


def test_2_the_curves_are_put_beside_the_truth(visit):
    here = begin(visit, 2)
    curves = here.page.locator(".drawings path.line")
    expect(curves).to_have_count(2)  # the true rise alone, over the pool and over the chosen
    predict(here.page, "none of them")
    assert curves.count() > 8
    press(here.page, "End", before="90.0\u00a0%", after="99.50\u00a0%")
    expect(here.page.get_by_text("not below the true rise at")).to_have_count(5)
    fits_a_telephone(here.page)


def test_3_the_factor_moves_sharpness_and_not_the_function(visit):
    here = begin(visit, 3)
    runs_of_page = script_runs(here.page)
    expect(here.page.locator(".drawings svg")).to_have_count(1)
    predict(here.page, "It stays as it was")
    expect(here.page.get_by_text("It came out otherwise")).to_be_visible()
    drawing = here.page.locator(".drawings", has=here.page.locator("input[type=range]"))
    function, valley = (drawing.locator("svg").nth(place).locator("path.line").last for place in (0, 2))
    sharpness = drawing.locator("dd").nth(2)
    here.page.wait_for_timeout(500)
    ran, curve, narrow, first = (
        len(runs_of_page),
        function.get_attribute("d"),
        valley.get_attribute("d"),
        sharpness.inner_text(),
    )
    press(here.page, "ArrowRight", 8, before="× 1", after="× 4")
    assert function.get_attribute("d") == curve
    assert valley.get_attribute("d") != narrow
    assert float(sharpness.inner_text()) > 10 * float(first)
    here.page.wait_for_timeout(300)
    assert len(runs_of_page) == ran, "moving the factor reran the page"
    here.page.get_by_text("Each neuron its own", exact=True).click()
    expect(here.page.get_by_text("Factor of the last neuron")).to_be_visible()
    fits_a_telephone(here.page)


def test_4_hard_examples_are_looked_at_and_mislead(visit):
    here = begin(visit, 4)
    images = here.page.locator(".drawings image")
    expect(images).to_have_count(20)
    hardest = [image.get_attribute("href") for image in images.all()]
    here.page.get_by_text("Random ones", exact=True).click()
    # The hardest of all may be among the random ones too, in its place; most of the others are not.
    expect(images.last).not_to_have_attribute("href", hardest[-1])
    random = [image.get_attribute("href") for image in images.all()]
    assert len(set(random) & set(hardest)) < len(hardest) / 2
    predict(here.page, "Too large by more than a quarter")
    expect(here.page.get_by_text("It came out as you predicted.")).to_be_visible()
    press(here.page, "End", before="62", after="248")
    fact = here.page.locator(".drawings", has=here.page.locator("input[type=range]")).locator("dd")
    expect(fact.nth(1)).to_have_text("1")  # all of them: the truth
    fits_a_telephone(here.page)


def test_5_the_anchors_are_tightened(visit):
    here = begin(visit, 5)
    if not SERIES.exists():
        expect(here.page.locator("[data-testid=stAlert]")).to_contain_text("The recorded series over anchor strengths")
        return
    predict(here.page, "Something in between")
    press(here.page, "Home", before="λ = 0.1", after="λ = 0")
    expect(here.page.get_by_text("Forgetting:")).to_be_visible()
    expect(here.page.get_by_text("Plasticity:")).to_be_visible()
    fits_a_telephone(here.page)


def test_6_what_is_saved_and_what_is_not(visit):
    here = begin(visit, 6)
    predict(here.page, "The milliseconds of a training step")
    expect(here.page.get_by_text("It came out otherwise: None of the three")).to_be_visible()
    expect(here.page.get_by_text("a step at sparse weights took")).to_be_visible()
    press(here.page, "End", before="90.0\u00a0%", after="99.50\u00a0%")
    fits_a_telephone(here.page)


def test_a_prediction_outlives_the_page_and_can_be_asked_again(visit):
    here = begin(visit, 3)
    predict(here.page, "It falls")
    here.page.locator("[data-testid=stTopNavLink]", has_text="Forgetting").click()
    expect(here.page.locator("h1")).to_have_text("Does it remember?")
    here.page.locator("[data-testid=stTopNavLink]", has_text="Experiments").click()
    expect(here.page.get_by_text(VERDICT)).to_have_count(1)
    here.page.get_by_role("button", name="Ask me again").click()
    expect(here.page.get_by_text(VERDICT)).to_have_count(0)
    expect(here.page.locator(f"{QUESTION} input")).to_have_count(4)
    expect(here.page.locator(f"{QUESTION} input:checked")).to_have_count(0)


def test_the_question_is_answered_by_keys_alone(visit):
    here = begin(visit, 3)
    here.page.locator(f"{QUESTION} input").first.focus()
    here.page.keyboard.press("Space")
    button = here.page.get_by_role("button", name="Commit, and see")
    expect(button).to_be_enabled()
    button.focus()
    here.page.keyboard.press("Enter")
    expect(here.page.get_by_text(VERDICT)).to_have_count(1)
