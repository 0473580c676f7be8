"""A thousand runs: every page opens, nothing is read twice, and no figure holds more than can be told apart."""

import json

import pytest
from test_pages import drawings

from app import reading
from benchmarks.many_runs import many
from esacl import records
from esacl.store import RunStore

COUNT = 1000
GROUPS = 100  # ten seeds each


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("thousand") / "runs"
    many(root, COUNT, reading.ASSETS)
    return root


@pytest.fixture
def thousand(app, root, monkeypatch):
    """Opens a page of the folder of a thousand runs, on a server that has read none of them."""
    monkeypatch.setenv("ESACL_RUNS", str(root))
    for kept in (reading._summaries, reading._things, reading._glance):
        kept.clear()
    return app


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The runs whose events were parsed since."""
    found = []
    parse = records.parse_lines

    def parse_and_note(data, path, *args, **options):
        found.append(path.parent.name)
        return parse(data, path, *args, **options)

    monkeypatch.setattr(records, "parse_lines", parse_and_note)
    return found


def components(at, name: str) -> list[dict]:
    protos = [element.proto for element in at.main if hasattr(element, "proto")]
    return [json.loads(p.json) for p in protos if getattr(p, "component_name", "") == name]


def test_the_runs_page_reads_the_runs_that_it_shows_and_no_others(thousand, opened):
    at = thousand("start")
    opened.clear()
    at = at.switch_page("../pages/runs.py").run()
    assert not at.exception
    (shown,) = components(at, "esacl_gallery")
    assert len(shown["rows"]) == 12
    assert f"of {COUNT}" in " ".join(caption.value for caption in at.caption)
    assert {row["id"] for row in shown["rows"]} == set(opened)
    opened.clear()
    at.run()
    assert opened == []


def test_the_start_page_reads_what_it_compares_and_that_once(thousand, opened):
    at = thousand("start")
    assert not at.exception
    assert len(drawings(at)) == 8  # one of them a key
    assert len(set(opened)) <= 51  # the run, and fifty beside it
    opened.clear()
    at.run()
    assert opened == []
    assert len(drawings(at)) == 8


def test_the_picker_lists_the_newest_and_says_where_the_others_are(thousand, root):
    picker = next(box for box in thousand("start").selectbox if box.key == "_run")
    assert len(picker.options) == 200
    assert "800 older runs are on the Runs page" in picker.help
    assert picker.value == next(run for run in RunStore(root).ids() if "-esacl-" in run)


def test_compare_reads_every_run_once_and_begins_with_as_many_as_can_be_told_apart(thousand, opened, root):
    at = thousand("compare")
    assert not at.exception
    methods = at.multiselect[0]
    assert len(methods.options) == GROUPS
    assert all("(n = 10)" in option for option in methods.options)
    assert len(methods.value) == len(at.dataframe[0].value) == 12
    assert "12 of 100 are shown" in " ".join(caption.value for caption in at.caption)
    every = {option.partition(",")[0] for option in methods.options}
    assert every == {name.partition(",")[0] for name in at.dataframe[0].value["method"]}
    assert set(opened) == {path.name for path in root.iterdir() if not path.name.startswith(".")}
    opened.clear()
    at.run()
    assert opened == []
    at.multiselect[0].set_value(methods.value[:2]).run()
    assert len(at.dataframe[0].value) == 2
    assert opened == []


def test_a_run_that_changes_is_read_again_and_alone(thousand, opened, root):
    at = thousand("compare")
    changed = RunStore(root).ids()[5]
    events = root / changed / "events.jsonl"
    lines = events.read_text().replace('"accuracy":0.9', '"accuracy":0.1')
    events.unlink()  # it is a link to what the other runs have too
    events.write_text(lines)
    opened.clear()
    before = at.dataframe[0].value
    at.run()
    assert set(opened) == {changed}
    assert not at.dataframe[0].value.equals(before)


def test_forgetting_shows_six_methods_of_a_hundred(thousand, opened):
    at = thousand("forgetting")
    assert not at.exception
    opened.clear()
    at.run()
    assert opened == []
    legend = next(one for one in drawings(at) if one["alt"].startswith("Key: "))
    assert legend["alt"].count("\u00a0%") == 6
