"""The app as its users meet it: the real command, a real browser, real runs."""

import re
import struct
from pathlib import Path

import pytest
from pages_runs import record
from playwright.sync_api import expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

pytestmark = pytest.mark.browser

PAGES = (
    "", "runs", "run", "forgetting", "training", "sparsity", "curvature", "landscape", "theory", "selection", "cost",
    "deploy",
    "compare", "experiments",
)  # fmt: skip
BAR = "[data-testid=stProgress]"


def script_runs(page) -> list[str]:
    """Collects how each script run of this page ended: FINISHED_SUCCESSFULLY is the whole page."""
    found: list[str] = []

    def look(frame) -> None:
        if isinstance(frame, bytes):
            message = ForwardMsg.FromString(frame)
            if message.WhichOneof("type") == "script_finished":
                found.append(ForwardMsg.ScriptFinishedStatus.Name(message.script_finished))

    page.on("websocket", lambda socket: socket.on("framereceived", look))
    return found


def start_run(page, *, epochs: int) -> str:
    """Start a run with the form's button and return its id."""
    page.get_by_role("spinbutton", name="Epochs").fill(str(epochs))
    page.get_by_role("spinbutton", name="Epochs").press("Enter")
    page.get_by_text("More settings").click()
    page.get_by_role("spinbutton", name="Tasks").fill("2")
    page.get_by_role("spinbutton", name="Tasks").press("Enter")
    page.wait_for_timeout(700)
    before = page.url
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_selector(BAR)
    page.wait_for_function("before => location.href !== before", arg=before)
    return re.search(r"run=([\w-]+)", page.url).group(1)


def wait_until(page, store, run_id: str, *states: str, seconds: int = 90) -> None:
    for _ in range(seconds * 5):
        if store.status(run_id).state in states:
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"the run is {store.status(run_id)}, not one of {states}")


def test_the_first_page_shows_real_results(visit):
    here = visit()
    here.open()
    expect(here.page.locator(".drawings svg")).to_have_count(8)  # one of them a key
    expect(here.page.locator("[data-testid=stMetricValue]").first).to_have_text(re.compile(r"^\d+\.\d\u00a0%$"))
    here.page.get_by_text("How much can go?").click()
    expect(here.page.locator("h1")).to_have_text("How much can go?")
    assert "/sparsity" in here.page.url


WIDTHS = (1400, 480)
SIDEWAYS = "element => element.scrollWidth > element.clientWidth"
FIGURES = """figures => figures.map(one => ({said: one.getAttribute('aria-label'),
    edge: one.getBoundingClientRect().right}))"""


def test_every_page_fits_and_shows_no_fault(visit, recorded_run):
    here = visit()
    for place, path in enumerate(PAGES):
        here.page.set_viewport_size({"width": WIDTHS[0], "height": 1000})
        here.page.emulate_media(color_scheme="dark" if place % 2 else "light")
        here.open(path, run=recorded_run)
        expect(here.page.locator("[data-testid=stException]")).to_have_count(0)
        expect(here.page.locator("[data-testid=stAlertContentError]")).to_have_count(0)
        here.page.locator(".drawings svg, .gallery .row").first.wait_for()
        for width in WIDTHS:
            here.page.set_viewport_size({"width": width, "height": 1000})
            here.page.wait_for_timeout(250)
            assert not here.page.locator("[data-testid=stMain]").evaluate(SIDEWAYS), f"/{path} scrolls at {width}"
            for figure in here.page.locator(".drawings svg[role=img]").evaluate_all(FIGURES):
                assert len(figure["said"]) > 10
                assert figure["edge"] <= width, (path, figure)


# The text of what is in a figure while its picture is made.
WATCH = """figure => {
    const seen = [];
    new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.forEach(
        (added) => seen.push(added.textContent)))).observe(figure, { childList: true });
    return seen;
}"""


def saved_picture(here) -> tuple[tuple[int, int], list[float], str]:
    """The first figure's picture: its pixels, the width and height of figure and key, and the words put into it."""
    figure = here.page.locator(".drawings figure", has=here.page.locator("button.save")).first
    key = here.page.locator(".drawings svg[aria-label^=Key]").first
    views = [float(part) for svg in (figure.locator("svg"), key) for part in svg.get_attribute("viewBox").split()[2:]]
    watched = figure.evaluate_handle(WATCH)
    with here.page.expect_download() as saved:
        figure.locator("button.save").click()
    assert re.fullmatch(r"esacl-split-\w+-\w+-flops\.png", saved.value.suggested_filename)
    head = Path(saved.value.path()).read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    expect(figure.locator("svg")).to_have_count(1)
    return struct.unpack(">II", head[16:]), views, watched.evaluate("seen => seen.join()")


def test_a_figure_is_saved_as_a_picture_of_twice_its_size_with_its_key(visit, esacl_run):
    here = visit()
    here.open("compare", run=esacl_run)
    pixels, (width, height, _, key), words = saved_picture(here)
    assert pixels == (2 * (width + 28), 2 * (height + 28 + key + 14))
    assert "EsaCL" in words
    assert "published" not in words


def test_a_picture_with_published_marks_names_their_source(visit, store):
    run_id = record(store, benchmark="split-cifar10", scenario="class", tasks=5)
    try:
        here = visit()
        here.open("compare", run=run_id)
        (_, high), (_, height, _, key), words = saved_picture(here)
        assert "Hollow marks: published, dense ResNet-18 (Buzzega et al. 2020; Cha et al. 2021)" in words
        assert high == 2 * (height + 28 + key + 14 + 16 + 14)
    finally:
        store.delete(run_id)  # other tests open the newest


def test_figures_follow_the_theme(visit, esacl_run):
    colours = []
    for dark in (False, True):
        here = visit(dark=dark)
        here.open("forgetting", run=esacl_run)
        text = here.page.locator(".drawings svg text").first
        colours.append(text.evaluate("element => getComputedStyle(element).fill"))
    assert colours[0] != colours[1]


def test_scrubbing_answers_in_the_browser_and_the_level_goes_along(visit, esacl_run):
    here = visit()
    runs_of_page = script_runs(here.page)
    here.open("sparsity", run=esacl_run)
    slider = here.page.locator(".drawings input[type=range]")
    slider.wait_for()
    here.page.wait_for_timeout(500)
    before, shown = len(runs_of_page), here.page.locator(".drawings output").inner_text()
    moved = slider.evaluate(
        """async input => {
             input.value = 3;
             input.dispatchEvent(new Event('input', {bubbles: true}));
             await new Promise(requestAnimationFrame); await new Promise(requestAnimationFrame);
             return input.getRootNode().querySelector('output').textContent; }"""
    )
    assert moved != shown
    assert len(runs_of_page) == before
    slider.evaluate("input => input.dispatchEvent(new Event('change', {bubbles: true}))")
    here.page.wait_for_url(re.compile("sparsity=0"))
    level = re.search(r"sparsity=([\d.]+)", here.page.url).group(1)
    expect(here.page.locator(".drawings output")).to_have_text(moved)
    here.page.locator("[data-testid=stTopNavLink]", has_text="Landscape").click()
    expect(here.page.locator("h1")).to_have_text("What does the loss look like there?")
    expect(here.page.locator(".drawings output")).to_have_text(moved)
    here.page.wait_for_url(re.compile(f"landscape.*sparsity={re.escape(level)}"))
    other = visit()
    other.open(here.page.url.removeprefix(other.root).lstrip("/"))
    expect(other.page.locator(".drawings output")).to_have_text(moved)


CAMERAS = """[...document.querySelectorAll('.esacl-plots .plot')].filter(plot => plot._fullLayout?.scene?._scene)
    .map(plot => plot._fullLayout.scene._scene.getCamera().eye.x.toFixed(3))"""


def test_nothing_on_the_page_moves_when_the_slices_are_drawn(visit, recorded_run):
    here, held = visit(), []
    here.page.route("**/plotly-*.min.js", lambda route: held.append(route))
    here.open("landscape", run=recorded_run)
    beneath = here.page.get_by_role("heading", name="In one")
    beneath.wait_for()
    expect(here.page.locator(".esacl-plots .plot")).to_have_count(2)
    before = beneath.bounding_box()
    held[0].continue_()
    here.page.wait_for_function("document.querySelectorAll('.esacl-plots .plot .main-svg').length >= 2")
    assert beneath.bounding_box() == before


def test_the_camera_outlives_data_and_page_and_is_shared_by_the_panels(visit, recorded_run):
    here = visit()
    here.open("landscape", run=recorded_run)
    here.page.get_by_text("In 3-D").click()
    first = here.page.locator(".esacl-plots .plot canvas").first
    first.wait_for(state="attached")
    here.page.wait_for_function(f"() => {CAMERAS}.length === 2")
    start = here.page.evaluate(CAMERAS)
    assert start[0] == start[1]
    box = here.page.locator(".esacl-plots .plot").first.bounding_box()
    here.page.mouse.move(box["x"] + 200, box["y"] + 200)
    here.page.mouse.down()
    here.page.mouse.move(box["x"] + 300, box["y"] + 220, steps=5)
    here.page.mouse.up()
    here.page.wait_for_function(f"old => {CAMERAS}.every(eye => eye !== old)", arg=start[0])
    here.page.wait_for_timeout(300)
    here.page.wait_for_function(f"() => new Set({CAMERAS}).size === 1")  # the last frame may be late on a busy machine
    turned = here.page.evaluate(CAMERAS)
    node = here.page.locator(".esacl-plots .plot").first.element_handle()
    before = here.page.evaluate("plot => plot.data[0].z.join()", node)
    here.page.locator("[data-testid=stButtonGroup] button", has_text="1").first.click()  # another task
    here.page.wait_for_function("([plot, old]) => plot.data[0].z.join() !== old", arg=[node, before])
    assert here.page.evaluate(CAMERAS) == turned
    assert node.evaluate("plot => plot.isConnected"), "the figure was mounted anew"
    here.page.locator("[data-testid=stTopNavLink]", has_text="Sparsity").click()
    expect(here.page.locator("h1")).to_have_text("How much can go?")
    here.page.locator("[data-testid=stTopNavLink]", has_text="Landscape").click()
    here.page.wait_for_function(f"() => {CAMERAS}.length === 2")
    assert here.page.evaluate(CAMERAS) == turned


def test_an_eigenvalue_is_stepped_and_clicked_in_the_browser_alone(visit, esacl_run):
    here = visit()
    runs_of_page = script_runs(here.page)
    here.open("curvature", run=esacl_run)
    drawing = here.page.locator(".drawings", has=here.page.locator("input[type=range]"))
    slice_path = drawing.locator("path.line").last
    drawing.locator("[data-pick]").first.wait_for()
    here.page.wait_for_timeout(500)
    before, first = len(runs_of_page), slice_path.get_attribute("d")
    expect(drawing.locator("output")).to_contain_text("λ₁")
    drawing.locator("input").press("ArrowRight")
    expect(drawing.locator("output")).to_contain_text("λ₂")
    second = slice_path.get_attribute("d")
    assert second != first
    picked = drawing.locator("[data-pick='6']")
    picked.click()
    expect(drawing.locator("output")).to_contain_text("survivors only")
    ring, at = (drawing.locator(which).first.bounding_box() for which in ("circle.cursor", "[data-pick='6']"))
    assert abs(ring["x"] + ring["width"] / 2 - at["x"] - at["width"] / 2) < 1
    assert slice_path.get_attribute("d") not in (first, second)
    here.page.wait_for_timeout(500)
    assert len(runs_of_page) == before, "a step reran the page"


def test_an_unknown_run_in_a_link_is_one_line(visit):
    here = visit()
    here.open("?run=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
    expect(here.page.locator("[data-testid=stAlert]")).to_contain_text("There is no run")
    expect(here.page.locator("[data-testid=stAlert] img")).to_have_count(0)


def test_a_run_is_started_followed_left_found_again_and_finished(visit, store):
    here = visit()
    runs_of_page = script_runs(here.page)
    here.open("run")
    run_id = start_run(here.page, epochs=20)
    wait_until(here.page, store, run_id, "running", "finished")
    after_start = len(runs_of_page)
    expect(here.page.locator(BAR)).to_contain_text(re.compile("task 2 of 2", re.I), timeout=90_000)
    assert "FINISHED_SUCCESSFULLY" not in runs_of_page[after_start:], "following a run reran the whole page"
    assert "FINISHED_FRAGMENT_RUN_SUCCESSFULLY" in runs_of_page[after_start:]
    expect(here.page.locator("[data-testid=stMetricValue]").first).to_have_text(re.compile(r"\d\u00a0%$"))

    here.page.locator("[data-testid=stTopNavLink]", has_text="Forgetting").click()
    expect(here.page.locator("h1")).to_have_text("Does it remember?")
    here.page.goto(f"{here.root}/run?run={run_id}")
    expect(here.page.locator("[data-testid=stAlert]")).to_contain_text("Finished after", timeout=120_000)
    assert store.status(run_id).state == "finished"
    expect(here.page.locator(".drawings svg")).to_have_count(5)  # loss, doomed weights, matrix, FLOPs, bytes


def test_a_run_is_cancelled_and_resumed(visit, store):
    here = visit()
    here.open("run")
    run_id = start_run(here.page, epochs=5000)
    wait_until(here.page, store, run_id, "running")
    here.page.get_by_role("button", name="Cancel").click()
    wait_until(here.page, store, run_id, "cancelled")
    expect(here.page.locator("[data-testid=stAlert]")).to_contain_text("was cancelled")
    here.page.get_by_role("button", name="Resume").click()
    here.page.wait_for_selector(BAR)
    wait_until(here.page, store, run_id, "running")
    here.page.get_by_role("button", name="Cancel").click()
    wait_until(here.page, store, run_id, "cancelled")


def test_a_second_run_waits_for_its_turn(visit, store):
    here = visit()
    here.open("run")
    first = start_run(here.page, epochs=5000)
    here.page.get_by_role("button", name="Start the run").click()
    expect(here.page.locator(BAR)).to_contain_text("Queued, position 1")
    second = re.search(r"run=([\w-]+)", here.page.url).group(1)
    assert second != first
    here.page.get_by_role("button", name="Cancel").click()
    wait_until(here.page, store, second, "cancelled")
    here.page.goto(f"{here.root}/run?run={first}")
    here.page.get_by_role("button", name="Cancel").click()
    wait_until(here.page, store, first, "cancelled")


def test_two_tabs_follow_one_run(visit, store):
    first = visit()
    first.open("run")
    run_id = start_run(first.page, epochs=5000)
    second = visit()
    second.open(f"run?run={run_id}")
    second.page.wait_for_selector(BAR)
    first.page.goto("about:blank")
    second.page.get_by_role("button", name="Cancel").click()
    wait_until(second.page, store, run_id, "cancelled")
