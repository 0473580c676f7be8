"""Faults of the server: an error is kept with its traceback, in the log of the server that has it."""

import json
import logging

import pytest

from app import faults
from esacl import logs
from esacl.store import RunStore


@pytest.fixture(autouse=True)
def loggers():
    """The loggers are as before afterwards."""
    before = {name: list(logging.getLogger(name).handlers) for name in faults._FROM}
    yield
    for name, handlers in before.items():
        logging.getLogger(name).handlers[:] = handlers


def lines(store: RunStore) -> list[dict]:
    path = logs.server_log(store.root)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def store_at(path) -> RunStore:
    path.mkdir()
    return RunStore(path)


def fail(logger: str) -> None:
    try:
        raise ZeroDivisionError("a\nb")
    except ZeroDivisionError:
        logging.getLogger(logger).exception("page %s", "sparsity")


def test_an_error_is_a_line_with_its_traceback_and_a_warning_is_none(tmp_path):
    store = store_at(tmp_path / "runs")
    faults.keep(store)
    logging.getLogger("app").warning("nothing of it")
    for logger in ("app", "streamlit.error_util"):
        fail(logger)
    assert [line["logger"] for line in lines(store)] == ["app", "streamlit.error_util"]
    assert {line["what"] for line in lines(store)} == {"fault"}
    assert all("page sparsity\nTraceback" in line["text"] and "in fail" in line["text"] for line in lines(store))


def test_another_store_takes_over_and_no_folder_is_made(tmp_path):
    first, second, third = store_at(tmp_path / "first"), store_at(tmp_path / "second"), RunStore(tmp_path / "third")
    for store in (first, second, second):
        faults.keep(store)
    fail("app")
    assert (len(lines(first)), len(lines(second))) == (0, 1)
    faults.keep(third)
    fail("app")
    assert not third.root.exists()


def test_the_console_still_shows_what_it_showed(tmp_path, capsys, monkeypatch):
    logger = logging.getLogger("app")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    faults.keep(RunStore(tmp_path / "none"))  # no folder, so no log
    fail("app")
    logger.warning("beware")
    shown = capsys.readouterr().err
    assert "ZeroDivisionError" in shown
    assert "beware" in shown


def test_a_record_that_cannot_be_written_harms_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    faults.keep(store_at(tmp_path / "runs"))
    logging.getLogger("asyncio").error("%d pages", "no number")
