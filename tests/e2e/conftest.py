"""The real `streamlit run app/main.py` on a free port, and a real browser."""

import os
from dataclasses import dataclass, field

import psutil
import pytest
from pages_runs import record

from benchmarks.app_server import ARGUMENTS, CHROMIUM, IDLE, served
from benchmarks.provenance import ROOT
from esacl.store import RunStore


@dataclass
class Visit:
    """A browser page, and what it did that it should not."""

    page: object
    root: str
    foreign: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def open(self, path: str = "", **query: object) -> None:
        told = "&".join(f"{name}={value}" for name, value in query.items())
        self.page.goto(f"{self.root}/{path}{'?' if told else ''}{told}")
        self.page.wait_for_selector("h1")
        self.page.wait_for_selector(IDLE)


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium on this machine; in CI the browser tests never skip")
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """The runs folder of the server: an EsaCL run and a baseline, both synthetic."""
    store = RunStore(tmp_path_factory.mktemp("e2e") / "runs")
    record(store, method="ewc", sparsity=0.9, name="baseline")
    record(store, name="esacl run")
    yield store
    for run_id in store.ids():  # no test leaves a process behind
        pid = store.workers.about(run_id).get("pid")
        if pid and store.workers.alive(run_id):
            psutil.Process(pid).kill()


@pytest.fixture(scope="session")
def esacl_run(store):
    """The id of the synthetic EsaCL run; a page opened without a run shows the newest, which another test may start."""
    return next(run_id for run_id in store.ids() if store.config(run_id).name == "esacl run")


@pytest.fixture(scope="session")
def recorded_run():
    """The id of the EsaCL run that comes with the project: everything was recorded of it."""
    return next(path.name for path in (ROOT / "assets").glob("*-esacl-*"))


@pytest.fixture(scope="session")
def server(store):
    """The address of the app, started as a user starts it."""
    with served(store.root, store.root.parent / "server.log") as address:
        yield address


@pytest.fixture
def visit(browser, server):
    """Opens browser pages: `visit(width=480, dark=True)`; at the end none may have asked the internet or failed."""
    made: list[Visit] = []

    def start(width: int = 1400, dark: bool = False) -> Visit:
        page = browser.new_page(
            viewport={"width": width, "height": 1000}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
        )
        page.set_default_timeout(60_000)
        one = Visit(page, server)
        own = (server, server.replace("http", "ws"), "data:", "blob:")
        page.on("request", lambda request: None if request.url.startswith(own) else one.foreign.append(request.url))
        page.on("pageerror", lambda error: one.faults.append(str(error)))
        made.append(one)
        return one

    yield start
    for one in made:
        one.page.close()
        assert one.foreign == []
        assert one.faults == []
