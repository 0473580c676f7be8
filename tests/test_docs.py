"""README and CONTRIBUTING say what is true: their commands exist, their files too, and their recipes work."""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.provenance import ROOT
from esacl import cli
from esacl.config import RunConfig, config_with, parse_setting

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/RESULTS.md")
COPIED = ("esacl", "app", "pages", "assets", "benchmarks", "pyproject.toml")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RECIPE = re.compile(r"^### Adding an? (.+)$", re.MULTILINE)
RECIPES = ("method", "benchmark", "saliency", "score", "network", "event", "page", "language", "benchmark table")


def text_of(name: str) -> str:
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"{name} is not there")
    return path.read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> list[str]:
    return [body for language, body in BLOCK.findall(text) if language in languages]


def commands(text: str) -> list[str]:
    """Every command of the shell blocks, and every `command` of the prose that could be one."""
    lines = [line for body in blocks(text, "", "bash", "sh") for line in body.splitlines()]
    prose = BLOCK.sub("", text)
    lines += [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    parts = [part.strip() for line in lines for part in re.split(r"&&|\s\|\s", line.partition("#")[0])]
    return [part for part in parts if part]


def recipe(name: str) -> str:
    text = text_of("CONTRIBUTING.md")
    begins = {match[1]: match.end() for match in RECIPE.finditer(text)}
    return re.split(r"^##", text[begins[name] :], maxsplit=1, flags=re.MULTILINE)[0]


def new_files(text: str) -> dict[str, str]:
    """Blocks whose first line is a comment that names a file."""
    found = {}
    for body in blocks(text, "python", "toml", "po"):
        first, _, rest = body.partition("\n")
        if re.fullmatch(r"# [\w./-]+\.\w+", first):
            found[first[2:]] = rest
    return found


def edits(text: str) -> list[tuple[str, str, str]]:
    """(file, old text, new text) of every hunk of the diffs."""
    found = []
    for body in blocks(text, "diff"):
        for part in re.split(r"^--- ", body, flags=re.MULTILINE)[1:]:
            name, _, hunks = part.partition("\n")
            for hunk in re.split(r"^@@\n", hunks, flags=re.MULTILINE):
                lines = hunk.splitlines()
                assert all(line[:1] in (" ", "-", "+") for line in lines), f"odd line in a diff of {name}"
                old = "".join(line[1:] + "\n" for line in lines if line[0] in " -")
                new = "".join(line[1:] + "\n" for line in lines if line[0] in " +")
                found.append((name, old, new))
    return found


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """A copy of the project in which every recipe was followed."""
    copy = tmp_path_factory.mktemp("recipes")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
        elif source.exists():
            shutil.copy(source, copy / name)
    text = text_of("CONTRIBUTING.md")
    for name, content in new_files(text).items():
        assert not (copy / name).exists(), f"{name} is there already"
        (copy / name).write_text(content, encoding="utf-8")
    for name, old, new in edits(text):
        before = (copy / name).read_text(encoding="utf-8")
        assert before.count(old) == 1, f"{name} has the lines of a recipe {before.count(old)} times:\n{old}"
        (copy / name).write_text(before.replace(old, new), encoding="utf-8")
    return copy


def in_copy(copy: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy), "ESACL_RUNS": str(copy / "runs")}
    done = subprocess.run([sys.executable, *command], cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def test_there_is_a_recipe_for_everything_that_can_be_added():
    assert tuple(RECIPE.findall(text_of("CONTRIBUTING.md"))) == RECIPES
    for name in RECIPES:
        assert new_files(recipe(name)) or edits(recipe(name)), f"the recipe for a {name} adds nothing"
        assert blocks(recipe(name), "bash"), f"the recipe for a {name} does not say how to try it"


@pytest.mark.processes
def test_recipes_of_the_library_lead_to_runs_that_finish(followed):
    wanted = [line for name in RECIPES[:6] for body in blocks(recipe(name), "bash") for line in body.splitlines()]
    assert all(line.startswith("esacl run ") for line in wanted)
    small = ["--device", "cpu", "--train-limit", "40", "--json"]
    calls = [[*shlex.split(line)[1:], *small, *(f"--set=curvature.{k}=0" for k in ("top", "grid"))] for line in wanted]
    # One process for all of them: loading torch takes longer than the runs.
    code = f"from esacl import cli; raise SystemExit(max(cli.main(call) for call in {calls!r}))"
    results = [json.loads(line) for line in in_copy(followed, "-c", code).splitlines() if line.startswith("{")]
    assert [result["status"] for result in results] == ["finished"] * 6
    method, benchmark, saliency, score, network, _ = (result["config"] for result in results)
    assert (method["method"], benchmark["benchmark"]) == ("unanchored", "reversed-digits")
    assert (saliency["pruning"]["saliency"], score["ids"]["score"]) == ("squared", "entropy")
    assert network["network"] == "shallow"
    assert all(result["average_accuracy"] > 0.5 for result in results)
    last = sorted((followed / "runs").glob("2*"), key=lambda path: path.stat().st_mtime)[-1]
    assert (last / "events.jsonl").read_text().count('"event":"WeightsCounted"') == 2


def test_the_recipe_of_a_page_opens(followed, tmp_path):
    page = next(name for name in new_files(recipe("page")))
    code = f"""
from pathlib import Path
from streamlit.testing.v1 import AppTest
from esacl.config import RunConfig
from esacl.pipeline import run
from esacl.store import RunStore
config = RunConfig(tasks=2, epochs=1, train_limit=40, device="cpu", curvature=dict(top=0, levels=0, grid=0))
for event in RunStore("page-runs").record(run(config)):
    pass
import os
os.environ["ESACL_RUNS"] = "page-runs"
at = AppTest.from_file("app/main.py", default_timeout=60).run().switch_page("../{page}").run()
assert not at.exception, at.exception
assert not at.error, at.error
print(at.title[0].value, len(at.metric))
"""
    assert in_copy(followed, "-c", code).strip().splitlines()[-1] == "How fast was it? 1"


def test_the_recipe_of_a_language_leads_to_a_file_to_translate(followed):
    (body,) = blocks(recipe("language"), "bash")
    for command in body.splitlines():
        program, *words = shlex.split(command)
        assert program == "pybabel"
        in_copy(followed, "-W", "ignore", "-m", "babel.messages.frontend", *words)
    written = (followed / "app" / "texts" / "eo.po").read_text(encoding="utf-8")
    assert 'msgid "Overview"\nmsgstr "Superrigardo"' in written
    assert 'msgid "How fast was it?"\nmsgstr ""' in written
    code = """
from app import language
language.spoken_by(lambda: "eo")
print(language.text("Overview"), language.text("Sparsity"))
"""
    assert in_copy(followed, "-c", code).strip() == "Superrigardo Sparsity"


@pytest.mark.processes
def test_the_recipe_of_a_table_makes_one(followed):
    (command,) = (line for body in blocks(recipe("benchmark table"), "bash") for line in body.splitlines())
    out = in_copy(followed, *shlex.split(command)[1:], "--workers", "1")
    assert "| esacl, segment |" in out
    assert (followed / "benchmarks" / "results" / "forms.md").read_text() in out


def understood(words: list[str]) -> argparse.Namespace | int | str | None:
    """What the parser makes of a command: its options, or the code with which it exits."""
    try:
        return cli.parser().parse_args(words)
    except SystemExit as stop:
        return stop.code


def added_by_recipes() -> set[str]:
    """Names that a recipe puts into a dict."""

    def names(text: str) -> set[str]:
        return set(re.findall(r'"([\w-]+)"', text))

    return {name for _, old, new in edits(text_of("CONTRIBUTING.md")) for name in names(new) - names(old)}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_documented_command_of_esacl_is_understood(name):
    for command in commands(text_of(name)):
        words = shlex.split(command)
        if words[:1] != ["esacl"] or len(words) == 1 or "..." in words:
            continue
        args = understood(words[1:])
        assert args == 0 or isinstance(args, argparse.Namespace), f"`{command}` is not understood"
        if words[1] == "run" and args != 0 and not added_by_recipes() & set(re.split(r"[ =]", command)):
            keys = ("benchmark", "scenario", "method", "network", "sparsity", "tasks", "epochs", "train_limit", "seed")
            RunConfig(**{key: getattr(args, key) for key in keys})
            config_with(RunConfig(), dict(map(parse_setting, args.set)))


def test_every_command_is_documented_in_the_readme():
    actions = [a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction)]
    documented = {command.split()[1] for command in commands(text_of("README.md")) if command.startswith("esacl ")}
    assert set(actions[0].choices) <= documented


@pytest.mark.parametrize("name", DOCUMENTS)
def test_modules_that_are_started_and_files_that_are_named_exist(name):
    text = text_of(name)
    made = set(new_files(text_of("CONTRIBUTING.md")))
    for command in commands(text):
        if module := re.match(r"python -m ([\w.]+)", command):
            assert (ROOT / f"{module[1].replace('.', '/')}.py").exists() or module[1] == "esacl", command
    named = set(re.findall(r"\]\(((?!https?:)[^)#\s]+)\)", text))
    named |= set(re.findall(r"\b((?:esacl|app|pages|assets|benchmarks|tests)/[\w./-]*\w/?)", BLOCK.sub("", text)))
    named |= set(re.findall(r"`(\.?[\w-]+\.(?:txt|toml|md))`", text))
    # What a user's machine makes is in no checkout.
    ours = {path for path in named - made if not path.startswith("benchmarks/results")}
    missing = {path for path in ours if not ((ROOT / path).exists() or ((ROOT / name).parent / path).exists())}
    assert not missing, f"{name} names files that are not there"


def test_requirements_that_are_installed_exist():
    for name in ("README.md", "CONTRIBUTING.md"):
        for command in commands(text_of(name)):
            if command.startswith("pip install -r"):
                assert (ROOT / command.split()[-1]).exists()
    assert "pip install -r requirements.txt && streamlit run app/main.py" in text_of("README.md")
    assert "pip install -r requirements-dev.txt && pytest" in text_of("README.md")


def test_ci_starts_from_nothing_and_ends_with_the_tests():
    path = ROOT / ".ci" / "run"
    assert os.access(path, os.X_OK)
    lines = path.read_text().splitlines()
    assert "set -euo pipefail" in lines
    assert lines[-1] == "CI=true pytest"
    assert any("-m venv" in line for line in lines)
    assert any("requirements-dev.txt" in line for line in lines)


def test_no_document_names_a_place_of_this_machine():
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    for name in [n for n in names if n.endswith((".md", ".toml")) or n == ".ci/run"]:
        assert not re.search(r"/(?:tmp|home|root|work|Users)/", (ROOT / name).read_text(encoding="utf-8")), name
