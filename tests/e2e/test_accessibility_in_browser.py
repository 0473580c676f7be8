"""No page has a serious or critical fault that axe-core finds, nor leaves out a level of headings, in either theme."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from test_browser import PAGES

pytestmark = pytest.mark.browser

MODERATE = ("heading-order",)  # only moderate to axe, and a reader by ear steps through a page by its headings
EXPERIMENTS = tuple(f"experiments?experiment={number}" for number in range(2, 7))


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_serious_fault(visit, recorded_run, dark):
    here, axe = visit(dark=dark), Axe()
    found = []
    for path in PAGES if dark else (*PAGES, *EXPERIMENTS):
        page, _, asked = path.partition("?")
        here.open(page, run=recorded_run, **dict(part.split("=") for part in asked.split("&") if part))
        here.page.locator(".drawings svg, .gallery .row, .st-key-_experiment").first.wait_for()
        here.page.wait_for_timeout(500)
        found += [
            (path, fault["id"], [node["html"][:200] for node in fault["nodes"][:3]])
            for fault in axe.run(here.page).response["violations"]
            if fault["impact"] in ("serious", "critical") or fault["id"] in MODERATE
        ]
    assert found == []
