"""No page has a serious or critical fault that axe-core finds, in either theme."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from test_browser import PAGES

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_serious_fault(visit, recorded_run, dark):
    here, axe = visit(dark=dark), Axe()
    found = []
    for path in PAGES:
        here.open(path, run=recorded_run)
        here.page.locator(".drawings svg, .gallery .row").first.wait_for()
        here.page.wait_for_timeout(500)
        found += [
            (path, fault["id"], [node["html"][:200] for node in fault["nodes"][:3]])
            for fault in axe.run(here.page).response["violations"]
            if fault["impact"] in ("serious", "critical")
        ]
    assert found == []
