"""A folder of runs of every kind, and an app that shows one of them."""

import pytest
from pages_runs import KINDS, MAIN, lost, record
from streamlit import config
from streamlit.testing.v1 import AppTest

from app import reading
from esacl.store import RunStore


@pytest.fixture(scope="session", autouse=True)
def _settings_of_the_app():
    """`streamlit run` reads what lies beside the app's main file; AppTest has to be told."""
    config._main_script_path = str(MAIN)
    config.get_config_options(force_reparse=True)


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> dict[str, str]:
    """Kind -> run id, in a folder that nothing writes to; `root` is the folder."""
    root = tmp_path_factory.mktemp("pages") / "runs"
    store = RunStore(root)
    found = {kind: record(store, **fields) for kind, fields in KINDS.items()}
    found["failed"] = record(store, failure="the loss is no longer finite; lower lr")
    found["lost"] = lost(store, record(store, seed=8))
    found["bad config"] = record(store, seed=9)
    (root / found["bad config"] / "config.json").write_text("{")
    found["bad events"] = record(store, seed=10)
    (root / found["bad events"] / "events.jsonl").write_text('{"event":"Nope"}\n')
    found["bad arrays"] = record(store, seed=11)
    for path in (root / found["bad arrays"] / "arrays").glob("*.npz"):
        path.write_bytes(b"PK not a zip")
    found["no arrays"] = record(store, seed=12)
    for path in (root / found["no arrays"] / "arrays").glob("*.npz"):
        path.unlink()
    return {"root": str(root), **found}


@pytest.fixture
def app(runs, monkeypatch, tmp_path):
    """Opens a page: `app("sparsity", run="esacl", task="2")`."""
    monkeypatch.setenv("ESACL_RUNS", runs["root"])
    monkeypatch.setattr(reading, "RECORDED", tmp_path / "none")

    def open_page(page: str = "start", **query: str) -> AppTest:
        at = AppTest.from_file(MAIN, default_timeout=60)
        for name, value in query.items():
            at.query_params[name] = runs.get(value, value)
        at.run()
        return at if page == "start" else at.switch_page(f"../pages/{page}.py").run()

    return open_page
