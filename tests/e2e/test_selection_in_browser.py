"""What is drawn around, chosen and moved on the Selection and the Forgetting page is answered in the browser alone."""

import pytest
from playwright.sync_api import expect
from test_browser import script_runs
from test_experiments_in_browser import predict

pytestmark = pytest.mark.browser


def stroke(page, map_, *corners) -> None:
    """Draw with the mouse through corners given as shares of the map."""
    map_.scroll_into_view_if_needed()
    box = map_.bounding_box()
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def held(map_) -> set[str]:
    found = "marks => marks.map(mark => mark.dataset.item)"
    return set(map_.locator("[data-item][data-held]").evaluate_all(found))


@pytest.fixture
def opened(visit, esacl_run):
    here = visit()
    runs = script_runs(here.page)
    here.open("selection", run=esacl_run)
    here.page.locator(".held li").first.wait_for()
    predict(here.page, "Too large by more than a quarter")  # what the scores tell is shown to who has predicted it
    here.page.get_by_text("It came out as you predicted.").wait_for()
    here.page.locator("h1").scroll_into_view_if_needed()  # the maps are not to lie under the bar at the top
    here.page.wait_for_timeout(800)
    return here.page, runs, len(runs)


def test_a_lasso_on_one_map_selects_on_both_and_shows_the_images(opened):
    page, runs, before = opened
    first, second = page.locator("svg[data-lasso]").nth(0), page.locator("svg[data-lasso]").nth(1)
    said, images = page.locator(".held p").first, page.locator(".held li[data-item]")
    expect(images).to_have_count(20)  # until something is selected: what IDS takes
    stroke(page, first, (0.02, 0.2), (0.55, 0.2), (0.55, 0.93), (0.02, 0.93), (0.02, 0.3))
    expect(said).to_contain_text("selected")
    chosen = held(first)
    assert 0 < len(chosen) < 80
    assert held(second) == chosen
    shown = set(images.evaluate_all("all => all.map(one => one.dataset.item)"))
    assert shown <= chosen
    assert len(shown) == min(48, len(chosen))
    assert images.first.locator("canvas").evaluate(
        "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(value => value)"
    )
    expect(page.locator(".counts")).to_contain_text("IDS")
    stroke(page, second, (0.5, 0.97), (0.501, 0.97))  # a click beside the marks lets go
    expect(said).to_contain_text("Draw around")
    assert held(first) == set()
    assert len(runs) == before, "the page was run again"


def test_a_box_holds_what_lies_in_it(opened):
    page, _, _ = opened
    first = page.locator("svg[data-lasso]").first
    page.locator(".tools").get_by_label("Draw", exact=True).select_option("box")
    stroke(page, first, (0.0, 0.15), (0.4, 0.5), (0.6, 0.95))
    box = first.bounding_box()
    places = "marks => marks.map(m => [m.dataset.item, m.getBoundingClientRect().x])"
    edge = box["x"] + box["width"] * 0.6
    lying = {item for item, x in first.locator("[data-item]").evaluate_all(places) if x < edge}
    assert 0 < len(held(first)) < 80
    assert held(first) <= lying


def test_class_and_scores_select_from_the_keyboard(opened):
    page, runs, before = opened
    first = page.locator("svg[data-lasso]").first
    page.locator(".tools").get_by_label("Class", exact=True).focus()
    page.keyboard.press("ArrowDown")
    one = held(first)
    assert 0 < len(one) < 80
    scores = page.locator(".tools").get_by_label("Scores from", exact=True)
    scores.focus()
    for _ in range(60):
        page.keyboard.press("ArrowRight")
    assert 0 < len(held(first)) < len(one)
    expect(page.locator(".held p").first).to_contain_text("Scores from")
    page.keyboard.press("Escape")
    assert held(first) == set()
    assert page.locator(".tools").get_by_label("Class", exact=True).input_value() == ""
    assert len(runs) == before, "the page was run again"


def test_another_way_of_choosing_moves_every_figure(opened):
    page, runs, before = opened
    marks, facts = page.locator("svg[data-lasso] [data-item]"), page.locator(".drawings dl dd")
    read = "marks => marks.map(mark => mark.getAttribute('class')).join()"
    looks, biases = set(), set()
    for name in ("IDS", "random", "EL2N", "top-k"):
        page.locator(".ways label", has_text=name).click()
        expect(page.locator(".held p").first).to_contain_text(f"that {name} takes")
        looks.add(marks.evaluate_all(read))
        biases.add(facts.last.inner_text())
        expect(page.locator(".held li.taken")).to_have_count(20)
    assert len(looks) == 4
    assert biases == {"+5\u00a0%", "+20\u00a0%", "+233\u00a0%", "+264\u00a0%"}
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".held p").first).to_contain_text("that EL2N takes")
    assert len(runs) == before, "the page was run again"


def test_the_anchor_is_moved_and_picked_in_the_browser(visit, esacl_run):
    here = visit()
    runs = script_runs(here.page)
    here.open("forgetting", run=esacl_run)
    part = here.page.locator(".drawings", has=here.page.locator("input[type=range]"))
    slider, number = part.locator("input[type=range]"), part.locator("output")
    part.locator("[data-pick]").first.wait_for()
    here.page.wait_for_timeout(800)
    before, curve = len(runs), part.locator("path.line.ordered").first
    expect(number).to_have_text("0")
    first, average = curve.get_attribute("d"), part.locator("dd").first.inner_text()
    cells = part.locator("rect.heat")
    shade = cells.last.evaluate("cell => cell.style.getPropertyValue('--share')")
    slider.press("End")
    expect(number).not_to_have_text("0")
    assert curve.get_attribute("d") != first
    assert part.locator("dd").first.inner_text() != average
    assert cells.last.evaluate("cell => cell.style.getPropertyValue('--share')") != shade
    part.locator("[data-pick='2']").click()
    expect(number).to_have_text("0.3")
    ring, at = (part.locator(which).first.bounding_box() for which in ("circle.frame", "[data-pick='2']"))
    assert abs(ring["x"] + ring["width"] / 2 - at["x"] - at["width"] / 2) < 1
    assert part.locator("svg[role=img]").first.get_attribute("aria-label").startswith("Accuracy over the sequence at")
    here.page.wait_for_timeout(400)
    assert len(runs) == before, "a step reran the page"
