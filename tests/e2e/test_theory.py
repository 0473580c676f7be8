"""A student on the theory page: drags with the keys and by hand, predicts, and sees the answer."""

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
OVERLAPPING = """texts => {
  const found = [];
  texts.forEach((one, i) => texts.slice(i + 1).forEach((other) => {
    if (one.ownerSVGElement !== other.ownerSVGElement) return;
    const [a, b] = [one.getBoundingClientRect(), other.getBoundingClientRect()];
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 1 && high > 4) found.push([one.textContent, other.textContent]);
  }));
  return found;
}"""
RERUN = 30_000  # milliseconds; of the page, on a machine that has other work


def value(figure, name: str):
    """The number over its name."""
    item = figure.locator("dl > div", has=figure.page.locator("dt", has_text=name))
    return item.locator("dd")


def predict(page, question: str, answer: str) -> None:
    box = page.locator(f"[class*=st-key-predict-lesson-{question}]")
    box.locator("[data-testid=stRadio] label", has_text=answer).last.click()
    box.get_by_role("button", name="Commit, and see").click()


def test_a_point_is_moved_with_the_keys_and_the_numbers_follow_in_the_browser(visit, esacl_run):
    here = visit()
    here.open("theory", run=esacl_run)
    step = here.page.locator(".lesson").first
    theta = step.locator(".handle.theta")
    theta.focus()
    expect(value(step, "length of the step")).to_have_text("2")
    before = float(value(step, "true rise").inner_text())
    for _ in range(5):
        theta.press("ArrowLeft")
    expect(value(step, "length of the step")).to_have_text("1.5")
    assert float(value(step, "true rise").inner_text()) == pytest.approx(before * (1.5 / 2) ** 2, rel=0.01)
    theta.press("Shift+ArrowLeft")
    expect(value(step, "length of the step")).to_have_text("1.49")
    assert theta.get_attribute("aria-valuetext").startswith("weight θ₁ 1.49, weight θ₂ 1.3; true rise")
    step.get_by_label("weight θ₂").check()
    expect(step.locator("tr").nth(2).locator("td")).to_have_text(["1.3", "0", "−1.3"])
    step.get_by_role("button", name="Start again").click()
    expect(value(step, "length of the step")).to_have_text("2")
    expect(step.get_by_label("weight θ₂")).not_to_be_checked()


@pytest.mark.parametrize("dark", [False, True])
def test_what_is_written_on_the_plane_can_be_read(visit, esacl_run, dark):
    here = visit(dark=dark)
    here.open("theory", run=esacl_run)
    letters = here.page.locator(".lesson").first.locator("svg .lettering")
    expect(letters).to_have_text(["d", "θ + d", "θ"])
    looks = letters.evaluate_all(
        "found => found.map(letter => [getComputedStyle(letter).fill, getComputedStyle(letter).stroke])"
    )
    for ink, halo in looks:
        assert abs(brightness(ink) - brightness(halo)) > 120, f"{ink} within {halo}"


def brightness(colour: str) -> float:
    """From 0, black, to 255, white, of what the browser calls a colour."""
    parts = [float(part) for part in re.findall(r"[\d.]+", colour)][:3]
    return 255 * sum(parts) / 3 if "srgb" in colour else sum(parts) / 3


def test_a_point_is_dragged_by_hand(visit, esacl_run):
    here = visit()
    here.open("theory", run=esacl_run)
    expansion = here.page.locator(".lesson").nth(1)
    expansion.scroll_into_view_if_needed()
    expect(value(expansion, "true rise")).to_have_text(re.compile(r"^0\."))
    handle = expansion.locator(".handle.minimum")
    handle.hover()  # waits until nothing moves any more
    minimum = handle.bounding_box()
    x, y = minimum["x"] + minimum["width"] / 2, minimum["y"] + minimum["height"] / 2
    here.page.mouse.move(x, y)
    here.page.mouse.down()
    here.page.mouse.move(x - 75, y, steps=4)
    here.page.mouse.up()
    expect(value(expansion, "true rise")).to_have_text(re.compile("^−"))
    assert value(expansion, "Taylor").inner_text() == value(expansion, "true rise").inner_text()


def test_what_the_reader_has_moved_outlives_a_rerun_of_the_page(visit, esacl_run):
    here = visit()
    here.open("theory", run=esacl_run)
    step = here.page.locator(".lesson").first
    handle = step.locator(".handle.theta")
    handle.hover()  # waits until nothing moves any more
    handle.press("ArrowUp")
    length = step.locator("tr").nth(2).locator("td").first
    expect(length).to_have_text("1.4")
    predict(here.page, "direction", "the long step")
    expect(here.page.locator(".lesson")).to_have_count(5, timeout=RERUN)
    expect(length).to_have_text("1.4")


def test_the_loss_that_breaks_defeats_the_bound(visit, esacl_run):
    here = visit()
    here.open("theory", run=esacl_run)
    failure = here.page.locator(".lesson", has=here.page.get_by_label("breaks (ReLU)"))
    bars = failure.locator("svg[role=img]").last
    assert re.search(r"λ bound ([\d.]+)", bars.get_attribute("aria-label"))
    ratios = {}
    for shape in ("steepens", "bends (softplus)", "breaks (ReLU)"):
        failure.get_by_label(shape).check()
        expect(failure.get_by_label("How sudden the bend is")).to_be_visible(visible="softplus" in shape)
        here.page.wait_for_timeout(200)
        found = bars.get_attribute("aria-label")
        rise, bound = (float(re.search(rf"{name} ([\d.]+)", found).group(1)) for name in ("true rise", "λ bound"))
        ratios[shape] = bound / rise
    assert ratios["steepens"] > 1
    assert ratios["bends (softplus)"] > 1
    assert ratios["breaks (ReLU)"] < 1


def test_a_student_predicts_and_sees_the_answer_of_the_run(visit, esacl_run):
    here = visit()
    here.open("theory", run=esacl_run)
    figures = here.page.locator(".drawings:not(.lesson) figure")
    expect(figures).to_have_count(1, timeout=RERUN)
    predict(here.page, "furthest", "Taylor")
    expect(here.page.get_by_text("It is another:")).to_be_visible(timeout=RERUN)
    expect(figures).to_have_count(2, timeout=RERUN)
    predict(here.page, "bound", "more than one of them")
    expect(here.page.get_by_text("Never below:")).to_be_visible(timeout=RERUN)
    expect(figures).to_have_count(4, timeout=RERUN)
    bar = here.page.locator(".drawings:not(.lesson) rect.bar").first
    wide = bar.get_attribute("width")
    here.page.locator(".drawings:not(.lesson) input[type=range]").press("ArrowLeft")
    expect(bar).not_to_have_attribute("width", wide)


def test_the_lesson_fits_a_telephone(visit, esacl_run):
    here = visit(390, dark=True)
    here.open("theory", run=esacl_run)
    predict(here.page, "direction", "the short step")
    expect(here.page.locator(".lesson")).to_have_count(5, timeout=RERUN)
    main = here.page.locator("[data-testid=stMain]")
    assert main.evaluate("element => element.scrollWidth <= element.clientWidth")
    for shown in here.page.locator(".lesson svg[viewBox]").all():
        box = shown.bounding_box()
        assert box is None or box["x"] + box["width"] <= 390
    for cell in here.page.locator(".st-key-theory-bounds td").all():  # nothing is to be scrolled to from the side
        right, hidden = cell.evaluate(
            "cell => [cell.getBoundingClientRect().right, cell.scrollWidth - cell.clientWidth]"
        )
        assert right <= 390
        assert hidden <= 1
    assert here.page.locator(".lesson svg[role=img] text").evaluate_all(OVERLAPPING) == []
