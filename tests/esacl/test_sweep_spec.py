"""The file of a sweep: what it makes, and what is refused before anything starts."""

import pytest
from sweeping import spec

from esacl import cli
from esacl.config import RunConfig
from esacl.errors import InputError
from esacl.sweep import command
from esacl.sweep.spec import MOST_RUNS, read_spec


def labels(tmp_path, text: str) -> list[str]:
    return [row.label for row in read_spec(spec(tmp_path, text)).rows]


def test_a_grid_is_the_product_of_its_lists_once_for_each_seed(tmp_path):
    plan = read_spec(
        spec(
            tmp_path,
            'seeds = [3, 4]\n[common]\ntasks = 2\n"sdp.every" = 7\n[grid]\nmethod = ["ewc", "er"]\nlr = [0.1, 0.2]\n',
        )
    )
    found = [(row.config.seed, row.config.method, row.config.lr) for row in plan.rows]
    assert found == [(s, m, lr) for s in (3, 4) for m in ("ewc", "er") for lr in (0.1, 0.2)]
    assert {(row.config.tasks, row.config.sdp.every, row.config.name) for row in plan.rows} == {(2, 7, "some")}
    assert plan.rows[0].label == "method=ewc, lr=0.1, seed=3"


def test_runs_stand_beside_the_grid_and_their_lists_are_grids_too(tmp_path):
    text = '[grid]\nmethod = ["er"]\n[[run]]\nmethod = "ewc"\nsparsity = [0.0, 0.5]\n[[run]]\nsdp = { every = 5 }\n'
    assert labels(tmp_path, text) == [
        "method=er", "method=ewc, sparsity=0.0", "method=ewc, sparsity=0.5", "sdp.every=5",
    ]  # fmt: skip


def test_what_is_nearer_to_a_run_wins(tmp_path):
    plan = read_spec(spec(tmp_path, '[common]\nlr = 0.3\nname = "mine"\n[[run]]\nlr = 0.1\n[[run]]\nseed = 5\n'))
    assert [(row.config.lr, row.config.seed, row.config.name) for row in plan.rows] == [
        (0.1, 0, "mine"),
        (0.3, 5, "mine"),
    ]


def test_tables_in_a_list_leave_the_rest_of_their_section_as_it_was(tmp_path):
    text = '[common]\nsdp.every = 7\n[grid]\nsdp = [{ form = "admm" }, { form = "segment", every = 9 }]\n'
    plan = read_spec(spec(tmp_path, text))
    assert [(row.config.sdp.form, row.config.sdp.every) for row in plan.rows] == [("admm", 7), ("segment", 9)]
    assert [row.label for row in plan.rows] == ["sdp.form=admm", "sdp.form=segment, sdp.every=9"]


def test_a_grid_wins_over_common_however_a_setting_is_spelled(tmp_path):
    text = '[common]\nsdp = { every = 7 }\n[grid]\n"sdp.every" = [5, 6]\n'
    assert [row.config.sdp.every for row in read_spec(spec(tmp_path, text)).rows] == [5, 6]


def test_rows_that_compute_the_same_are_folded_and_told(tmp_path):
    plan = read_spec(spec(tmp_path, "[grid]\nlr = [0.05, 0.1]\n[[run]]\nlr = 0.1\nthreads = 2\n[[run]]\n"))
    assert [row.config for row in plan.rows] == [RunConfig(name="some"), RunConfig(name="some", lr=0.1)]
    assert plan.folded == (("lr=0.1, threads=2", "lr=0.1"), ("run 2", "lr=0.05"))


def test_of_rows_that_are_folded_the_number_is_told_and_the_first_few(tmp_path, capsys):
    path = spec(tmp_path, f"[grid]\nlr = {[0.1] * 40}\nepochs = [1, 2]")
    command._tell_folded(read_spec(path).folded)
    first, *few, last = capsys.readouterr().err.splitlines()
    assert first == "left out, as earlier rows compute the same: 78"
    assert few[0] == "  lr=0.1, epochs=1, the same as lr=0.1, epochs=1"
    assert (len(few), last) == (3, "  and 75 more")
    command._tell_folded(())
    command._tell_folded((("a", "b"),))
    assert capsys.readouterr().err == "left out, as earlier rows compute the same: 1\n  a, the same as b\n"


@pytest.mark.parametrize("table", ["[common]\nlr = 0.1\n[[run]]", "[grid]\nlr = [0.1]\n[[run]]"], ids=str)
def test_a_run_without_settings_of_its_own_is_one_of_the_common_ones(tmp_path, table):
    assert read_spec(spec(tmp_path, table)).rows[-1].label == "run 1"


def test_one_setting_over_seeds_needs_no_grid_of_its_own(tmp_path):
    found = read_spec(spec(tmp_path, 'seeds = [0, 1]\n[common]\nmethod = "ewc"\n[grid]\n'))
    assert [row.config.seed for row in found.rows] == [0, 1]
    assert {row.config.method for row in found.rows} == {"ewc"}


BAD = {
    "unknown key 'seed'; choose from seeds, common, grid, run": "seed = [1]\n[grid]\nlr = [0.1]",
    "row method=magic: unknown method 'magic'": '[grid]\nmethod = ["ewc", "magic"]',
    "row lr=0.1, sparsity=1.5": "[grid]\nlr = [0.1]\nsparsity = [0.5, 1.5]",
    "row lr_=0.1": "[grid]\nlr_ = [0.1]",
    "row method=packnet": '[common]\nscenario = "class"\n[[run]]\nmethod = "packnet"',
    "common.lr is a list; put it in [grid]": "[common]\nlr = [0.1]\n[grid]\nmethod = ['er']",
    "grid: lr has no values": "[grid]\nlr = []",
    "grid: has no settings, so it would be a run of the defaults; give it some": "[common.sdp]\n[grid]\n",
    "grid: has no settings": "[grid.sdp]\n[[run]]\nlr = 0.1",
    "run 1: has no settings": "seeds = [1]\n[[run]]\n",
    "neither a [grid] nor a [[run]]": "[common]\nlr = 0.1",
    "'grid' is no table": "grid = 3",
    "'run' is no list of tables": "[run]\nlr = 0.1",
    "seeds = [] will not do": "seeds = []\n[grid]\nlr = [0.1]",
    "seeds = [True] will not do": "seeds = [true]\n[grid]\nlr = [0.1]",
    "common: sdp.form is given twice, as one key with a dot and in a table; leave one of them out": (
        '[common]\nsdp.form = "admm"\n"sdp.form" = "segment"\n[grid]\nlr = [0.1]'
    ),
    "grid: sdp.every is given twice": '[grid]\n"sdp.every" = [5]\n[grid.sdp]\nevery = [6, 7]',
    "run 2: sdp.every is given twice": '[[run]]\nlr = 0.1\n[[run]]\n"sdp.every" = 5\nsdp = [{ every = 6 }]',
    "gives both seeds and seed": "seeds = [1]\n[grid]\nseed = [1]",
    f"makes 1000000 runs; at most {MOST_RUNS}": f"seeds = {list(range(1000))}\n[grid]\nlr = {[0.1] * 1000}",
    "is not TOML": "[grid",
    "nested too deeply": "a = " + "[" * 5000,
}


@pytest.mark.parametrize("told", BAD)
def test_a_bad_file_is_refused_in_one_line_and_nothing_is_made(tmp_path, told, capsys):
    path = spec(tmp_path, BAD[told])
    with pytest.raises(InputError) as caught:
        read_spec(path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert cli.main(["sweep", str(path), "--runs", str(tmp_path / "runs")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {path}")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("told", "options"),
    [
        ("unknown engine 'ray'; choose from process, dask", ["--engine", "ray"]),
        ("--workers 0 will not do; choose 1 to 256", ["--workers", "0"]),
        ("--scheduler is for --engine dask", ["--engine", "process", "--scheduler", "tcp://a:1"]),
        ("--workers is for this machine", ["--scheduler", "tcp://a:1", "--workers", "2"]),
    ],
)
def test_bad_options_are_refused(tmp_path, told, options, capsys):
    path = spec(tmp_path, "[grid]\nlr = [0.1]")
    assert cli.main(["sweep", str(path), "--runs", str(tmp_path / "runs"), *options]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_file_that_is_not_there_is_named(tmp_path, capsys):
    assert cli.main(["sweep", str(tmp_path / "none.toml"), "--runs", str(tmp_path / "runs")]) == 2
    assert "none.toml cannot be read (No such file or directory)" in capsys.readouterr().err
