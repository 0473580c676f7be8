"""From `streamlit run` to the first own finished run, with a stopwatch: what somebody waits who tries the app.

    python -m benchmarks.first_run

Starts the real server and a real Chromium, opens the overview, goes to the Run page by its link, changes the sparsity,
leaves everything else as it is, starts, and waits until the page says that the run has finished. A reader's own time is
not in it. Needs Chromium and playwright.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.app_latency import in_chromium, served
from benchmarks.app_server import IDLE
from benchmarks.provenance import ROOT, header, keep, this_command

LIMIT = 180.0  # seconds
STEPS = 10  # of the sparsity's slider


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the table and print it; 1 where it took longer than three minutes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "first_run.md")
    args = parser.parse_args(arguments)
    marks = in_chromium(_marks)
    if marks is None:
        return 2
    rows = [f"| {what} | {seconds:.1f} |" for what, seconds in marks]
    lines = header("From `streamlit run` to the first own run", "", this_command("benchmarks.first_run"))
    keep(args.out, [*lines, "| | seconds since `streamlit run` |", "|---|---|", *rows])
    return 0 if marks[-1][1] < LIMIT else 1


def _marks(chromium: Any, folder: Path) -> list[tuple[str, float]]:
    begun, marks = time.perf_counter(), []

    def mark(what: str) -> None:
        marks.append((what, time.perf_counter() - begun))

    with served(folder) as root:
        page = chromium.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(10 * 60_000)
        page.goto(root, wait_until="commit")
        page.locator("[data-testid=stMetricValue]").first.wait_for()
        mark("the recorded run is on the screen")
        page.locator("[data-testid=stTopNavLink]").get_by_text("Run", exact=True).click()
        slider = page.get_by_role("slider", name="Weights removed, %").first
        slider.wait_for()
        for _ in range(STEPS):
            slider.press("ArrowRight")
        page.wait_for_selector(IDLE)
        mark(f"the sparsity is at {slider.get_attribute('aria-valuetext')}")
        page.get_by_role("button", name="Start the run").click()
        page.locator("[data-testid=stProgress]").first.wait_for()
        mark("the run is followed")
        page.locator("[data-testid=stAlert]").get_by_text("Finished after").wait_for()
        mark("the run has finished")
    return marks


if __name__ == "__main__":
    sys.exit(main())
