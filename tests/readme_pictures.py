"""README's pictures: `python -m tests.readme_pictures`, in place of those in `assets/`; of the runs that lie there."""

import sys
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, Page

from benchmarks.app_latency import in_chromium, served
from benchmarks.app_server import IDLE
from benchmarks.provenance import ROOT
from tests.pictures import LENGTH, SETTLED, blank

EDGE, MARGIN = 16, 48  # pixels above a cut-out, and of the page's margin that are left away
TALL = 1180  # of the first screen of the Overview
FRAME = "[data-testid=stMainBlockContainer]"


class Cut(NamedTuple):
    """A part of a page: from one of its texts down to right above another."""

    page: str
    theme: str
    first: str
    below: str


CUTS = {
    "sparsity": Cut("sparsity", "light", "Weights removed", "number of weights (square-root axis)"),
    "landscape": Cut("landscape", "dark", "EsaCL on digits, through the dense and the pruned point", "Download CSV"),
    "selection": Cut("selection", "light", "Which instances would be taken by", "Scores and classes of what is taken"),
    "training": Cut("training", "dark", "Optimiser step", "Sharpness, task after task"),
}


def main() -> int:
    """Take them all; 2 without a browser."""
    found = in_chromium(_all)
    return 2 if found is None else found


def _all(chromium: Browser, folder: Path) -> int:
    with served(folder) as root:
        page = _opened(chromium, root, "light", 1200, TALL)
        page.screenshot(path=ROOT / "assets" / "screenshot.png")
        page.close()
        for name, cut in CUTS.items():
            page = _opened(chromium, f"{root}/{cut.page}", cut.theme, 1100, 1000)
            _grown(page)
            clip = _between(page, cut)
            page.screenshot(path=ROOT / "assets" / "pictures" / f"{name}.png", clip=clip)
            print(name, clip, flush=True)
            page.close()
    return 0


def _opened(chromium: Browser, address: str, theme: str, width: int, height: int) -> Page:
    page = blank(chromium, theme, width, height)
    page.goto(address)
    page.wait_for_selector("h1")
    page.wait_for_selector(IDLE)
    page.wait_for_timeout(SETTLED)
    return page


def _grown(page: Page) -> None:
    """The window as long as the page: what is drawn only where it can be seen is drawn."""
    page.set_viewport_size({"width": page.viewport_size["width"], "height": page.evaluate(LENGTH)})
    page.wait_for_timeout(2 * SETTLED)


def _between(page: Page, cut: Cut) -> dict[str, float]:
    frame = page.locator(FRAME).bounding_box()
    top = _seen(page, cut.first, 0)
    height = _seen(page, cut.below, top + 1) - top
    return {"x": frame["x"] + MARGIN, "y": top - EDGE, "width": frame["width"] - 2 * MARGIN, "height": height}


def _seen(page: Page, text: str, below: float) -> float:
    """Where a text stands that is further down than `below`; texts for screen readers stand nowhere."""
    boxes = [one.bounding_box() for one in page.get_by_text(text).all() if one.is_visible()]
    return min(box["y"] for box in boxes if box and box["height"] > 2 and box["y"] > below)


if __name__ == "__main__":
    sys.exit(main())
