"""Five readers of one server at once: each walks other pages and uses other controls, and nobody meets another."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
from test_browser import PAGES

pytestmark = pytest.mark.browser

LONG = 60_000  # milliseconds: five script runs share the cores
WRONG = "[data-testid=stException], [data-testid=stAlertContentError]"
READERS = 5
LEVELS = ("0.1", "0.3", "0.5", "0.7", "0.95")


@pytest.fixture
def log(store) -> Path:
    return store.root.parent / "server.log"


def settle(page) -> None:
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=LONG)


def level(page) -> str:
    return re.search(r"sparsity=([\d.]+)", page.url)[1]


def run_of(page) -> str:
    return re.search(r"run=([\w-]+)", page.url)[1]


def step(page, number: int) -> None:
    """One more level, on the sparsity page, by the keyboard: told when the key is up."""
    before = page.url
    page.locator(".drawings input[type=range]").first.press("ArrowLeft" if number % 2 else "ArrowRight")
    page.wait_for_function("before => location.href !== before", arg=before, timeout=LONG)


def test_five_readers_walk_all_pages_at_once_and_each_keeps_what_is_its_own(visit, store, log, esacl_run, recorded_run):
    """All five ask before the first has an answer, on every page; what each has chosen stays its own to the end."""
    logged = log.stat().st_size
    others = [run for run in store.ids() if store.status(run).state == "finished"]
    runs = [recorded_run, esacl_run, next(run for run in others if run != esacl_run), recorded_run, esacl_run]
    readers = [visit(dark=bool(number % 2)) for number in range(READERS)]
    for here, run, asked in zip(readers, runs, LEVELS):
        here.page.goto(f"{here.root}/sparsity?run={run}&sparsity={asked}", wait_until="commit")
    for here in readers:
        here.page.locator(".drawings input[type=range]").first.wait_for(timeout=LONG)
        settle(here.page)
    for number, here in enumerate(readers):
        step(here.page, number)
    levels = [level(here.page) for here in readers]
    assert len(set(levels)) == READERS  # nobody's handle moved another's
    shown = [here.page.locator(".drawings .slider output").first.inner_text() for here in readers]
    for stop in range(len(PAGES) // 2):  # each reader other pages: every page is opened by somebody
        paths = [PAGES[(stop + 3 * number) % len(PAGES)] for number in range(READERS)]
        for here, path in zip(readers, paths):
            link = here.page.locator(f"[data-testid=stTopNavLink][href$='/{path}']")
            link.first.click(timeout=LONG, no_wait_after=True)
        for here, path, run, kept in zip(readers, paths, runs, levels):
            here.page.wait_for_url(re.compile(rf"/{path}\?.*run={run}"), timeout=LONG)
            settle(here.page)
            expect(here.page.locator(WRONG)).to_have_count(0)
            assert (run_of(here.page), level(here.page)) == (run, kept)
    for here in readers:
        here.page.locator("[data-testid=stTopNavLink][href$='/sparsity']").first.click(no_wait_after=True)
    for here, said in zip(readers, shown):
        expect(here.page.locator(".drawings .slider output").first).to_have_text(said, timeout=LONG)
    told = log.read_bytes()[logged:].decode()
    assert not re.search(r"Traceback|ERROR|Exception|could not|cannot be drawn", told), told[-2000:]


def test_what_one_reader_looks_for_and_how_it_looks_stays_with_that_reader(visit, store, esacl_run):
    """Language, type, search, a prediction: five sessions, five answers."""
    readers = [visit() for _ in range(READERS)]
    for number, here in enumerate(readers):
        language = "zh" if number == 1 else "en"
        here.page.goto(f"{here.root}/runs?run={esacl_run}&language={language}&large={int(number == 2)}")
    for number, here in enumerate(readers):
        settle(here.page)
        box = here.page.locator(".st-key-seek-words input")
        box.fill(f"seed {number}" if number > 2 else "")
        box.press("Enter")
    for number, here in enumerate(readers):
        settle(here.page)
        expect(here.page.locator("h1")).to_have_text("全部运行" if number == 1 else "All runs", timeout=LONG)
        size = here.page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")
        assert (size > 16) == (number == 2)
        rows = here.page.locator(".gallery .row")
        if number > 2:
            assert all(f"seed {number}" in said for said in rows.evaluate_all("all => all.map(r => r.ariaLabel)"))
            expect(here.page.locator(".st-key-seek-words input")).to_have_value(f"seed {number}")
        else:
            expect(rows.first).to_be_visible()
