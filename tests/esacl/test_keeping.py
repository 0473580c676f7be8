"""The commands that keep house: one line for what was done, one for what was refused, JSON where it is asked for."""

import json
import tomllib

import pytest
from small_stream import CONFIG, SmallStream

from esacl import cli, serving, trash
from esacl.config import RunConfig
from esacl.store import RunStore


@pytest.fixture
def store(tmp_path, monkeypatch) -> RunStore:
    monkeypatch.setenv("ESACL_RUNS", str(tmp_path / "runs"))
    store = RunStore(tmp_path / "runs")
    list(store.record(SmallStream(), store.create(CONFIG)))
    return store


@pytest.fixture
def said(capsys):
    def call(*arguments: object) -> str:
        assert cli.main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out.strip()

    return call


@pytest.fixture
def refused(capsys):
    def call(*arguments: object) -> str:
        assert cli.main([str(argument) for argument in arguments]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("error: ")
        return lines[0]

    return call


def test_delete_says_how_to_undo_it(store, said, refused):
    run_id = store.ids()[0]
    assert said("delete", "latest") == f"deleted {run_id}; `esacl restore {run_id}` brings it back"
    assert said("restore") == run_id
    assert json.loads(said("restore", "--json")) == {"deleted": [run_id]}
    assert said("restore", run_id) == f"restored {run_id}"
    assert said("restore") == "no deleted runs"
    assert store.ids() == (run_id,)
    assert json.loads(said("delete", run_id, "--for-good", "--json")) == {"deleted": run_id}
    assert trash.deleted(store) == ()
    assert "no run" in refused("restore", run_id)


def test_rename_is_seen_in_the_list(store, said, refused):
    run_id = store.ids()[0]
    assert said("rename", "latest", "A name") == f"{run_id} is called 'A name'"
    assert json.loads(said("list", "--json"))["runs"][0]["name"] == "A name"
    assert json.loads(said("show", "latest", "--json"))["name"] == "A name"
    assert said("rename", run_id, "") == f"{run_id} has no name"
    assert "200 characters" in refused("rename", run_id, "x" * 500)


def test_export_and_import_there_and_back(store, said, refused, tmp_path):
    run_id, file = store.ids()[0], tmp_path / "run.zip"
    told = json.loads(said("export", "latest", file, "--json"))
    assert told == {"run": run_id, "file": str(file), "bytes": file.stat().st_size}
    assert "here already" in refused("import", file)
    said("delete", run_id)
    assert said("import", file) == f"imported {run_id}"
    assert store.read(run_id).events
    assert "not there" in refused("import", tmp_path / "none.zip")
    assert "cannot be written" in refused("export", run_id, tmp_path / "none" / "run.zip")


def test_a_report_is_one_file_and_the_figures_are_the_apps_work(store, said, refused, tmp_path, monkeypatch):
    file = tmp_path / "run.html"
    assert json.loads(said("report", "latest", file, "--json")) == {"run": store.ids()[0], "file": str(file)}
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "cannot be written" in refused("report", "latest", tmp_path / "none" / "run.html")
    said("report", "latest", file)
    mine = tmp_path / "mine.html"
    mine.write_text("<!doctype html>\n<html lang='en'><head><title>My page</title>")
    before = mine.read_bytes()
    assert f"{mine} is there and is no report; name another file" in refused("report", "latest", mine)
    assert f"{mine} is there and is no report; name another file" in refused("compare", "latest", "--html", mine)
    assert mine.read_bytes() == before
    inside = store.folder(store.ids()[0]) / "events.jsonl"
    for words in (["report", "latest"], ["compare", "latest", "--html"], ["compare", "latest", "--csv"]):
        assert f"{inside} lies in the runs folder" in refused(*words, inside)
    monkeypatch.setattr(serving.importlib.util, "find_spec", lambda name: None)
    assert refused("report", "latest", file).startswith("error: esacl report needs streamlit")


def test_the_settings_of_a_run_start_it_again(store, said):
    assert RunConfig(**tomllib.loads(said("show", "latest", "--toml"))) == CONFIG
