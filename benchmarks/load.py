"""Many visitors on one server: errors, processes left behind, memory, and how long a page takes.

    python -m benchmarks.load --users 20 --minutes 10

Starts the real `esacl app` on a folder of its own, and lets users come who browse, start runs, follow them and cancel
some, with pauses of 2 to 6 seconds. One of them is a page of a real Chromium (`--browsers`), the others speak
Streamlit's protocol over its websocket and draw nothing, for twenty browsers would be measured on two cores instead of
the server. A page's time is that from asking for it until its script has come to its end, and for the browser until it
is drawn; a fragment is what the Run page asks for again while a run is followed. The runs are short, one at a time.
"""

import argparse
import asyncio
import contextlib
import math
import os
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks import app_server
from benchmarks.load_visitors import Browser, Seen, Visitor, calling, stay
from benchmarks.provenance import ROOT, header, keep, this_command
from esacl import jobs
from esacl.store import RunStore

WARM_UP = 0.2  # of the time: until then the server loads what it needs
SAMPLED = 2.0  # seconds between two looks at the memory
FLAT, P95 = 0.10, 2.0  # what is to hold: memory after the warm-up, seconds of a page
FAULT = re.compile(r"Traceback|\bERROR\b|\bCRITICAL\b|Exception\b")


@dataclass
class Measured:
    """What came of it. `memory`: (seconds since the first visitor, bytes of the server)."""

    seen: list[Seen]
    memory: list[tuple[float, int]] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # processes that nobody asked to stay


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the table and print it; 1 where one of the four does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--browsers", type=int, default=1, help="how many of the users are pages of a real Chromium")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "load.md")
    args = parser.parse_args(arguments)
    if args.browsers and app_server.CHROMIUM is None:
        print("error: no Chromium on this machine; install it, or say --browsers 0", file=sys.stderr)
        return 2
    found = measured(args.users, args.browsers, args.minutes * 60, args.seed)
    title = f"{args.users} users on one server for {args.minutes:g} minutes"
    kinds = f"{args.users - args.browsers} websocket clients and {args.browsers} pages of a real Chromium"
    lines = [*header(title, f"{kinds}, seed {args.seed}.", this_command("benchmarks.load")), *table(found)]
    keep(args.out, lines)
    slow, apart = _quantile([second for one in found.seen for _, second in one.pages], 0.95), _curve(found.memory)[1]
    return 1 if found.errors or found.left or slow >= P95 or apart > FLAT else 0


def measured(users: int, browsers: int, seconds: float, seed: int) -> Measured:
    """The server is started, visited, left alone and stopped."""
    with tempfile.TemporaryDirectory() as folder:
        store, log = RunStore(Path(folder) / "runs"), Path(folder) / "server.log"
        with served(store, log) as (root, server):
            found = asyncio.run(_visited(root, server, users, browsers, seconds, seed))
            _end_of_runs(store)
            left = _left(store, but=server.pid)
        found.left = list(dict.fromkeys([*left, *_left(store)]))
        found.states = Counter(store.status(run_id).state for run_id in store.ids())
        found.errors = [error for one in found.seen for error in one.errors]
        found.errors += [
            f"server: {line}" for line in log.read_text(errors="replace").splitlines() if FAULT.search(line)
        ]
        found.errors += [
            f"run {run_id}: {status.state}, {status.detail}"
            for run_id in store.ids()
            if (status := store.status(run_id)).state not in ("finished", "cancelled")
        ]
        lost = {run_id for one in found.seen for run_id in one.started} - set(store.ids())
        found.errors += [f"run {run_id} was started and is not there" for run_id in sorted(lost)]
    return found


@contextlib.contextmanager
def served(store: RunStore, log: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a server on the runs of `store`, and its process."""
    command = [sys.executable, "-m", "esacl", "app", "--runs", str(store.root)]
    with app_server.started(command, log) as (root, process):
        yield root, psutil.Process(process.pid)


async def _visited(root: str, server: psutil.Process, users: int, browsers: int, seconds: float, seed: int) -> Measured:
    found = Measured([Seen() for _ in range(users)])
    begun = time.monotonic()
    watching = asyncio.ensure_future(_watch(server, begun, found.memory))
    try:
        async with _chromium(root, found.seen[:browsers]) as pages:
            made = [_user(root, found.seen[i], pages.get(i), i, users, seconds, seed) for i in range(users)]
            await asyncio.gather(*made)
    finally:
        watching.cancel()
    return found


async def _user(
    root: str, seen: Seen, page: Visitor | None, number: int, users: int, seconds: float, seed: int
) -> None:
    """One user, who comes within the first half of the warm-up and stays until the end."""
    until = time.monotonic() + seconds
    await asyncio.sleep(WARM_UP / 2 * seconds * number / users)
    rng = random.Random(f"{seed} {number}")
    try:
        if page is not None:
            await page.browse("")
            await stay(page, rng, until)
        else:
            async with calling(root, seen) as caller:
                await stay(caller, rng, until)
    except Exception as error:
        seen.errors.append(f"comes: {type(error).__name__}: {' '.join(str(error).split())[:200]}")


@contextlib.asynccontextmanager
async def _chromium(root: str, seen: list[Seen]) -> AsyncIterator[dict[int, Visitor]]:
    """The first users, as pages of one browser, each with cookies of its own."""
    if not seen:
        yield {}
        return
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=app_server.CHROMIUM, args=app_server.ARGUMENTS)
        pages: dict[int, Visitor] = {}
        for number, one in enumerate(seen):
            page = await (await browser.new_context()).new_page()
            page.set_default_timeout(60_000)
            pages[number] = Browser(page, root, one)
        yield pages
        await browser.close()


async def _watch(server: psutil.Process, begun: float, memory: list[tuple[float, int]]) -> None:
    while True:
        memory.append((time.monotonic() - begun, server.memory_info().rss))
        await asyncio.sleep(SAMPLED)


def _end_of_runs(store: RunStore, patience: float = 120.0) -> None:
    """Cancel what still waits or works, and wait until it has ended."""
    for run_id in store.ids():
        if store.status(run_id).live:
            jobs.cancel(store, run_id)
    end = time.monotonic() + patience
    while any(store.status(run_id).live for run_id in store.ids()) and time.monotonic() < end:
        jobs.reap(store)
        time.sleep(0.5)
    jobs.reap(store)


def _left(store: RunStore, but: int = 0, patience: float = 60.0) -> list[str]:
    """The processes on these runs that do not end: one does so a while after its run, as torch takes its time."""
    end = time.monotonic() + patience
    while (found := _processes(store, but)) and time.monotonic() < end:
        time.sleep(0.5)
    return found


def _processes(store: RunStore, but: int) -> list[str]:
    """What is alive and has the runs folder among its words."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = process.info["cmdline"] or []
        if process.info["pid"] not in (but, os.getpid()) and any(str(store.root) in word for word in words):
            found.append(f"process {process.info['pid']}: {' '.join(words)[:160]}")
    return found


def table(found: Measured) -> list[str]:
    """The Markdown of what was measured."""
    visits = [visit for one in found.seen for visit in one.pages]
    pages = [second for _, second in visits]
    fragments = [second for one in found.seen for second in one.fragments]
    started, cancelled = (sum(len(getattr(one, name)) for one in found.seen) for name in ("started", "cancelled"))
    curve, apart = _curve(found.memory)
    states = ", ".join(f"{count} {state}" for state, count in sorted(found.states.items())) or "none"
    slow = _quantile(pages, 0.95)
    rows: list[tuple[str, Any, str]] = [
        ("errors, on a screen or in the server's log", len(found.errors), _holds(not found.errors)),
        ("processes left behind", len(found.left), _holds(not found.left)),
        ("p95 until a page's script was through, s", f"{slow:.2f}", _holds(slow < P95)),
        ("memory after the warm-up, most over least", f"{100 * apart:+.1f}%", _holds(apart <= FLAT)),
        ("pages: n, median, largest, s", f"{len(pages)}, {_quantile(pages, 0.5):.2f}, {max(pages, default=0):.2f}", ""),
        (
            "fragments: n, median, p95, s",
            f"{len(fragments)}, {_quantile(fragments, 0.5):.2f}, {_quantile(fragments, 0.95):.2f}",
            "",
        ),
        ("runs started, cancelled by their users", f"{started}, {cancelled}", ""),
        ("how the runs ended (the last were cancelled at the end)", states, ""),
        (
            "memory of the server at start, middle, end, MB",
            ", ".join(_megabytes(found.memory, at) for at in (0, 0.5, 1)),
            "",
        ),
    ]
    lines = ["| | measured | holds |", "|---|---|---|", *(f"| {a} | {b} | {c} |" for a, b, c in rows), ""]
    lines += ["Memory of the server, MB, each tenth of the time: " + ", ".join(f"{mb:.0f}" for mb in curve), ""]
    lines += ["Pages, n, median and p95 in s: " + ", ".join(_by_page(visits))]
    return lines + [f"- {error}" for error in [*found.errors[:20], *found.left[:20]]]


def _by_page(visits: list[tuple[str, float]]) -> list[str]:
    """Each page with its visits and seconds, the slowest first."""
    found: dict[str, list[float]] = {}
    for page, seconds in visits:
        found.setdefault(page or "overview", []).append(seconds)
    told = sorted(((_quantile(one, 0.95), page, one) for page, one in found.items()), reverse=True)
    return [f"{page} {len(one)} {_quantile(one, 0.5):.2f} {slow:.2f}" for slow, page, one in told]


def _curve(memory: list[tuple[float, int]]) -> tuple[list[float], float]:
    """Medians of ten parts of the time in MB, and by how much the largest is over the least after the warm-up."""
    if not memory:
        return [], 0.0
    last = memory[-1][0] or 1.0
    parts: list[list[float]] = [[] for _ in range(10)]
    for second, size in memory:
        parts[min(9, int(10 * second / last))].append(size / 1e6)
    curve = [statistics.median(part) for part in parts if part]
    after = [statistics.median(part) for part in parts[round(10 * WARM_UP) :] if part]
    return curve, max(after) / min(after) - 1 if after else 0.0


def _megabytes(memory: list[tuple[float, int]], at: float) -> str:
    return f"{memory[round(at * (len(memory) - 1))][1] / 1e6:.0f}" if memory else "–"


def _quantile(values: list[float], share: float) -> float:
    """The smallest value that so many are not above; 0 where there is none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _holds(told: bool) -> str:
    return "yes" if told else "no"


if __name__ == "__main__":
    sys.exit(main())
