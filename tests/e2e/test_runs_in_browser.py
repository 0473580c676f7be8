"""The Runs page as a user meets it: take a run in, name it, vary it, delete it, bring it back; and a report."""

import io
import re

import pytest
from pages_runs import record
from playwright.sync_api import expect

from app import downloads, run_report, stepping
from app.drawing import Panel
from app.scale import Scale
from esacl.bundles import write_bundle
from esacl.store import RunStore

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)  # a busy machine is no fault of the page


def row(page, name: str):
    return page.locator(".gallery .row", has_text=name)


def test_a_run_is_taken_in_named_varied_deleted_and_brought_back(visit, store, tmp_path):
    source, file = RunStore(tmp_path / "source"), io.BytesIO()
    run_id = record(source, name="from a friend", seed=41)
    write_bundle(source, run_id, file)
    here = visit()
    here.open("runs")
    page = here.page
    page.get_by_text("Import a run").click()
    page.locator("[data-testid=stFileUploader] input[type=file]").set_input_files(
        {"name": "friend.zip", "mimeType": "application/zip", "buffer": file.getvalue()}
    )
    expect(row(page, "from a friend")).to_have_attribute("aria-pressed", "true")
    expect(row(page, "from a friend")).to_contain_text("imported")
    assert run_id in store.ids()

    name = page.get_by_role("textbox", name="Name")
    name.fill("<b>mine</b> now")
    name.press("Enter")
    expect(row(page, "<b>mine</b> now")).to_have_count(1)
    expect(page.get_by_role("heading", name="<b>mine</b> now")).to_have_count(1)
    assert store.config(run_id).name == "<b>mine</b> now"

    page.get_by_role("button", name="Duplicate with changes").click()
    expect(page.locator("h1")).to_have_text("Run")
    seed = page.get_by_role("spinbutton", name="Seed")
    expect(seed).to_have_value("41")
    seed.fill("42")
    seed.press("Enter")
    expect(page.locator(".st-key-source")).to_contain_text("but for: seed 41 → 42")
    page.get_by_text("The same on the command line").click()
    expect(page.locator("[data-testid=stCode]")).to_contain_text("--seed 42")

    page.locator("[data-testid=stTopNavLink]", has_text=re.compile("^Runs$")).click()
    expect(row(page, "mine")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(row(page, "mine")).to_have_count(0)
    assert run_id not in store.ids()
    page.get_by_role("button", name="Undo").click()
    expect(row(page, "mine")).to_have_attribute("aria-pressed", "true")
    assert run_id in store.ids()
    store.delete(run_id)


def test_a_row_chooses_the_run_for_all_pages_by_mouse_and_by_keyboard(visit):
    here = visit()
    here.open("runs")
    page = here.page
    row(page, "baseline").click()
    expect(row(page, "baseline")).to_have_attribute("aria-pressed", "true")
    expect(page).to_have_url(re.compile(r"run=[\w-]+-ewc-"))
    row(page, "esacl run").focus()
    page.keyboard.press("Enter")
    expect(row(page, "esacl run")).to_have_attribute("aria-pressed", "true")
    row(page, "baseline").click()  # the same choice again, after another
    expect(row(page, "baseline")).to_have_attribute("aria-pressed", "true")
    page.locator("[data-testid=stTopNavLink]", has_text="Cost").click()
    expect(page.locator(".st-key-facts")).to_contain_text("EWC")


def test_the_gallery_fits_a_telephone_in_the_dark(visit):
    here = visit(width=390, dark=True)
    here.open("runs")
    row(here.page, "baseline").wait_for()
    assert here.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    box = row(here.page, "baseline").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


def test_a_report_opens_from_a_file_without_a_network(browser, store, esacl_run, tmp_path):
    path = tmp_path / "report.html"
    path.write_bytes(run_report.page(store, esacl_run))
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked, faults = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(path.as_uri())
    expect(page.locator("h2")).to_have_count(8)
    svgs = page.locator("section.figures svg")
    expect(svgs.nth(19)).to_be_attached()  # the report's script draws them
    assert all(svgs.nth(i).bounding_box()["height"] > 20 for i in range(svgs.count()))
    slider = page.locator("input[type=range]")
    before = page.locator("output").inner_text()
    slider.press("ArrowRight")
    expect(page.locator("output")).not_to_have_text(before)
    page.emulate_media(media="print")
    expect(slider).to_be_hidden()
    assert faults == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()


def test_figures_that_are_stepped_through_work_in_a_downloaded_file(browser, tmp_path):
    frames = [Panel(Scale(0, 1), Scale(0, 1), "x", "y", f"step {step}").drawing() for step in range(3)]
    scrub = {"label": "Step", "names": ["first", "second", "third"], "index": 0, "marked": None, "facts": []}
    path = tmp_path / "figures.html"
    path.write_bytes(downloads.drawings("t", "a", [downloads.part(stepping.merged(frames), scrub=scrub)]))
    page = browser.new_page()
    page.goto(path.as_uri())
    page.locator("input[type=range]").press("End")
    expect(page.locator("output")).to_have_text("third")
    expect(page.get_by_role("img", name="step 2")).to_be_visible()
    page.close()
