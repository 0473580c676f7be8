"""What the curvature and landscape pages show at once, what they offer to measure, and how that is followed."""

import json

import numpy as np
import pytest
from pages_runs import record
from synthetic_spectra import density_arrays, plane_arrays, spectrum_arrays

from app import analysing, plots, reading
from app.wording import number
from esacl.arrays import keep_arrays
from esacl.event_lines import to_line
from esacl.events import Analysing, ArrayRecorded, Pruned
from esacl.store import RunStore

SIDE = np.linspace(-1, 1, 7)


@pytest.fixture
def store(tmp_path, monkeypatch, app):
    """An EsaCL run and a baseline in a folder that the test may write to."""
    store = RunStore(tmp_path / "runs")
    record(store, method="ewc", sparsity=0.9)
    record(store, name="ours")
    monkeypatch.setenv("ESACL_RUNS", str(store.root))
    return store


@pytest.fixture
def ours(store):
    return next(run_id for run_id in store.ids() if "esacl" in run_id)


@pytest.fixture
def asked(monkeypatch):
    """What jobs were asked for: run, kind, options."""
    found = []
    monkeypatch.setattr(analysing.jobs, "analyse", lambda store, *about, owner: found.append(about))
    return found


def keep(store, run_id, name, arrays):
    keep_arrays(store.folder(run_id), ArrayRecorded(name=name, arrays=arrays))


def panels(at):
    """What the plot component was given."""
    protos = [element.proto for element in at.main if hasattr(element, "proto")]
    found = [json.loads(p.json) for p in protos if getattr(p, "component_name", "") == "esacl_plots"]
    return [panel for data in found for panel in data["panels"]]


def alts(at):
    protos = [element.proto for element in at.main if hasattr(element, "proto")]
    found = [json.loads(p.json) for p in protos if getattr(p, "component_name", "") == "esacl_drawings"]
    return " ".join(drawing["alt"] for data in found for drawing in data["drawings"])


def choose(at, x, y):
    at.selectbox(key="_slice-x").select(x).run()
    return at.selectbox(key="_slice-y").select(y).run()


def test_recorded_slices_stand_side_by_side_at_once(app, store, ours):
    at = app("landscape", run=ours)
    assert [p["title"] for p in panels(at)] == [
        "ours, through the dense and the pruned point",
        "EWC, 90\u00a0%, seed 7, through the dense and the pruned point",
    ]
    choose(at, "random1", "random2")
    shown = panels(at)
    assert len(shown) == 4
    assert "25\u00a0% computed" in shown[0]["note"]
    scales = {(p["figure"]["data"][0]["zmin"], p["figure"]["data"][0]["zmax"]) for p in shown}
    axes = [[p["figure"]["layout"][f"{name}axis"]["range"] for name in "xy"] for p in shown]
    assert len(scales) == 1
    assert all(one == axes[0] for one in axes)
    assert {button.key for button in at.download_button} >= {"slice-csv", "slice-npz", "slice-html"}
    assert any("not the whole landscape" in caption.value for caption in at.caption)


def test_a_slice_that_is_not_there_can_be_measured(app, store, ours, asked):
    at = choose(app("landscape", run=ours), "eigen1", "random2")
    assert panels(at) == []
    at.button(key="measure-now-1").click().run()
    assert asked == [(ours, "landscape", {"task": 2, "x": "eigen1", "y": "random2", "at": "pruned", "points": None})]


def test_the_way_to_a_solution_is_measured_as_x(app, store, ours, asked):
    at = choose(app("landscape", run=ours, task="1"), "eigen1", "task")
    at.button(key="measure-now-0").click().run()
    assert asked[0][2] == {"task": 0, "x": "task", "y": "eigen1", "at": "dense", "points": None}


def test_a_slice_that_was_measured_later_is_shown_either_way_round(app, store, ours):
    loss = 1 + SIDE[None] ** 2 + 2 * SIDE[:, None] ** 2
    loss[0, 0] = np.nan
    keep(store, ours, "plane-t2-dense-eigen1-random1", plane_arrays(SIDE, SIDE, loss))
    at = choose(app("landscape", run=ours), "random1", "eigen1")
    assert [p["title"] for p in panels(at)] == ["ours, around the dense point"]
    assert "1 hole without a finite loss" in panels(at)[0]["note"]
    at.segmented_control(key="view-2").set_value("surface").run()
    assert panels(at)[0]["figure"]["data"][0]["type"] == "surface"


def test_of_a_recorded_run_only_what_is_there_is_offered(app, store, ours, monkeypatch, tmp_path):
    monkeypatch.setattr(reading, "RECORDED", store.root)
    monkeypatch.setenv("ESACL_RUNS", str(tmp_path / "empty"))
    at = app("landscape", run=ours)
    assert at.selectbox(key="_slice-x").options == ["Pruning displacement", "Eigenvector 1"] + [
        f"Random direction {i}" for i in (1, 2)
    ]
    assert at.selectbox(key="_slice-y").options == ["Eigenvector 1"]
    at = app("curvature", run=ours)
    assert any("came with the project" in caption.value for caption in at.caption)
    assert not [button.key for button in at.button if button.key.startswith("measure")]


def test_where_plotly_cannot_be_served_the_figures_are_drawn_all_the_same(app, store, ours, monkeypatch):
    monkeypatch.setattr(plots, "library_address", lambda: None)
    at = app("landscape", run=ours)
    assert not at.exception
    assert panels(at) == []
    assert len(at.get("plotly_chart")) == 2


def test_what_the_cut_cost_stands_beside_how_it_lies(app, store, ours):
    keep(store, ours, "spectrum-t2", spectrum_arrays(store.config(ours), 2))
    at = app("curvature", run=ours)
    told = [caption.value.replace("\\", "") for caption in at.caption if "this cut changed the loss" in caption.value]
    cut = next(event for event in store.read(ours).events if isinstance(event, Pruned) and event.task == 2)
    assert len(told) == 2  # and of the run beside it
    assert f"by {number(cut.actual_rise)} nats" in told[0]
    assert told[0].endswith(f"g'd + ½ d'Hd there says {number(cut.taylor)}.")


def test_the_density_is_measured_on_request_and_then_shown(app, store, ours, asked):
    at = app("curvature", run=ours)
    at.button(key="measure-density").click().run()
    assert asked == [(ours, "spectrum", {"task": 2, "points": None, "probes": 8})]
    keep(store, ours, "density-t2", density_arrays(store.config(ours), 2))
    at = app("curvature", run=ours)
    assert alts(at).count("Density of the eigenvalues") == 3
    assert "measure-density" not in {button.key for button in at.button}


def test_pyhessian_is_asked_on_request_only(app, store, asked):
    ewc = next(run_id for run_id in store.ids() if "ewc" in run_id)
    at = app("curvature", run=ewc)
    assert any("has not been asked" in element.value for element in at.markdown)
    at.button(key="measure-check").click().run()
    assert asked[0][1:] == ("spectrum", {"task": 2, "points": None, "check": True, "probes": 0})


def test_an_old_run_shows_what_it_has(app, store, ours):
    for path in (store.folder(ours) / "arrays").glob("spectrum-*.npz"):
        path.unlink()
    at = app("curvature", run=ours)
    assert not at.exception
    assert not at.error
    assert "λₘₐₓ after task 3" in alts(at)
    assert {"measure-slices", "measure-density"} <= {button.key for button in at.button}


def test_an_analysis_is_followed_and_can_be_cancelled(app, store, ours):
    lines = [to_line(Analysing(task=2, stage="landscape", done=done, total=20)) for done in (0, 5)]
    (store.folder(ours) / "analyses.jsonl").write_text("\n".join(lines) + "\n")
    with store.workers.hold(ours):  # as the job does
        at = app("landscape", run=ours)
        bar = at.get("progress")[0].proto
        assert bar.value == 25
        assert bar.text == "Slicing the landscape"
        at.button(key=f"cancel-{ours}").click().run()
        assert (store.folder(ours) / "CANCEL").exists()
        assert at.button(key=f"cancel-{ours}").label == "Stopping …"
        assert at.button(key=f"cancel-{ours}").disabled


def test_a_download_is_made_when_it_is_asked_for(store, ours, app, monkeypatch):
    from app import looking, sharpness

    made = []
    monkeypatch.setattr(looking, "as_table", lambda shown: made.append(shown) or b"")
    monkeypatch.setattr(sharpness, "_page", lambda *about: made.append(about) or b"")
    app("landscape", run=ours)
    app("curvature", run=ours)
    assert made == []


def test_the_figures_that_are_taken_along_have_the_key_to_their_marks(ours, app, monkeypatch):
    from app import downloads

    made = []
    monkeypatch.setattr(downloads, "row", lambda name, files, *, key: made.append(files["html"]().decode()))
    app("curvature", run=ours)
    assert [text.count("Circle: dense; Diamond: pruned; Square: pruned, survivors only") for text in made] == [1]


@pytest.mark.parametrize(("settings", "cut"), [({}, True), ({"method": "finetune", "sparsity": 0.0}, False)])
def test_a_run_that_cuts_nothing_has_no_word_on_its_cut(app, tmp_path, monkeypatch, settings, cut):
    alone = RunStore(tmp_path / "alone")
    monkeypatch.setenv("ESACL_RUNS", str(alone.root))
    at = app("curvature", run=record(alone, **settings))
    assert ("Where the cut goes" in [header.value for header in at.header]) == cut
    assert ("Survivors only" in " ".join(element.value for element in at.markdown)) == cut
