import json

import pytest

from benchmarks import pool, provenance, table, tune
from benchmarks.once import MEASURES, measure
from benchmarks.spec import read_spec
from esacl.config import RunConfig
from esacl.errors import InputError, RunFailure

SPEC = """
seeds = [0, 1]
reference = "plain"
[common]
tasks = 2
epochs = 1
train_limit = 40
[[row]]
name = "plain"
method = "finetune"
[[row]]
name = "sparse"
each = { sparsity = [0.8, 0.9] }
"""


@pytest.fixture
def spec_file(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SPEC)
    return path


def record(accuracy, **other):
    return {"failed": None, "commit": "abc", **dict.fromkeys(MEASURES), "average_accuracy": accuracy, **other}


@pytest.fixture
def made_up(monkeypatch):
    """Runs that take no time; returns the jobs in the order in which they were asked for."""
    asked = []

    def run_all(jobs, results, *, workers, data):
        for job in jobs:
            if results.get(job.config) is None:
                asked.append(job)
                value = 0.9 + 0.01 * job.config.seed - (0.1 if job.config.lr > 1 else 0)
                results.keep(job, record(value, sparsity=job.config.sparsity, drop=None), "abc")

    monkeypatch.setattr(pool, "run_all", run_all)
    monkeypatch.setattr(table, "run_all", run_all)
    monkeypatch.setattr(tune, "run_all", run_all)
    return asked


def test_measures_of_a_run():
    config = RunConfig(tasks=2, epochs=1, train_limit=40, curvature={"top": 0, "levels": 0, "grid": 0}, device="cpu")
    found = measure(config)
    assert found.keys() == {"failed", *MEASURES}
    assert found["failed"] is None
    assert 0 <= found["average_accuracy"] <= 1
    assert found["sparsity"] >= 0.9 - 1e-9
    assert found["flops"] > 1
    assert found["accuracy_task_known"] is None
    assert json.loads(json.dumps(found)) == found


def test_joint_has_no_transfer_and_class_il_tells_the_task():
    off = {"top": 0, "levels": 0, "grid": 0}
    found = measure(
        RunConfig(method="joint", scenario="class", tasks=2, epochs=1, train_limit=40, curvature=off, device="cpu")
    )
    assert found["backward_transfer"] is None
    assert found["learning_accuracy"] is None
    assert found["drop"] is None
    assert found["accuracy_task_known"] >= found["average_accuracy"]


def test_a_table_leaves_no_line_of_other_settings_in_its_file(spec_file, made_up):
    assert table.main([str(spec_file)]) == 0
    spec_file.write_text(SPEC.replace("sparsity = [0.8, 0.9]", "sparsity = [0.8]"))
    assert table.main([str(spec_file), "--seeds", "0"]) == 0
    kept = [json.loads(line) for line in (spec_file.parent / "results" / "small.jsonl").read_text().splitlines()]
    assert sorted((line["row"], line["seed"]) for line in kept) == [
        ("plain, seed 0", 0), ("plain, seed 1", 1), ("sparse, 80%, seed 0", 0), ("sparse, 80%, seed 1", 1),
    ]  # fmt: skip


def test_what_is_kept_is_told_in_dense_weights():
    config = RunConfig(
        method="ewc", scenario="domain", tasks=2, epochs=1, train_limit=40, device="cpu",
        curvature={"top": 0, "levels": 0, "grid": 0},
    )  # fmt: skip
    assert measure(config)["kept"] == pytest.approx(3)  # weights, anchor, Fisher information


def test_a_failed_run_is_a_result(monkeypatch):
    def diverging(config, data=None):
        yield from ()
        raise RunFailure("the loss became nan")

    monkeypatch.setattr("esacl.pipeline.run", diverging)
    found = measure(RunConfig())
    assert found["failed"] == "the loss became nan"
    assert found["average_accuracy"] is None


def test_rows_are_interleaved_over_the_seeds(spec_file, made_up, capsys):
    assert table.main([str(spec_file)]) == 0
    assert [job.config.seed for job in made_up] == [0, 0, 0, 1, 1, 1]
    assert [job.label for job in made_up[:3]] == ["plain, seed 0", "sparse, 80%, seed 0", "sparse, 90%, seed 0"]
    text = (spec_file.parent / "results" / "small.md").read_text()
    assert text.strip() == capsys.readouterr().out.strip()
    assert "| sparse, 80% | 90.50 ± 0.71 | 80.00 | +0.00 ± 0.00 | 2 |" in text


def test_an_interrupted_table_goes_on_where_it_was(spec_file, made_up):
    table.main([str(spec_file), "--seeds", "0"])
    kept = spec_file.parent / "results" / "small.jsonl"
    with kept.open("a") as file:
        file.write('{"key": "torn')  # killed while writing
    del made_up[:]
    table.main([str(spec_file)])
    assert [job.config.seed for job in made_up] == [1, 1, 1]
    assert len([json.loads(line) for line in kept.read_text().splitlines()]) == 6


def test_results_of_other_code_are_not_reused(spec_file, made_up, monkeypatch):
    table.main([str(spec_file)])
    del made_up[:]
    monkeypatch.setattr(pool, "code_digest", lambda: "changed!")
    table.main([str(spec_file)])
    assert len(made_up) == 6


def test_a_row_that_its_first_seed_confirms_is_kept_and_the_header_says_so(spec_file, made_up, monkeypatch):
    table.main([str(spec_file)])
    kept = spec_file.parent / "results" / "small.jsonl"
    changed = [json.loads(line) for line in kept.read_text().splitlines()]
    changed[0]["average_accuracy"] = 0.91  # what today's code no longer gives
    kept.write_text("".join(json.dumps(entry) + "\n" for entry in changed))
    del made_up[:]
    monkeypatch.setattr(pool, "code_digest", lambda: "changed!")
    monkeypatch.setattr(pool, "commit", lambda: "today")
    table.main([str(spec_file), "--confirm"])
    assert [job.label for job in made_up] == [
        "plain, seed 0", "sparse, 80%, seed 0", "sparse, 90%, seed 0", "plain, seed 1",
    ]  # fmt: skip
    entries = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [entry["processor"] for entry in entries] == [provenance.processor()] * 6
    assert [entry["row"] for entry in entries if "confirmed" in entry] == ["sparse, 80%, seed 1", "sparse, 90%, seed 1"]
    assert all(entry["key"].endswith("-changed!") for entry in entries)
    assert "2 runs of earlier code, kept since" in (spec_file.parent / "results" / "small.md").read_text()


def test_rows_that_are_not_named_keep_what_other_code_gave_and_the_header_says_which(spec_file, made_up, monkeypatch):
    table.main([str(spec_file)])
    del made_up[:]
    monkeypatch.setattr(pool, "code_digest", lambda: "changed!")
    table.main([str(spec_file), "--rows", "sparse, 90%"])
    assert [job.label for job in made_up] == ["sparse, 90%, seed 0", "sparse, 90%, seed 1"]
    assert len((spec_file.parent / "results" / "small.jsonl").read_text().splitlines()) == 6


def test_a_row_that_is_not_there_is_said(spec_file, made_up, capsys):
    assert table.main([str(spec_file), "--rows", "dense"]) == 2
    assert "no row is named 'dense'; choose from plain; sparse, 80%; sparse, 90%" in capsys.readouterr().err


def test_a_time_is_no_reason_to_run_again(spec_file, made_up, monkeypatch):
    table.main([str(spec_file), "--confirm"])
    kept = spec_file.parent / "results" / "small.jsonl"
    entries = [{**json.loads(line), "seconds": 7.0} for line in kept.read_text().splitlines()]
    kept.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    del made_up[:]
    monkeypatch.setattr(pool, "code_digest", lambda: "changed!")
    table.main([str(spec_file), "--confirm"])
    assert [job.config.seed for job in made_up] == [0, 0, 0]


def test_the_header_names_lines_of_another_processor(monkeypatch):
    monkeypatch.setattr(provenance, "processor", lambda: "here")
    made_by = [{"commit": "a", "row": "er, seed 0", "processor": "there"}, {"commit": "b", "row": "ewc, seed 0"}]
    lines = provenance.header("Title", "", "command", made_by)
    assert "- On there: er, seed 0" in lines
    assert any(line.startswith("- Commit: a, b;") for line in lines)
    assert {"- a made: er", "- b made: ewc"} <= set(lines)


def test_failed_runs_are_counted_and_left_out_of_the_mean(spec_file):
    spec = read_spec(spec_file)
    found = {row.name: [record(0.5, sparsity=0.9), record(0.7, sparsity=0.8)] for row in spec.rows}
    found["sparse, 90%"][1] = {**record(None), "failed": "nan"}
    lines = table.table(spec, found)
    assert lines[2].startswith("| plain | 60.00 ± 14.14 | 80.00 |")  # the smallest sparsity, not the mean
    assert lines[4] == "| sparse, 90% | 50.00 | 90.00 | +0.00 | 2 (1 failed) |"


@pytest.mark.processes
def test_a_real_table_in_processes(spec_file, capfd):
    spec_file.write_text(SPEC.replace("[0, 1]", "[0]").replace("[0.8, 0.9]", "[0.8]"))
    assert table.main([str(spec_file), "--workers", "1"]) == 0
    kept = [json.loads(line) for line in (spec_file.parent / "results" / "small.jsonl").read_text().splitlines()]
    assert {entry["row"] for entry in kept} == {"plain, seed 0", "sparse, 80%, seed 0"}
    assert all(entry["failed"] is None for entry in kept)
    assert "| sparse, 80% |" in capfd.readouterr().out


def test_bad_input_is_one_line(tmp_path, capsys):
    assert table.main([str(tmp_path / "none.toml")]) == 2
    assert tune.main([str(tmp_path / "none.toml")]) == 2
    assert tune.main([str(tmp_path / "none.toml"), "--evaluation", "test"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3
    assert all(line.startswith("error: ") for line in lines)
    assert "never looks at test data" in lines[2]


TUNING = """
seeds = [0, 1]
[common]
tasks = 2
[[row]]
name = "one"
method = "finetune"
grid = { lr = [0.1, 2.0] }
[[row]]
name = "two"
grid = { "anchor.strength" = [0.5], lr = [5.0, 0.2] }
"""


def test_tuning_chooses_on_validation_data(tmp_path, made_up, capsys):
    path = tmp_path / "tuning.toml"
    path.write_text(TUNING)
    assert tune.main([str(path)]) == 0
    assert {job.config.evaluation for job in made_up} == {"validation"}
    chosen = (tmp_path / "results" / "tuning.toml").read_text()
    assert '["one"]\nlr = 0.1\n' in chosen
    assert '["two"]\nanchor.strength = 0.5\nlr = 0.2\n' in chosen
    told = capsys.readouterr().out
    assert "| two | **anchor.strength 0.5, lr 0.2** | 90.50 ± 0.71 | 2 |" in told
    assert "At the edge of its grid: one: lr; two: lr." in told
    (tmp_path / "table.toml").write_text('tuned = "results/tuning.toml"\n[[row]]\nname = "a"\ntuned = "two"\n')
    assert read_spec(tmp_path / "table.toml").rows[0].settings == {"anchor.strength": 0.5, "lr": 0.2}


def test_tuning_keeps_the_trials_of_a_row_that_one_of_them_confirms(tmp_path, made_up, monkeypatch):
    path = tmp_path / "search.toml"
    text = '[common]\nmethod = "finetune"\ntasks = 2\n[[row]]\nname = "%s"\ngrid = { lr = [0.1, 0.2%s] }\n'
    path.write_text(text % ("a", ""))
    tune.main([str(path)])
    del made_up[:]
    monkeypatch.setattr(pool, "code_digest", lambda: "changed!")
    path.write_text((text % ("a", ", 0.4")).replace("[0.1", "[0.05, 0.1"))
    tune.main([str(path), "--confirm"])
    again = sorted((job.config.lr, job.config.seed) for job in made_up)
    assert again == [(0.05, 0), (0.05, 1), (0.05, 2), (0.1, 0), (0.4, 0), (0.4, 1), (0.4, 2)]
    assert "5 runs of earlier code" in (tmp_path / "results" / "search.md").read_text()


def test_tuning_refuses_to_favour_a_method(tmp_path):
    path = tmp_path / "tuning.toml"
    path.write_text(TUNING.replace("[0.1, 2.0]", "[0.1]"))
    with pytest.raises(InputError, match="one 1, two 2"):
        tune.check_trials(read_spec(path))


def test_a_trial_with_a_failed_run_is_out():
    good, bad = {"lr": 0.1}, {"lr": 9.0}
    assert tune.best([(bad, [0.99, None]), (good, [0.5, 0.6])]) == good
    with pytest.raises(InputError, match="every trial"):
        tune.best([(bad, [None])])


def test_the_code_digest_sees_formulas_and_not_comments(tmp_path):
    def digest(**files):
        for name, text in files.items():
            folder = tmp_path / ("benchmarks" if name == "once" else "esacl")
            folder.mkdir(exist_ok=True)
            (folder / f"{name}.py").write_text(text)
        return provenance.code_digest(tmp_path)

    twice = 'def f(x):\n    """Twice."""\n    return 2 * x\n'
    before = digest(formula=twice, summary="a = 1\n", cli="a = 1\n", once="a = 1\n")
    assert digest(formula='def f(x):\n    """Double."""\n    # a remark\n    return 2 * x\n', cli="a = 2\n") == before
    seen = {before, digest(formula="def f(x):\n    return 3 * x\n"), digest(summary="a = 2\n"), digest(once="a = 2\n")}
    assert len(seen) == 4


def test_headers_hide_where_this_machine_keeps_its_files(monkeypatch):
    arguments = ["x", str(provenance.ROOT / "benchmarks" / "a.toml"), "--data", "/somewhere", "--out=/else", "--seeds"]
    monkeypatch.setattr("sys.argv", [*arguments, "0"])
    assert provenance.this_command("benchmarks.table") == "python -m benchmarks.table benchmarks/a.toml --seeds 0"
    lines = "\n".join(provenance.header("Title", "", "command", []))
    assert "# Title" in lines
    assert "cores" in lines
    assert provenance.code_digest() in lines
