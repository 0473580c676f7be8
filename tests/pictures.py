"""Every page as a reader sees it, from top to bottom: `python -m tests.pictures OUT`, one PNG a page, theme and width.

The app is started over a new runs folder, so that its pages show the runs that come with the project. It ends with an
error where a page shows a fault, asks anything but the app's own server, or is wider than its window.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page

from benchmarks.app_latency import in_chromium, served
from benchmarks.app_server import IDLE
from benchmarks.provenance import ROOT

PAGES = sorted(path.stem for path in (ROOT / "pages").glob("*.py"))
START = "start"  # has no path of its own
WIDTHS = {"wide": 1400, "narrow": 390}
TALLEST = 12_000  # pixels of one picture
SETTLED = 1_500  # milliseconds
LENGTH = "document.querySelector('[data-testid=stMain]').scrollHeight"
OVERHANG = "(e => e.scrollWidth - e.clientWidth)(document.querySelector('[data-testid=stMain]'))"
BROKEN = "[data-testid=stException], [data-testid=stAlertContentError]"


def main() -> int:
    """Photograph what was asked for; 1 where something on a page is wrong, 2 without a browser."""
    options = argparse.ArgumentParser(description="Pictures of the app's pages.")
    options.add_argument("out", type=Path, help="a folder for the pictures")
    options.add_argument("--pages", nargs="+", choices=PAGES, default=PAGES, help="default: all")
    options.add_argument("--themes", nargs="+", choices=("light", "dark"), default=["light", "dark"])
    options.add_argument("--widths", nargs="+", choices=WIDTHS, default=list(WIDTHS))
    asked = options.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    faults = in_chromium(lambda chromium, folder: _all(chromium, folder, asked))
    if faults is None:
        return 2
    print(*faults, sep="\n")
    return 1 if faults else 0


def _all(chromium: Browser, folder: Path, asked: argparse.Namespace) -> list[str]:
    with served(folder) as root:
        return [
            fault
            for theme in asked.themes
            for width in asked.widths
            for fault in photographed(chromium, root, asked.out, asked.pages, theme, width)
        ]


def blank(browser: Browser, theme: str, width: int, height: int) -> Page:
    """An empty page to photograph on: nothing moves, and a slow machine has its time."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
    page.emulate_media(reduced_motion="reduce", color_scheme=theme)
    page.set_default_timeout(120_000)
    return page


def photographed(browser: Browser, root: str, out: Path, pages: list[str], theme: str, width: str) -> Iterator[str]:
    """One theme at one width; what is wrong, as lines."""
    page = blank(browser, theme, WIDTHS[width], 1000)
    own, foreign, raised = (root, root.replace("http", "ws"), "data:", "blob:"), [], []
    page.on("request", lambda request: None if request.url.startswith(own) else foreign.append(request.url))
    page.on("pageerror", lambda error: raised.append(str(error)))
    for name in pages:
        page.set_viewport_size({"width": WIDTHS[width], "height": 1000})
        page.goto(root if name == START else f"{root}/{name}")
        page.wait_for_selector(f"h1, {BROKEN}")
        page.wait_for_selector(IDLE)
        seen = 0
        while (length := min(TALLEST, page.evaluate(LENGTH))) > seen:  # what is drawn only where it can be seen
            page.set_viewport_size({"width": WIDTHS[width], "height": length})
            page.wait_for_timeout(SETTLED)
            seen = length
        told = f"{name}-{theme}-{width}"
        page.screenshot(path=out / f"{told}.png")
        print(told, flush=True)
        yield from (f"{told}: {line.inner_text()}" for line in page.locator(BROKEN).all())
        if (over := page.evaluate(OVERHANG)) > 0:
            yield f"{told}: {over} pixels wider than its window"
        yield from (f"{told}: asked for {address}" for address in foreign)
        yield from (f"{told}: {error}" for error in raised)
        foreign.clear()
        raised.clear()
    page.close()


if __name__ == "__main__":
    sys.exit(main())
