"""The Runs page: a gallery, and what can be done with one run: each leaves a calm screen, whatever is given."""

import io
import json
import os
import re
import shutil
import time
import tracemalloc

import pytest
from pages_runs import record

from app import reading, run_panel, sweeps
from esacl import trash
from esacl.bundles import write_bundle
from esacl.store import RunStore


@pytest.fixture
def store(tmp_path, monkeypatch) -> RunStore:
    store = RunStore(tmp_path / "own")
    monkeypatch.setenv("ESACL_RUNS", str(store.root))
    return store


def gallery(at) -> dict:
    """What the gallery's component was given."""
    protos = [element.proto for element in at.main if hasattr(element, "proto")]
    return next(json.loads(p.json) for p in protos if getattr(p, "component_name", "") == "esacl_gallery")


def said(at) -> list[str]:
    return [re.sub(r"\\(.)", r"\1", box.value) for box in [*at.error, *at.warning, *at.info, *at.success]]


def captions(at) -> str:
    return re.sub(r"\\(.)", r"\1", " ".join(caption.value for caption in at.caption))


def test_the_gallery_shows_every_run_with_its_numbers(app, runs):
    shown = gallery(app("runs", run="esacl"))
    by_id = {row["id"]: row for row in shown["rows"]}
    assert len(by_id) == 12  # of 13: one more is a page on
    row = by_id[runs["ewc"]]
    entry = next(e for e in reading.entries() if e.run_id == runs["ewc"])
    assert row["cells"][0] == f"{100 * reading.summary(entry)['average_accuracy']:.1f}\u00a0%"
    assert row["cells"][1] == "90\u00a0%"
    assert len(row["curve"]) == 3
    assert min(v for r in shown["rows"] for v in r["curve"]) > shown["low"]
    assert by_id[runs["bad config"]]["about"] == "cannot be read"
    assert shown["chosen"] == runs["esacl"]


def test_search_and_filters_narrow_it_down(app, runs):
    at = app("runs", run="esacl")
    at.text_input(key="seek-words").set_value("  SEED 9 ").run()
    assert gallery_ids(at) == set()  # that one's config cannot be read
    at.text_input(key="seek-words").set_value("seed 10").run()
    assert gallery_ids(at) == {runs["bad events"]}
    at.text_input(key="seek-words").set_value("class-il").run()
    assert gallery_ids(at) == {runs["class"]}
    at.text_input(key="seek-words").set_value("nothing is (like] *this* <b>").run()
    assert said(at) == ["No run is like that. Clear the search or choose other filters."]
    at.text_input(key="seek-words").set_value("").run()
    assert "What stands beside the list" not in captions(at)
    method = next(box for box in at.selectbox if box.label == "Method")
    method.select("ewc").run()
    assert gallery_ids(at) == {runs["ewc"]}
    assert "What stands beside the list is still" in captions(at)
    assert not at.exception


def gallery_ids(at) -> set[str]:
    try:
        return {row["id"] for row in gallery(at)["rows"]}
    except StopIteration:
        return set()


def test_many_runs_are_paged_newest_first(app, store):
    ids = [record(store, name=f"number {i}", curvature={"top": 0, "grid": 0}, tasks=1) for i in range(15)]
    at = app("runs")
    first = [row["id"] for row in gallery(at)["rows"]]
    assert first == list(store.ids()[:12])
    assert "1 to 12 of 15" in captions(at)
    at.button(key="older").click().run()
    assert {row["id"] for row in gallery(at)["rows"]} == set(ids) - set(first)
    assert at.button(key="older").disabled
    at.text_input(key="seek-words").set_value("number").run()
    assert "1 to 12 of 15" in captions(at)  # another search begins anew


def test_a_run_is_renamed_and_its_config_is_not(app, store):
    run_id = record(store, name="before")
    config = (store.folder(run_id) / "config.json").read_bytes()
    at = app("runs")
    at.text_input(key=f"name-{run_id}").set_value(" <b>after</b> ").run()
    assert store.config(run_id).name == "<b>after</b>"
    assert gallery(at)["rows"][0]["name"] == "<b>after</b>"
    assert at.header[0].value == r"\<b\>after\</b\>"
    assert (store.folder(run_id) / "config.json").read_bytes() == config
    at.text_input(key=f"name-{run_id}").set_value("bell\a").run()
    assert "control characters" in said(at)[0]
    assert at.text_input(key=f"name-{run_id}").value == "<b>after</b>"
    at.text_input(key=f"name-{run_id}").set_value("").run()
    assert gallery(at)["rows"][0]["name"] == "EsaCL, 90\u00a0%, seed 7"


def test_deleting_can_be_undone(app, store):
    kept, gone = record(store, name="kept"), record(store, name="gone")
    at = app("runs", run=gone)
    at.button(key="discard").click().run()
    assert store.ids() == (kept,)
    assert "gone is deleted." in captions(at)
    assert gallery(at)["chosen"] == kept
    at.button(key="undo-delete").click().run()
    assert set(store.ids()) == {kept, gone}
    assert gallery(at)["chosen"] == gone
    assert "undo-delete" not in {button.key for button in at.button}


def test_the_last_run_can_be_deleted_and_brought_back_later(app, store):
    run_id = record(store)
    trash.discard(store, run_id)
    at = app("runs")
    assert "There is no run yet" in captions(at)
    at.button(key="restore").click().run()
    assert store.ids() == (run_id,)
    at.button(key="discard").click().run()
    at.button(key="purge").click().run()
    assert trash.deleted(store) == ()
    assert not at.exception


def test_a_run_that_is_under_way_cannot_be_deleted_or_exported(app, store):
    run_id = record(store)
    (store.folder(run_id) / "done.json").unlink()
    with RunStore(store.root).workers.hold(run_id):
        at = app("runs")
        assert at.button(key="discard").disabled
        assert not at.exception
    assert store.ids() == (run_id,)


@pytest.mark.parametrize("state", ["cancelled", "failed", "lost", "finished"])
def test_a_run_that_stopped_can_be_gone_on_with_and_no_other(app, store, monkeypatch, state):
    run_id, resumed = record(store), []
    if state == "lost":
        (store.folder(run_id) / "done.json").unlink()
    elif state != "finished":
        store.finish(run_id, state, "so it was")
    monkeypatch.setattr(run_panel.jobs, "resume", lambda store, run_id, owner: resumed.append(run_id))
    at = app("runs", run=run_id)
    assert ("resume" in {button.key for button in at.button}) == (state != "finished")
    if state != "finished":
        at.button(key="resume").click().run()
        assert resumed == [run_id]


def test_what_another_tab_has_deleted_is_one_line(app, store):
    first, second = record(store), record(store)
    at = app("runs", run=second)
    trash.discard(store, second)
    at.button(key="discard").click().run()
    assert any("no run" in line for line in said(at))
    assert gallery(at)["chosen"] == first
    assert not at.exception


def test_a_bundle_is_taken_in_and_what_is_none_is_one_line(app, store, tmp_path):
    source = RunStore(tmp_path / "source")
    file = io.BytesIO()
    write_bundle(source, record(source, name="from elsewhere"), file)
    at = app("runs")
    at.file_uploader[0].upload("run.zip", file.getvalue(), "application/zip").run()
    assert store.ids() == source.ids()
    assert said(at) == [f"{source.ids()[0]} is imported."]
    assert "imported" in gallery(at)["rows"][0]["cells"][3]
    at.file_uploader[0].upload("run.zip", file.getvalue(), "application/zip").run()
    assert "here already" in said(at)[0]
    at.file_uploader[0].upload("<b>.zip", b"PK nonsense", "application/zip").run()
    assert said(at)[0].startswith("<b>.zip is no run that `esacl export` wrote")
    assert len(store.ids()) == 1
    assert not at.exception


def test_an_export_is_made_when_it_is_asked_for_and_held_once(app, store, monkeypatch):
    run_id = record(store)
    (store.folder(run_id) / "arrays" / "large.npz").write_bytes(os.urandom(2**24))
    one = next(entry for entry in reading.entries() if entry.run_id == run_id)
    tracemalloc.start()
    try:
        made = run_panel.bundle(one)
        assert 2**24 < len(made) < tracemalloc.get_traced_memory()[1] < 1.3 * len(made)
    finally:
        tracemalloc.stop()
    monkeypatch.setattr(run_panel, "bundle", lambda entry: pytest.fail("nobody has asked for it"))
    at = app("runs", run=run_id)
    assert "export" in {button.key for button in at.download_button}
    assert not at.exception


def test_duplicating_fills_the_form_and_says_what_is_changed(app, store):
    record(store, method="ewc", sparsity=0.8, seed=3, lr=0.02, scenario="class", name="the old one")
    at = app("runs")
    at.button(key="duplicate").click().run()
    at.switch_page("../pages/run.py").run()
    assert at.selectbox(key="new-method").value == "ewc"
    assert at.number_input(key="new-seed").value == 3
    assert "A copy of **the old one**: change something, then start it." in said(at)
    assert "nothing is changed yet" in captions(at)
    assert "lr = 0.02" in captions(at)
    line = next(code.value for code in at.code if code.value.startswith("esacl run"))
    assert "--set lr=0.02" in line
    at.number_input(key="new-seed").set_value(4).run()
    assert "but for: seed 3 → 4" in captions(at)
    at.button(key="let-go").click().run()
    assert "lr = 0.02" not in captions(at)
    assert not any("A copy of" in line for line in said(at))
    assert not at.exception


def test_what_reproduces_the_run_can_be_copied(app, store):
    run_id = record(store, seed=3, name="it's <b>")
    at = app("runs", sparsity="0.5")
    line, settings, link = (code.value for code in at.code)
    assert line == "esacl run --tasks 3 --epochs 3 --seed 3 --device cpu --name 'it'\"'\"'s <b>'"
    assert settings.startswith('benchmark = "split-digits"')
    at.selectbox(key="link-page").select("landscape").run()
    link = at.code[2].value
    assert "/landscape?" in link
    assert f"run={run_id}" in link
    assert "sparsity=0.5" in link


def test_recorded_runs_are_read_only(app, store, monkeypatch, tmp_path):
    recorded = RunStore(tmp_path / "recorded")
    record(recorded, name="recorded one")
    monkeypatch.setattr(reading, "RECORDED", recorded.root)
    at = app("runs")
    assert "read-only" in captions(at)
    assert not {"discard", "undo-delete"} & {button.key for button in at.button}
    assert at.button(key="duplicate")
    assert gallery(at)["rows"][0]["cells"][3] == "with the project"


def test_a_copy_of_a_recorded_run_hides_it(app, store, monkeypatch, tmp_path):
    recorded = RunStore(tmp_path / "recorded")
    run_id = record(recorded)
    monkeypatch.setattr(reading, "RECORDED", recorded.root)
    store.root.mkdir()
    (recorded.root / run_id).rename(tmp_path / "copy")
    for root in (store.root, recorded.root):
        shutil.copytree(tmp_path / "copy", root / run_id)
    at = app("runs")
    assert [row["id"] for row in gallery(at)["rows"]] == [run_id]
    assert at.button(key="discard")


# Sweeps


def swept(store: RunStore, name: str, rows: list[dict], workers: int = 2) -> None:
    folder = store.root / "sweeps" / name
    folder.mkdir(parents=True)
    head = {"format": 1, "sweep": name, "file": "s.toml", "token": "0" * 32, "engine": "process", "workers": workers}
    (folder / "sweep.json").write_text(json.dumps({**head, "others": [], "rows": rows}))


def bars(at) -> list[str]:
    return [bar.proto.text.replace("\\", "") for bar in at.get("progress")]


def test_without_a_sweep_nothing_is_said_of_one(app, store):
    record(store)
    assert [header.value for header in app("runs").header if header.value == "Sweeps"] == []


def test_a_sweep_shows_how_far_it_has_come_when_it_ends_and_what_became_of_its_runs(app, store, monkeypatch):
    done, now = record(store), time.time()
    swept(store, "field", [
        {"label": "seed=0", "run": done, "state": "finished", "seconds": 600.0},
        {"label": "seed=1", "run": done, "state": "running", "since": now},
        {"label": "seed=2", "run": None, "state": "waiting"},
        {"label": "seed=3", "run": done, "state": "failed", "detail": "<b>lower lr</b>"},
    ])  # fmt: skip
    monkeypatch.setattr(sweeps.record.locks, "is_held", lambda path: path.parent.name == "field")
    at = app("runs")
    assert not at.exception
    assert bars(at) == ["field: 1 of 4 finished, 1 running, 1 failed, about 10\u00a0min left"]
    table = next(frame.value for frame in at.dataframe if "detail" in frame.value)
    assert table["settings"].tolist() == ["seed=0", "seed=1", "seed=2", "seed=3"]
    assert table["status"].tolist() == ["finished", "is under way", "waits for its turn", "failed"]
    at.button(key="cancel-sweep-field").click().run()
    assert (store.root / "sweeps" / "field" / "CANCEL").exists()
    assert at.button(key="cancel-sweep-field").disabled


def test_a_sweep_that_nobody_works_on_says_how_to_go_on_and_a_damaged_one_takes_nothing_down(app, store):
    swept(store, "old", [{"label": "a", "run": record(store), "state": "running"}, {"label": "b", "state": "waiting"}])
    swept(store, "torn", [])
    (store.root / "sweeps" / "torn" / "sweep.json").write_text("{")
    at = app("runs")
    assert bars(at) == ["old: 1 of 2 finished, 1 to come: the same command goes on with them"]
    assert any("The sweep torn cannot be read" in line for line in said(at))
    assert gallery(at)["rows"]


def test_a_sweep_that_nobody_works_on_can_be_gone_on_with(app, store, monkeypatch):
    swept(store, "whole", [{"label": "a", "run": record(store), "state": "finished"}])
    swept(store, "old", [{"label": "a", "run": record(store), "state": "failed"}])
    asked = []
    monkeypatch.setattr(sweeps.resuming, "resume", lambda *given, **more: asked.append((*given, more)))
    at = app("runs")
    assert [button.key for button in at.button if "-sweep-" in str(button.key)] == ["resume-sweep-old"]
    at.button(key="resume-sweep-old").click().run()
    as_logged_in = {"owner": "test@example.com"}  # as AppTest is
    assert [(given[0].root, given[1].name, given[2]) for given in asked] == [(store.root, "old", as_logged_in)]
    monkeypatch.setattr(sweeps.record.locks, "is_held", lambda path: path.parent.name == "old")
    at.run()
    assert [button.key for button in at.button if "-sweep-" in str(button.key)] == ["cancel-sweep-old"]


def test_why_a_sweep_cannot_go_on_is_said_in_one_line(app, store):
    swept(store, "old", [{"label": "a", "state": "waiting"}])
    at = app("runs")
    at.button(key="resume-sweep-old").click().run()
    assert not at.exception
    assert any("sweep.json names no file; move it away" in line for line in said(at))
    (store.root / "sweeps" / "old" / "log.txt").write_text("left out: x\nerror: no <b>data</b>\n")
    at.run()
    assert "The sweep old could not go on: no <b>data</b>" in said(at)
