"""How long the app keeps a user waiting: first paint, click to progress bar, event to screen.

    python -m benchmarks.app_latency
    python -m benchmarks.app_latency --many 1000 --out benchmarks/results/app_latency-many.md

Starts the real `streamlit run app/main.py` and a real Chromium. First paint is counted from the request to the first
number and to the last figure of the overview, by a server that has just come up (cold) and by one that has been asked
before (warm); and, between them, of a page of Streamlit that has one number and nothing else: no app of it is there
sooner. Event to screen is counted from the moment when an epoch's first event is in the run's file to the
moment when the page shows that epoch. With `--many` it is asked of a folder of so many runs instead how long the pages
that list and compare runs take: the first time, when they read them, and again. Needs Chromium and playwright.
"""

import argparse
import contextlib
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import app_server
from benchmarks.many_runs import many
from benchmarks.provenance import ROOT, header, keep, this_command
from esacl.events import Stepped
from esacl.store import RunStore

Measured = TypeVar("Measured")
FIGURES = 5
PAGES = {"": ".drawings svg", "runs": ".gallery .row", "forgetting": ".drawings svg", "compare": ".drawings svg"}
EPOCH = re.compile(r"task (\d+) of .*epoch (\d+) of", re.IGNORECASE | re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the table and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tries", type=int, default=5, help="of each measurement (default 5)")
    parser.add_argument("--many", type=int, default=0, help="open the pages of a folder of so many runs, and no more")
    parser.add_argument("--note", default="", help="what else the machine did meanwhile, for the table")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "app_latency.md")
    args = parser.parse_args(arguments)
    measure = _of_many if args.many else _of_one
    seconds = in_chromium(lambda chromium, folder: measure(chromium, folder, args))
    if seconds is None:
        return 2
    title = "How long the app keeps a user waiting"
    title += f", with {args.many:,} runs in the folder" if args.many else ""
    rows = [
        f"| {name} | {statistics.median(found):.2f} | {max(found):.2f} | {len(found)} |"
        for name, found in seconds.items()
    ]
    table = ["| | median, s | largest, s | n |", "|---|---|---|---|", *rows]
    command = this_command("benchmarks.app_latency", ("--out", "--note"))
    keep(args.out, [*header(title, args.note, command), *table])
    return 0


def in_chromium(measure: Callable[[Any, Path], Measured]) -> Measured | None:
    """What `measure` finds with a real Chromium and an empty folder; where there is none, a line says so, and None."""
    if app_server.CHROMIUM is None:
        print("error: no Chromium on this machine; install it, for example apt-get install chromium", file=sys.stderr)
        return None
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=app_server.CHROMIUM, args=app_server.ARGUMENTS)
        found = measure(chromium, Path(folder))
        chromium.close()
    return found


def _of_one(chromium: Any, folder: Path, args: argparse.Namespace) -> dict[str, list[float]]:
    """First paint of the recorded run, and a run of one's own from click to screen."""
    seconds: dict[str, list[float]] = {}
    for _ in range(args.tries):
        with served(folder) as root:
            for state in ("cold", "warm"):
                first, last = _first_paint(chromium, root)
                seconds.setdefault(f"first number, {state}", []).append(first)
                seconds.setdefault(f"all figures of the overview, {state}", []).append(last)
        with _bare(folder) as root:
            for state in ("cold", "warm"):
                first, _ = _first_paint(chromium, root, figures=0)
                seconds.setdefault(f"a page of Streamlit that has one number, {state}", []).append(first)
    with served(folder) as root:
        for _ in range(args.tries):
            click, screen = _follow(chromium, root, RunStore(folder))
            seconds.setdefault("click to progress bar", []).append(click)
            seconds.setdefault("event to screen", []).extend(screen)
    return seconds


def _of_many(chromium: Any, folder: Path, args: argparse.Namespace) -> dict[str, list[float]]:
    """The pages that look at many runs: the first time, and again; until what they show is on the screen."""
    seconds: dict[str, list[float]] = {}
    many(folder, args.many, ROOT / "assets")
    for _ in range(args.tries):
        with served(folder) as root:
            page = chromium.new_page(viewport={"width": 1400, "height": 1000})
            page.set_default_timeout(600_000)
            for state in ("first", "again"):
                for path, shown in PAGES.items():
                    start = time.perf_counter()
                    page.goto(f"{root}/{path}", wait_until="commit")
                    page.locator(shown).first.wait_for()
                    page.wait_for_selector(app_server.IDLE)
                    seconds.setdefault(f"{path or 'overview'}, {state}", []).append(time.perf_counter() - start)
            page.close()
    return seconds


@contextlib.contextmanager
def served(runs: Path) -> Iterator[str]:
    """The address of a server on the runs below `runs`, once it is up and at rest."""
    with app_server.served(runs, Path(os.devnull)) as root:
        time.sleep(1)  # what the server still does after it says that it is up is not the visitor's wait
        yield root


@contextlib.contextmanager
def _bare(folder: Path) -> Iterator[str]:
    """The address of a page that has one number, by the app's own settings of Streamlit."""
    script = folder / "bare.py"
    script.write_text('import streamlit as st\n\nst.metric("one", "1")\n')
    command = [str(Path(sys.executable).with_name("streamlit")), "run", str(script)]
    with app_server.started(command, Path(os.devnull)) as (root, _):
        time.sleep(1)
        yield root


def _first_paint(chromium: Any, root: str, figures: int = FIGURES) -> tuple[float, float]:
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    start = time.perf_counter()
    page.goto(root, wait_until="commit")
    page.locator("[data-testid=stMetricValue]").first.wait_for()
    first = time.perf_counter() - start
    if figures:  # a locator sees into the components, a query does not
        page.locator(".drawings svg").nth(figures - 1).wait_for()
    last = time.perf_counter() - start
    page.close()
    return first, last


def _follow(chromium: Any, root: str, store: RunStore) -> tuple[float, list[float]]:
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(f"{root}/run")
    page.wait_for_selector(app_server.IDLE)
    page.get_by_role("spinbutton", name="Epochs").fill("200")
    page.get_by_role("spinbutton", name="Epochs").press("Enter")
    page.wait_for_timeout(1000)
    start = time.perf_counter()
    page.get_by_role("button", name="Start the run").click()
    bar = page.locator("[data-testid=stProgress]")
    bar.first.wait_for()
    click = time.perf_counter() - start
    page.wait_for_function("() => location.search.includes('run=')")
    run_id = re.search(r"run=([\w-]+)", page.url).group(1)  # type: ignore[union-attr]
    screen = _event_to_screen(bar, store.tail(run_id))
    page.get_by_role("button", name="Cancel").click()
    while store.status(run_id).live:
        page.wait_for_timeout(200)
    page.close()
    return click, screen


def _event_to_screen(bar: Any, tail: Any) -> list[float]:
    written: dict[tuple[int, int], float] = {}
    shown: dict[tuple[int, int], float] = {}
    end = time.perf_counter() + 60
    while time.perf_counter() < end and len(shown) < 5:
        for event in tail.poll():
            if isinstance(event, Stepped):
                written.setdefault((event.task + 1, event.epoch + 1), time.perf_counter())
        found = EPOCH.search(bar.first.inner_text())
        if found:
            shown.setdefault((int(found[1]), int(found[2])), time.perf_counter())
        time.sleep(0.02)
    return [shown[epoch] - written[epoch] for epoch in shown if epoch in written]


if __name__ == "__main__":
    sys.exit(main())
