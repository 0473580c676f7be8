import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from picture_files import write_cifar10, write_tiny
from small_stream import SmallStream, raising

from esacl import analyse_command, analysis, cli, datasets, doctor, serving, viewing
from esacl.arrays import array_name
from esacl.config import METHOD_NAMES, RunConfig
from esacl.errors import InputError, RunFailure
from esacl.events import RunStarted, Stepped
from esacl.store import RunStore

SMALL = [
    "--tasks=2", "--epochs=2", "--train-limit=40", "--device=cpu", "--set=curvature.grid=3", "--set=curvature.top=1",
    "--set=curvature.levels=2", "--set=curvature.examples=16",
]  # fmt: skip


class Outcome:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> dict:
        return json.loads(self.out.splitlines()[-1])

    def is_refused(self) -> bool:
        lines = self.err.splitlines()
        return self.code == 2 and len(lines) == 1 and lines[0].startswith("error: ") and "Traceback" not in self.err


@pytest.fixture
def esacl(capsys, tmp_path, monkeypatch):
    """Runs a command in this process, with runs and data below the test's own folder."""
    monkeypatch.setenv("ESACL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("ESACL_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(datasets, "MNIST_MIRRORS", ("http://127.0.0.1:9/",))

    def call(*arguments: object) -> Outcome:
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
        found = capsys.readouterr()
        return Outcome(code, found.out, found.err)

    return call


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> RunStore:
    """A store with one finished run, made by the command itself."""
    root = tmp_path_factory.mktemp("kept")
    assert cli.main(["run", *SMALL, "--runs", str(root), "--name", "first", "--json"]) == 0
    return RunStore(root)


# run


def test_a_run_prints_its_result_and_draws_its_progress_apart(esacl):
    outcome = esacl("run", *SMALL)
    assert outcome.code == 0
    assert re.search(r"after task 1 +\d+\.\d +\d+\.\d", outcome.out)
    assert re.search(r"average \d+\.\d%, when learned \d+\.\d%, backward transfer", outcome.out)
    for heading in ("pruning", "curvature", "cost"):
        assert f"\n{heading} " in outcome.out
    assert "task 2/2 learned" in outcome.err
    assert re.search(r"\d+/\d+ \[\d\d:\d\d<\d\d:\d\d", outcome.err)  # how much, since when, how long to go
    assert "learned, accuracy" not in outcome.out
    assert "in no task" not in outcome.err


def test_a_run_says_at_its_start_which_classes_are_in_no_task(esacl, tmp_path):
    write_tiny(tmp_path / "data", classes=5)
    unmeasured = [f"--set=curvature.{part}=0" for part in ("top", "levels", "grid")]
    small = ["--tasks=2", "--epochs=1", "--set=resolution=16", *unmeasured]
    outcome = esacl("run", "--benchmark=split-tiny-imagenet", "--method=finetune", *small)
    assert outcome.code == 0
    said = "5 classes do not come out even in 2 tasks: the last of them is in no task"
    assert outcome.err.index(said) < outcome.err.index("task 1/2 learned")


def test_json_is_the_last_line_and_alone_on_stdout(esacl):
    outcome = esacl("run", *SMALL, "--json", "--seed", 3, "--sparsity", 0.5, "--set", "sdp.every=5")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 1
    result = outcome.json
    assert (result["status"], result["config"]["seed"], result["config"]["sdp"]["every"]) == ("finished", 3, 5)
    assert result["pruning"][1]["sparsity"] == pytest.approx(0.5, abs=0.01)
    assert 0 <= result["average_accuracy"] <= 1
    assert result["cost"]["seconds"] > 0
    assert result["cost"]["peak_bytes"] > 2**20
    assert result["versions"]["torch"]
    assert result["hardware"]["device"] == "cpu"


def test_the_same_command_twice_gives_the_same_events_in_two_runs(kept, esacl):
    esacl("run", *SMALL, "--runs", kept.root, "--name", "second", "--json")
    first, second = kept.resolve("latest"), next(i for i in kept.ids() if kept.config(i).name == "first")
    assert first != second
    lines = [(kept.folder(run_id) / "events.jsonl").read_bytes() for run_id in (first, second)]
    assert lines[0] == lines[1]
    kept.delete(first)


def test_a_config_file_is_taken_and_options_win(esacl, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(
        'tasks = 1\nepochs = 1\ntrain_limit = 20\nmethod = "finetune"\nseed = 5\n'
        "[curvature]\ntop = 0\ngrid = 0\nlevels = 2\nexamples = 8\n"
    )
    config = esacl("run", "--config", path, "--seed", 6, "--json").json["config"]
    assert (config["method"], config["seed"], config["tasks"]) == ("finetune", 6, 1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--method", "x"], f"unknown method 'x'; choose from {', '.join(METHOD_NAMES)}"),
        (["--benchmark", "x"], "unknown benchmark 'x'"),
        (["--network", "x"], "unknown network 'x'"),
        (["--scenario", "x"], "unknown scenario 'x'"),
        (["--sparsity", "1"], "sparsity: 1.0 will not do"),
        (["--sparsity", "-0.1"], "sparsity: -0.1 will not do"),
        (["--sparsity", "nan"], "sparsity: nan will not do"),
        (["--sparsity", "much"], "'much'"),
        (["--tasks", "9"], "choose 1 to 5"),
        (["--threads", "0"], "threads: 0"),
        (["--set", "sdp.power=1"], "unknown key 'sdp.power'"),
        (["--set", "sdp"], "is not key=value"),
        (["--set", "self=1"], "unknown key 'self'"),
        (["--config", "none.toml"], "none.toml cannot be read"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--device", "gpu"], "device 'gpu' is not known"),
        (["--benchmark", "split-mnist"], "train-images-idx3-ubyte.gz"),
        (["--bogus"], "'--bogus'; `esacl run --help`"),
        (["--sparse", "0.5"], "'--sparse'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(esacl, tmp_path, arguments, told):
    outcome = esacl("run", *arguments)
    assert outcome.is_refused(), outcome.err
    assert told in outcome.err
    assert outcome.out == ""
    assert RunStore(tmp_path / "runs").ids() == ()
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "data").exists()


def test_a_missing_data_set_names_the_folder(esacl, tmp_path):
    outcome = esacl("run", "--benchmark", "split-mnist", "--data", tmp_path / "there")
    assert str(tmp_path / "there") in outcome.err


def test_a_runs_folder_that_cannot_be_written_is_one_line(esacl, tmp_path):
    (tmp_path / "file").write_text("")
    outcome = esacl("run", *SMALL, "--runs", tmp_path / "file")
    assert outcome.is_refused()
    assert "--runs" in outcome.err


def failing_with(monkeypatch, error: Exception) -> None:
    monkeypatch.setattr("esacl.pipeline.run", lambda *_, **__: SmallStream(before=raising(error, Stepped)))


def test_a_run_that_fails_exits_with_1_and_says_why(esacl, monkeypatch):
    failing_with(monkeypatch, RunFailure("the loss is not finite; lower lr"))
    outcome = esacl("run", *SMALL)
    assert outcome.code == 1
    assert "error: the loss is not finite; lower lr" in outcome.err.splitlines()
    assert "failed: the loss is not finite; lower lr" in outcome.out
    assert "Traceback" not in outcome.err
    failed = esacl("run", *SMALL, "--json")
    assert (failed.code, failed.json["status"]) == (1, "failed")
    assert esacl("resume", "latest").code == 1


def test_a_fault_of_the_program_is_kept_and_shows_where(esacl, monkeypatch):
    failing_with(monkeypatch, ZeroDivisionError("oops"))
    outcome = esacl("run", *SMALL)
    assert outcome.code == 1
    assert "Traceback" in outcome.err
    assert esacl("list", "--json").json["runs"][0]["detail"].startswith("internal error, ZeroDivisionError: oops")


# Ctrl-C


@pytest.mark.processes
def test_ctrl_c_exits_with_130_and_resume_gives_the_same_events(kept, tmp_path):
    command = [sys.executable, "-m", "esacl"]
    long = [*SMALL, "--epochs=60", "--runs", str(tmp_path)]
    process = subprocess.Popen([*command, "run", *long], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "task 1/2 learned" in line:
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "cancelled" in out
    assert "so far (1 of 2 tasks)" in out
    assert cli.main(["resume", "latest", "--runs", str(tmp_path)]) == 0
    assert cli.main(["run", *long, "--json"]) == 0
    store = RunStore(tmp_path)
    assert [store.status(run_id).state for run_id in store.ids()] == ["finished", "finished"]
    one, two = ((store.folder(run_id) / "events.jsonl").read_bytes() for run_id in store.ids())
    assert one == two


INTERRUPTED = """
import runpy, sys
class Interrupted:
    def find_spec(self, name, *rest):
        if name == "esacl.cli":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
runpy.run_module("esacl", run_name="__main__")
"""


def test_ctrl_c_while_it_is_still_importing_is_no_traceback():
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (130, "")


# resume, show, list, delete


def test_resuming_a_finished_run_prints_its_result(kept, esacl):
    outcome = esacl("resume", "latest", "--runs", kept.root, "--json")
    assert outcome.code == 0
    assert outcome.json == esacl("show", "latest", "--runs", kept.root, "--json").json
    assert outcome.json["status"] == "finished"


def test_what_refuses_its_input_leaves_a_stopped_run_as_it_was(kept, esacl, tmp_path, monkeypatch):
    shutil.copytree(kept.folder(kept.ids()[-1]), tmp_path / "runs" / kept.ids()[-1])
    store = RunStore(tmp_path / "runs")
    run_id = store.ids()[0]
    store.finish(run_id, "cancelled")

    def record() -> dict[Path, bytes]:
        files = (path for path in store.folder(run_id).rglob("*") if path.is_file())
        return {path: path.read_bytes() for path in files if path.name not in ("worker.json", "lock")}

    def refuse(*_, **__):
        raise InputError("MNIST is not there")

    before = record()
    monkeypatch.setattr("esacl.pipeline.task_stream", refuse)
    monkeypatch.setattr("esacl.analysis.again.task_stream", refuse)
    for command in (["resume", run_id], ["analyse", run_id, "sparsity"]):
        outcome = esacl(*command)
        assert outcome.is_refused(), outcome.err
        assert "MNIST is not there" in outcome.err
        assert record() == before


def test_a_resumed_run_that_fails_at_once_is_kept_as_failed(kept, esacl, tmp_path, monkeypatch):
    shutil.copytree(kept.folder(kept.ids()[-1]), tmp_path / "runs" / kept.ids()[-1])
    store = RunStore(tmp_path / "runs")
    store.finish(store.ids()[0], "cancelled")
    failing = SmallStream(before=raising(RunFailure("not finite"), RunStarted))
    monkeypatch.setattr("esacl.pipeline.run", lambda *_, **__: failing)
    assert esacl("resume", "latest").code == 1
    assert store.status(store.ids()[0]).state == "failed"


def test_show_takes_a_prefix_and_tells_what_run_told(kept, esacl):
    run_id = kept.ids()[0]
    outcome = esacl("show", run_id[:30], "--runs", kept.root)
    assert outcome.code == 0
    assert run_id in outcome.out
    assert "first" in outcome.out


@pytest.mark.parametrize("command", ["show", "delete", "restore", "resume", "compare"])
@pytest.mark.parametrize("text", ["nothing", "../x", "latest", "x\x1b[31m"])
def test_a_run_that_is_not_there_is_one_line(esacl, command, text):
    outcome = esacl(command, text)
    assert outcome.is_refused()
    assert "no run" in outcome.err
    assert "\x1b" not in outcome.err


def test_a_corrupt_run_is_listed_and_refused_by_name(esacl, tmp_path):
    folder = tmp_path / "runs" / "20260101-000000-split-digits-esacl-abcdef"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{")
    listing = esacl("list")
    assert listing.code == 0
    assert "unreadable" in listing.out
    assert listing.out.splitlines()[0].split()[-2:] == ["name", "reason"]
    brief = esacl("list", "--json").json["runs"][0]
    assert brief["status"] == "unreadable"
    assert brief["detail"] in listing.out  # to its end, which is what to do
    for command in ("show", "resume", "compare"):
        outcome = esacl(command, "latest")
        assert outcome.is_refused()
        assert "config.json" in outcome.err
    assert esacl("delete", "latest").code == 0
    assert not folder.exists()


def test_list_shows_each_run_and_its_accuracy(kept, esacl):
    listed = esacl("list", "--runs", kept.root, "--json").json["runs"]
    assert [one["run"] for one in listed] == list(kept.ids())
    shown = esacl("show", "latest", "--runs", kept.root, "--json").json
    assert listed[0]["average_accuracy"] == shown["average_accuracy"]
    listing = esacl("list", "--runs", kept.root).out
    assert kept.ids()[0] in listing
    assert "reason" not in listing


def test_an_empty_folder_says_what_to_do(esacl):
    outcome = esacl("list")
    assert (outcome.code, outcome.err) == (0, "")
    assert "esacl run" in outcome.out
    assert esacl("list", "--json").json == {"runs": []}


# compare, analyse


def test_compare_as_table_json_csv_and_html(kept, esacl, tmp_path):
    name = '=2+3<b>"'
    assert esacl("run", *SMALL, "--runs", kept.root, "--name", name, "--method", "finetune", "--json").code == 0
    runs = ["compare", *kept.ids()[:2], "--runs", kept.root]
    outcome = esacl(*runs, "--csv", tmp_path / "t.csv", "--html", tmp_path / "t.html", "--json")
    rows = outcome.json["runs"]
    assert [row["method"] for row in rows] == ["finetune", "esacl"]
    assert rows[1]["pruning_drop"] is not None
    assert rows[0]["pruning_drop"] is None
    table = esacl(*runs).out
    assert "finetune" in table
    assert "benchmark split-digits" in table
    page = (tmp_path / "t.html").read_text()
    assert "<b>" not in page
    assert "=2+3&lt;b&gt;&quot;" in page
    text = (tmp_path / "t.csv").read_text()
    assert len(text.splitlines()) == 3
    assert "\"'=2+3<b>" in text  # text, not a formula
    assert esacl(*runs, "--csv", tmp_path / "none" / "t.csv").is_refused()
    assert esacl(*runs, "--html", tmp_path / "none" / "t.html").is_refused()
    kept.delete(kept.ids()[0])


@pytest.mark.parametrize(("one", "other"), [("--csv", "--latex"), ("--latex", "--html"), ("--csv", "--html")])
def test_compare_refuses_one_file_for_two_tables_before_it_writes_any(kept, esacl, tmp_path, one, other):
    (tmp_path / "same").symlink_to(tmp_path / "t.out")
    outcome = esacl("compare", "latest", "--runs", kept.root, one, tmp_path / "t.out", other, tmp_path / "same")
    assert outcome.is_refused()
    assert all(option in outcome.err for option in (one, other, "name two files"))
    assert not (tmp_path / "t.out").exists()


def test_compare_writes_two_tables_into_one_pipe(kept, esacl):
    assert esacl("compare", "latest", "--runs", kept.root, "--csv", "/dev/null", "--latex", "/dev/null").code == 0


def test_compare_takes_seeds_together_unless_told(kept, esacl, tmp_path):
    assert esacl("run", *SMALL, "--runs", kept.root, "--seed", "5", "--json").code == 0
    runs = ["compare", *kept.ids()[:2], "--runs", kept.root]
    outcome = esacl(*runs, "--latex", tmp_path / "t.tex", "--csv", tmp_path / "t.csv", "--json")
    (group,) = outcome.json["groups"]
    assert (group["n"], len(outcome.json["runs"])) == (2, 2)
    assert group["average_accuracy_sd"] is not None
    assert "±" in esacl(*runs).out
    assert "±" not in esacl(*runs, "--by-seed").out
    assert (tmp_path / "t.tex").read_text().count(r"\pm") > 3
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 2
    esacl(*runs, "--by-seed", "--csv", tmp_path / "t.csv")
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 3
    kept.delete(kept.ids()[0])


def test_a_page_without_the_app_is_one_line(kept, esacl, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "streamlit" else found(name))
    outcome = esacl("compare", kept.ids()[0], "--runs", kept.root, "--html", tmp_path / "t.html")
    assert outcome.is_refused()
    assert "--html needs streamlit" in outcome.err
    assert not (tmp_path / "t.html").exists()


def test_the_analyses_of_the_command_are_those_of_the_library():
    assert set(analyse_command.ANALYSES) == set(analysis.KINDS)


@pytest.mark.parametrize("kind", analyse_command.ANALYSES)
def test_an_analysis_records_what_it_found_and_leaves_the_events_alone(kept, esacl, kind):
    run_id = kept.ids()[0]
    before = (kept.folder(run_id) / "events.jsonl").read_bytes()
    outcome = esacl("analyse", run_id, kind, "--task", 0, "--runs", kept.root, "--json")
    assert outcome.code == 0, outcome.err
    result = outcome.json
    assert (result["run"], result["analysis"], result["status"]) == (run_id, kind, "finished")
    assert result["arrays"] or result["curvature"]
    assert all(name in kept.array_names(run_id) for name in result["arrays"])
    assert (kept.folder(run_id) / "events.jsonl").read_bytes() == before
    assert kept.analysis_status(run_id).state == "finished"


def test_deployment_prints_its_times_and_bytes(esacl, kept, monkeypatch):
    monkeypatch.setattr("esacl.analysis.deployment.ROUNDS", 1)
    outcome = esacl("analyse", kept.ids()[0], "deployment", "--task", 0, "--runs", kept.root)
    lines = outcome.out.splitlines()
    assert lines[0].startswith("recorded deployment-t0")
    assert lines[2].split() == ["answer,", "ms", "batch", "of", "1", "batch", "of", "32", "batch", "of", "256"]
    assert re.fullmatch(r"torch, dense( +[0-9.e+-]+){3}", lines[3])
    assert re.search(r"^file +bytes\nsafetensors +[0-9,]+\nsparse +[0-9,]+$", outcome.out, re.MULTILINE)


def test_an_analysis_with_other_points(kept, esacl):
    run_id = kept.ids()[0]
    outcome = esacl("analyse", run_id, "landscape", "--points", 5, "--task", 1, "--runs", kept.root)
    assert outcome.code == 0
    assert "recorded landscape-t1-grid5" in outcome.out.splitlines()
    assert kept.array(run_id, "landscape-t1-grid5")["plane_dense/loss"].shape == (5, 5)
    assert kept.array(run_id, "landscape-t1")["plane_dense/loss"].shape == (3, 3)  # what the run recorded stays


def test_a_plane_by_name_is_recorded_under_its_names(kept, esacl):
    run_id = kept.ids()[0]
    look = ("--x", "eigen1", "--y", "random1", "--at", "pruned", "--points", 4)
    outcome = esacl("analyse", run_id, "landscape", *look, "--task", 0, "--runs", kept.root, "--json")
    assert outcome.json["arrays"] == ["plane-t0-pruned-eigen1-random1"]
    assert kept.array(run_id, "plane-t0-pruned-eigen1-random1")["loss"].shape == (4, 4)
    next_task = ("--x", "task", "--y", "random1", "--points", 2)
    assert esacl("analyse", run_id, "landscape", *next_task, "--task", 0, "--runs", kept.root).code == 0
    refused = esacl("analyse", run_id, "landscape", *next_task, "--task", 1, "--runs", kept.root)
    assert refused.is_refused()
    assert "task 1 has no next task" in refused.err


def test_the_comparison_and_the_exact_cut_are_options_of_the_sparsity(kept, esacl):
    run_id = kept.ids()[0]
    for option, name in ((("--compare",), "comparison-t0"), (("--exact", "0.5"), "exact-t0-50000")):
        outcome = esacl("analyse", run_id, "sparsity", *option, "--task", 0, "--runs", kept.root, "--json")
        assert outcome.json["arrays"] == [name]
        assert name in kept.array_names(run_id)


def test_the_density_and_the_check_are_options_of_the_spectrum(kept, esacl):
    run_id = kept.ids()[0]
    arguments = ("spectrum", "--task", 0, "--probes", 2, "--check", "--set", "curvature.top=1")
    outcome = esacl("analyse", run_id, *arguments, "--runs", kept.root, "--json")
    assert "density-t0" in outcome.json["arrays"]
    assert {row["engine"] for row in outcome.json["curvature"]} == {"lanczos", "pyhessian"}


def test_an_analysis_that_the_run_left_out_has_the_plain_name(esacl, tmp_path):
    assert esacl("run", *SMALL, "--set=curvature.grid=0").code == 0
    assert esacl("analyse", "latest", "landscape", "--points", 3).out.splitlines()[0] == "recorded landscape-t1"
    refused = esacl("analyse", "latest", "landscape")
    assert refused.is_refused()
    assert "curvature.grid is 0, so there is nothing to look at; give --points" in refused.err
    named = esacl("analyse", "latest", "landscape", "--x", "random1", "--y", "random2")
    assert named.out.splitlines()[0] == "recorded plane-t1-dense-random1-random2"


@pytest.mark.parametrize(("kind", "points", "range_"), [("landscape", 1, "2 to 201"), ("spectrum", 0, "1 to 20")])
def test_points_out_of_range_are_told_by_the_name_that_was_typed(kept, esacl, kind, points, range_):
    refused = esacl("analyse", "latest", kind, "--points", points, "--runs", kept.root)
    assert refused.is_refused()
    assert f"--points {points} will not do for {kind}; choose {range_}" in refused.err


def test_a_task_without_weights_is_told_with_those_that_have_some(kept, esacl):
    refused = esacl("analyse", "latest", "spectrum", "--task", 9, "--runs", kept.root)
    assert refused.is_refused()
    assert "choose from the tasks that were learned: 0, 1" in refused.err


@pytest.mark.parametrize(
    ("asked", "counts"), [(None, 0.2), ("global", 0.2), ("neuron", 0.2), ("erk", 0.0), ("uniform", 0.0)]
)
def test_what_a_weight_costs_counts_in_a_view_where_layers_compete(asked, counts):
    config, _ = viewing.viewed(RunConfig(), viewing.View("sparsity", 0, {"pruning.allocation": asked}))
    assert config.pruning.flops_exponent == counts


def test_each_view_has_a_name_of_its_own():
    own, short = RunConfig(), {"ids.fraction": 0.1, "ids.score": "el2n"}
    assert viewing.viewed(own, viewing.View("selection", 0, short, "cpu"))[1] == "-fraction0_1-scoreel2n"
    assert viewing.viewed(own, viewing.View("sparsity", 0, {"curvature.top": 0}))[1] == "-top0"
    assert viewing.viewed(own, viewing.View("selection", 0, {"ids.fraction": own.ids.fraction}))[1] == ""
    names = set()
    for grid in (51, 52):
        long = short | {"curvature.grid": grid, "pruning.saliency": "taylor", "pruning.allocation": "uniform"}
        names.add(name := array_name("selection-t4" + viewing.viewed(own, viewing.View("", 0, long))[1]))
        assert len(name) == len("selection-t4-") + 6
    assert len(names) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nonsense"], "nonsense"),
        (["landscape", "--task", "9"], "task 9"),
        (["landscape", "--task", "-1"], "task -1"),
        (["landscape", "--points", "100000"], "--points 100000 will not do for landscape; choose 2 to 201"),
        (["selection", "--points", "3"], "--points has no meaning for selection"),
        (["spectrum", "--x", "eigen1"], "--x has no meaning for spectrum; it belongs to landscape"),
        (["landscape", "--check"], "--check has no meaning for landscape; it belongs to spectrum"),
        (["landscape", "--probes", "0"], "--probes has no meaning for landscape; it belongs to spectrum"),
        (["landscape", "--x", "", "--y", ""], "unknown axis ''"),
        (["landscape", "--x", "eigen1"], "give both --x and --y"),
        (["landscape", "--at", "pruned"], "give --x and --y too"),
        (["landscape", "--x", "up", "--y", "task"], "unknown axis 'up'; choose from pruning, eigen1..eigen9"),
        (["spectrum", "--probes", "1"], "probes 1 is out of range"),
        (["spectrum", "--compare"], "--compare has no meaning for spectrum; it belongs to sparsity"),
        (["sparsity", "--compare", "--exact", "0.9"], "choose one of them"),
        (["sparsity", "--exact", "1"], "--exact 1.0 is no sparsity"),
        (["landscape", "--set", "ids.fraction=7"], "ids.fraction"),
        (["landscape", "--set", "scenario=class"], "cannot change 'scenario'; choose from curvature.grid"),
    ],
)
def test_a_bad_analysis_is_one_line(kept, esacl, arguments, told):
    outcome = esacl("analyse", "latest", *arguments, "--runs", kept.root)
    assert outcome.is_refused(), outcome.err
    assert told in outcome.err


# doctor, app, and the parser


def test_doctor_names_versions_devices_data_and_browser(esacl, tmp_path):
    found = esacl("doctor", "--json").json
    assert found["versions"]["torch"]
    assert "cpu" in found["devices"]
    assert found["data"]["MNIST"]["found"] is False
    assert found["data"]["MNIST"]["where"].startswith(str(tmp_path / "data"))
    for name in ("CIFAR-10", "CIFAR-100", "Tiny-ImageNet"):
        assert found["data"][name]["found"] is False
    write_cifar10(tmp_path / "data")
    entry = esacl("doctor", "--json").json["data"]["CIFAR-10"]
    assert (entry["found"], entry["where"]) == (True, str(tmp_path / "data" / "cifar-10-batches-py"))
    assert found["runs"]["writable"] is True
    text = esacl("doctor").out
    assert str(tmp_path / "data") in text
    assert "put the four files in" in text
    assert f"code          {found['code']}\n" in text


def test_doctor_sees_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    assert doctor.examine(tmp_path / "file" / "runs", None)["runs"]["writable"] is False


@pytest.fixture
def taken_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def started(monkeypatch, tmp_path):
    """What `esacl app` would become, instead of becoming it."""
    calls: list = []

    def become(path: str, arguments: list[str]) -> None:
        calls.append(arguments)
        raise SystemExit(0)

    main = tmp_path / "app" / "main.py"
    monkeypatch.setattr(serving, "find_app", lambda: main)
    monkeypatch.setattr(serving.os, "execv", become)
    monkeypatch.setattr(serving.os, "chdir", lambda path: calls.append(path))
    monkeypatch.setattr(serving.os, "environ", dict(os.environ))
    return calls


@pytest.mark.parametrize("form", ["--server.port {}", "--server.port={}"])
def test_a_port_in_use_is_one_line_and_starts_nothing(esacl, started, taken_port, form):
    outcome = esacl("app", *form.format(taken_port).split())
    assert outcome.is_refused()
    assert f"port {taken_port}" in outcome.err
    assert "--server.port" in outcome.err
    assert started == []


@pytest.mark.parametrize("port", ["99999", "-1", "x"])
def test_what_is_no_port_is_refused(esacl, started, port):
    outcome = esacl("app", f"--server.port={port}")
    assert outcome.is_refused()
    assert started == []


def test_the_app_gets_streamlits_options_and_the_runs(esacl, started, tmp_path, taken_port):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert esacl("app", "--server.port", port, "--server.headless", "true", "--runs", tmp_path / "mine").code == 0
    folder, arguments = started
    assert folder == tmp_path
    assert arguments[1:5] == ["-m", "streamlit", "run", str(tmp_path / "app" / "main.py")]
    assert arguments[5:] == ["--server.port", str(port), "--server.headless", "true"]
    assert serving.os.environ["ESACL_RUNS"] == str(tmp_path / "mine")


def test_an_installation_without_the_app_or_streamlit_says_so(esacl, started, monkeypatch):
    def missing() -> Path:
        raise InputError("the app is not here; clone the project")

    monkeypatch.setattr(serving.importlib.util, "find_spec", lambda name: None)
    assert "pip install" in esacl("app").err
    monkeypatch.setattr(serving, "find_app", missing)
    assert esacl("app").is_refused()
    assert started == []


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["show"], ["list", "--bogus"], ["compare"]])
def test_a_command_line_that_makes_no_sense_is_one_line(esacl, arguments):
    assert esacl(*arguments).is_refused()


def test_every_command_has_a_help(esacl):
    names = list(cli.parser()._subparsers._group_actions[0].choices)
    assert set(names) >= {"run", "analyse", "list", "show", "delete", "resume", "compare", "doctor", "app"}
    assert set(names) >= {"restore", "rename", "export", "import", "report"}
    for name in names:
        outcome = esacl(name, "--help")
        assert outcome.code == 0
        assert "held-lock" not in outcome.out
        assert "--into" not in outcome.out


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "esacl", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"esacl \d+\.\d+\.\d+(\.dev\d+)?\n", done.stdout)
