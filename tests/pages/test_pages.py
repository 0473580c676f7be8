"""Every page, for every kind of run: a title, no traceback, and one clear line where something is wrong."""

import ast
import json
import os
import re
import subprocess
import sys

import pytest
from pages_runs import KINDS, MAIN, MARKUP

from app import results
from app.wording import percent

PAGES = (
    "start", "runs", "run", "forgetting", "training", "sparsity", "curvature", "landscape", "theory", "selection",
    "cost", "deploy", "compare", "experiments",
)  # fmt: skip


def said(at) -> list[str]:
    """The lines the app says in boxes, as the reader sees them."""
    boxes = [*at.error, *at.warning, *at.info]
    return [re.sub(r"\\(.)", r"\1", box.value) for box in boxes]


def drawings(at) -> list[dict]:
    """What the drawing component was given, in the order of the page."""
    protos = [element.proto for element in at.main if hasattr(element, "proto")]
    found = [json.loads(p.json) for p in protos if getattr(p, "component_name", "") == "esacl_drawings"]
    return [drawing for data in found for drawing in data["drawings"]]


def everything(at) -> str:
    return " ".join(str(element.value) for kind in (at.markdown, at.caption, at.title) for element in kind)


def test_the_list_of_pages_is_the_one_in_main():
    tree = ast.parse(MAIN.read_text())
    listed = next(
        [ast.literal_eval(key) for key in n.value.keys]
        for n in tree.body
        if isinstance(n, ast.Assign) and n.targets[0].id == "PAGES"
    )
    assert tuple(listed) == PAGES
    assert {path.stem for path in (MAIN.parent.parent / "pages").glob("*.py")} == set(PAGES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_every_kind_of_run(app, page, kind):
    at = app(page, run=kind)
    assert not at.exception
    assert not at.error
    assert len(at.title) == 1


@pytest.mark.parametrize("kind", ["failed", "lost", "bad config", "bad events", "bad arrays", "no arrays"])
@pytest.mark.parametrize("page", PAGES)
def test_a_damaged_run_is_a_line_and_never_a_traceback(app, page, kind):
    at = app(page, run=kind)
    assert not at.exception
    assert len(at.title) == 1
    assert not any("cannot be drawn" in line for line in said(at))
    if kind in ("bad config", "bad events"):
        assert len(at.error) == 1
        assert kind.removeprefix("bad ") in said(at)[0]


def test_a_damaged_array_is_named(app):
    assert "sparsity-t2.npz is damaged" in said(app("sparsity", run="bad arrays"))[0]
    assert "landscape-t2.npz is damaged" in said(app("landscape", run="bad arrays"))[0]


def test_what_was_not_recorded_is_said(app):
    assert said(app("sparsity", run="no arrays"))[0].startswith("The sparsity curve of task 3 has not been recorded")
    assert said(app("curvature", run="unmeasured"))[0].startswith("This run measures no curvature")
    assert said(app("landscape", run="unmeasured"))[0].startswith("This run slices no landscape")


def test_a_failed_run_gives_its_reason_and_a_remedy(app):
    at = app("run", run="failed")
    assert "This run failed. The loss is no longer finite; lower lr." in said(at)[0]
    assert "resume" in {button.key for button in at.button}


def test_a_lost_run_can_be_resumed(app, monkeypatch):
    from app import live

    resumed = []
    monkeypatch.setattr(live.jobs, "resume", lambda store, run_id, owner: resumed.append(run_id))
    at = app("run", run="lost")
    assert "was lost" in said(at)[0]
    at.button(key="resume").click().run()
    assert len(resumed) == 1


@pytest.mark.parametrize("asked", ["nope", "../../etc/passwd", "<script>alert(1)</script>", "x" * 4000, "\x00"])
def test_an_unknown_run_is_said_and_another_is_shown(app, asked):
    at = app("start", run=asked)
    assert not at.exception
    assert said(at)[0].startswith("There is no run")
    assert len(said(at)[0]) < 250
    assert at.title


def test_no_runs_at_all_is_one_line(app, monkeypatch, tmp_path):
    monkeypatch.setenv("ESACL_RUNS", str(tmp_path / "empty"))
    at = app("start")
    assert said(at) == ["There is no run yet: start one on the Run page, or with `esacl run`."]
    at = app("run")
    assert at.button(key="start")


@pytest.mark.parametrize("page", PAGES)
def test_a_name_with_markup_stays_text(app, page):
    at = app(page, run="esacl")
    for element in [*at.markdown, *at.caption, *at.title]:
        assert "<b>" not in str(element.value)
        assert "![i]" not in str(element.value)
    assert any(MARKUP[:20] in option for option in at.selectbox(key="_run").options)


def test_runs_that_read_alike_can_still_be_told_apart(app, monkeypatch, tmp_path):
    from pages_runs import record

    from esacl.store import RunStore

    store = RunStore(tmp_path / "twins")
    twins = [record(store, name="twin") for _ in range(3)]
    monkeypatch.setattr("app.pickers._when", lambda run_id: "the same second")
    monkeypatch.setenv("ESACL_RUNS", str(store.root))
    at = app("start")
    options = at.selectbox(key="_run").options
    assert len(set(options)) == 3
    for run_id in twins:
        assert app("start", run=run_id).selectbox(key="_run").value == run_id


def test_the_overview_shows_real_numbers_of_the_run(app, runs):
    from app import reading

    at = app("start", run="ewc")
    entry = next(e for e in reading.entries() if e.run_id == runs["ewc"])
    average = results.summary(reading.record(entry))["average_accuracy"]
    assert at.metric[0].value == percent(average)
    assert at.metric[1].value == "90\u00a0%"
    assert len(drawings(at)) == 8  # one of them a key


@pytest.mark.parametrize(
    ("given", "shown"), [("0.5", 0.5), ("0.95", 0.95), ("nonsense", 0.9), ("1e9", 0.9), ("nan", 0.9)]
)
def test_one_sparsity_is_shared_by_the_pages(app, given, shown):
    at = app("sparsity", run="esacl", sparsity=given)
    data = next(
        json.loads(element.proto.json)
        for element in at.main
        if getattr(getattr(element, "proto", None), "component_name", "") == "esacl_drawings"
    )
    level = float(data["scrub"]["names"][data["scrub"]["index"]].removesuffix("\u00a0%")) / 100
    assert level == pytest.approx(shown, abs=0.04)
    at.switch_page("../pages/landscape.py").run()
    assert not at.exception
    if given == "0.5":
        assert at.query_params["sparsity"] == "0.5"


@pytest.mark.parametrize("given", ["2", "99", "-1", "zwei", ""])
def test_any_task_in_a_link_is_answered(app, given):
    at = app("sparsity", run="esacl", task=given)
    assert not at.exception
    assert not at.error


def test_a_run_stands_beside_another_of_the_same_kind(app, runs):
    at = app("curvature", run="esacl")
    assert sum("Dense: right before the cut, after" in caption.value for caption in at.caption) == 1
    picker = at.selectbox(key="_beside")
    assert picker.value == runs["ewc"]
    assert len([d for d in drawings(at) if "per task" in d["alt"]]) == 2
    picker.select("none").run()
    assert len([d for d in drawings(at) if "per task" in d["alt"]]) == 1
    assert runs["class"] not in app("curvature", run="esacl").selectbox(key="_beside").options


def test_class_il_can_be_read_with_the_task_known(app):
    at = app("forgetting", run="class")
    before = at.metric[0].value
    at.toggle(key="task-known").set_value(True).run()
    assert before == "98.9\u00a0%"
    assert at.metric[0].value == "100.0\u00a0%"


def test_undefined_is_a_dash_and_never_nan(app):
    at = app("forgetting", run="joint")
    assert [metric.value for metric in at.metric][1:] == ["–", "–", "–"]


def test_the_run_page_says_device_and_memory(app):
    at = app("run", run="esacl")
    assert "On cpu" in everything(at)
    assert at.metric[3].label == "Memory"
    assert at.metric[3].value != "–"


def test_deleting_asks_first_and_then_deletes(app, monkeypatch, tmp_path):
    from pages_runs import record

    from esacl.store import RunStore

    store = RunStore(tmp_path / "own")
    run_id = record(store)
    monkeypatch.setenv("ESACL_RUNS", str(store.root))
    at = app("run")
    at.button(key="delete").click().run()
    assert store.ids() == ()
    assert not at.exception
    assert not (store.root / run_id).exists()


def test_recorded_runs_can_be_seen_and_not_touched(app, monkeypatch, tmp_path):
    from pages_runs import record

    from app import reading
    from esacl.store import RunStore

    store = RunStore(tmp_path / "recorded")
    record(store)
    monkeypatch.setenv("ESACL_RUNS", str(tmp_path / "empty"))
    monkeypatch.setattr(reading, "RECORDED", store.root)
    at = app("run")
    assert "recorded with the project" in at.selectbox(key="_run").options[0]
    assert not {"delete", "resume", "cancel"} & {button.key for button in at.button}


def test_a_missing_measurement_can_be_made_on_the_spot(app, monkeypatch, runs):
    from app import analysing

    asked = []
    monkeypatch.setattr(analysing.jobs, "analyse", lambda store, run, kind, about, owner: asked.append((kind, about)))
    monkeypatch.setattr(analysing.reading, "array_names", lambda entry: ("weights-t2",))
    at = app("landscape", run="unmeasured")
    at.button(key="measure-now").click().run()
    assert asked == [("landscape", {"task": 2, "points": 25})]


def test_pages_are_thin_and_import_only_the_app():
    for path in (MAIN.parent.parent / "pages").glob("*.py"):
        tree = ast.parse(path.read_text())
        assert len(path.read_text().splitlines()) <= 80
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] == "app"
            if isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= {"streamlit"}


def test_session_and_caches_are_used_in_one_place_only():
    for path in [*MAIN.parent.rglob("*.py"), *(MAIN.parent.parent / "pages").glob("*.py")]:
        if path.name not in ("reading.py", "session.py"):
            assert not re.search(r"session_state|st\.cache_|st\.query_params", path.read_text()), path


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("task", "99", "asks for task '99'; this run has the tasks 1 to 3"),
        ("task", "zwei", "asks for task 'zwei'"),
        ("sparsity", "abc", "asks for sparsity 'abc', which is no number from 0 to below 1"),
        ("sparsity", "nan", "asks for sparsity 'nan'"),
        ("slice-x", "foo", "asks for the axis 'foo', which no slice has"),
        ("language", "xx", "asks for the language 'xx', which is not there"),
        ("large", "yes", "asks for large type by 'yes'; 1 is large, 0 is not"),
        ("tour", "99", "asks for step '99' of the tour, which has 7"),
        ("beside", "gone", "There is no run 'gone' here to stand beside it"),
    ],
)
def test_what_a_link_asks_for_in_vain_is_said_and_leaves_the_link(app, name, value, words):
    at = app("curvature" if name == "beside" else "start", run="esacl", **{name: value})
    assert not at.exception
    assert any(words in line for line in said(at))
    assert name not in at.query_params
    at.run()
    assert not any(words in line for line in said(at))


def test_the_settings_lie_beside_the_main_file_so_that_every_folder_finds_them(tmp_path):
    code = "import sys; from streamlit import config as c; c._main_script_path = sys.argv[1]; "
    code += "print(c.get_option('server.address'), c.get_option('browser.gatherUsageStats'))"
    command = [sys.executable, "-c", code, str(MAIN)]
    told = subprocess.run(command, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True)
    assert told.stdout.split() == [b"127.0.0.1", b"False"]


def test_nothing_asks_the_internet_for_icons_or_fonts():
    root = MAIN.parent.parent
    drawn = [p for p in root.glob("assets/*.*") if p.suffix in (".css", ".svg")]
    texts = [p.read_text() for p in [*root.glob("app/**/*.py"), *root.glob("pages/*.py"), *drawn]]
    config = (root / "app" / ".streamlit" / "config.toml").read_text()
    assert not any(":material/" in text for text in texts)
    assert not re.search(r"https?://(?!www\.w3\.org)", config + "".join(texts))
