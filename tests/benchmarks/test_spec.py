import tomllib
from pathlib import Path

import pytest

from benchmarks.spec import read_spec
from esacl.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted((ROOT / "benchmarks").glob("*.toml"))


def write(folder, text):
    path = folder / "some.toml"
    path.write_text(text)
    return path


class Anything(dict):
    """Tuned settings of every name."""

    def __contains__(self, name):
        return True

    def __getitem__(self, name):
        return {"lr": 0.01}


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_published_specs_hold_runs_that_config_accepts(path):
    spec = read_spec(path, Anything())
    for row in spec.rows:
        for trial in row.trials:
            config = row.config(0, spec.evaluation, trial)
            assert (config.curvature.top, config.curvature.levels, config.curvature.grid) == (0, 0, 0)
            assert config.threads == 1


@pytest.mark.parametrize("path", [p for p in SPECS if p.stem.startswith("tune")], ids=lambda path: path.stem)
def test_tuning_gives_every_method_as_many_trials(path):
    assert len({len(row.trials) for row in read_spec(path).rows}) == 1


TUNED = [path for path in SPECS if "tuned" in tomllib.loads(path.read_text())]


@pytest.mark.parametrize("path", TUNED, ids=lambda path: path.stem)
def test_tuned_names_are_rows_of_the_tuning(path):
    table = tomllib.loads(path.read_text())
    files = [table["tuned"]] if isinstance(table["tuned"], str) else table["tuned"]
    tuned = {row.name for file in files for row in read_spec(path.parent / Path(file).name).rows}
    asked = {row["tuned"] for row in table["row"] if "tuned" in row}
    assert asked
    assert asked <= tuned


def test_each_makes_rows_and_grid_makes_trials(tmp_path):
    path = write(
        tmp_path,
        """
        reference = "a"
        [common]
        epochs = 2
        [[row]]
        name = "a"
        each = { sparsity = [0.8, 0.95], "sdp.every" = [5] }
        grid = { lr = [0.1, 0.2], "anchor.strength" = [1, 2, 3] }
        [[row]]
        name = "b"
        sdp.form = "segment"
        each = { sparsity = [0.95, 0.98], "sdp.every" = [5] }
        [[row]]
        name = "c"
        method = "finetune"
        grid = [{ lr = [0.1, 0.2] }, { lr = [0.1], "anchor.strength" = [1] }]
        """,
    )
    spec = read_spec(path)
    first, second, third, fourth, last = spec.rows
    assert last.trials == ({"lr": 0.1}, {"lr": 0.2}, {"lr": 0.1, "anchor.strength": 1})
    assert first.name == "a, 80%, sdp.every 5"
    assert second.settings == {"epochs": 2, "sparsity": 0.95, "sdp.every": 5}
    assert len(first.trials) == 6
    assert third.config(3, "test").sdp.form == "segment"
    assert last.config(3, "validation").evaluation == "validation"
    assert spec.partner(third) == second.name  # the same variant of the reference
    assert spec.partner(second) is None  # it is the reference
    assert spec.partner(fourth) is None  # the reference has no 98%


def test_tuned_settings_come_before_what_each_varies(tmp_path):
    (tmp_path / "chosen.toml").write_text('["x"]\nlr = 0.2\nanchor.strength = 7\n')
    path = write(tmp_path, 'tuned = "chosen.toml"\n[[row]]\nname = "r"\ntuned = "x"\neach = { lr = [0.5] }\n')
    assert read_spec(path).rows[0].settings == {"lr": 0.5, "anchor.strength": 7}


def test_rows_find_what_was_tuned_in_several_files_under_one_name_each(tmp_path):
    (tmp_path / "a.toml").write_text('["x"]\nlr = 0.2\n')
    (tmp_path / "b.toml").write_text('["y"]\nlr = 0.3\n')
    head = 'tuned = ["a.toml", "b.toml"]\n'
    rows = "".join(f'[[row]]\nname = "{name}"\ntuned = "{name}"\n' for name in "xy")
    assert [row.settings for row in read_spec(write(tmp_path, head + rows)).rows] == [{"lr": 0.2}, {"lr": 0.3}]
    (tmp_path / "b.toml").write_text('["x"]\nlr = 0.3\n')
    with pytest.raises(InputError, match="'x' was tuned in two of the files"):
        read_spec(write(tmp_path, head + rows))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no"),
        ("nonsense = 1", "unknown key 'nonsense'"),
        ("= 3", "is not TOML"),
        ("[[row]]\nlr = 1", "has no name"),
        ('[[row]]\nname = "a"\n[[row]]\nname = "a"', "two rows are named 'a'"),
        ('reference = "z"\n[[row]]\nname = "a"', "reference 'z' is no row"),
        ('[[row]]\nname = "a"\ntuned = "a"', "by `tuned`"),
        ('tuned = "no.toml"\n[[row]]\nname = "a"\ntuned = "a"', "benchmarks.tune"),
    ],
)
def test_bad_specs_are_named(tmp_path, text, complaint):
    with pytest.raises(InputError, match=complaint):
        read_spec(write(tmp_path, text))


def test_a_missing_file_and_a_bad_setting_are_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_spec(tmp_path / "none.toml")
    row = read_spec(write(tmp_path, '[[row]]\nname = "odd"\nlr = "fast"')).rows[0]
    with pytest.raises(InputError, match="row 'odd': lr"):
        row.config(0, "test")
