"""Who may import whom, read from the sources and seen in fresh interpreters."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The record half: reads and keeps runs without torch. What each may use beside the standard library and numpy.
RECORD = {
    "esacl": (),
    "esacl.errors": (),
    "esacl.accelerators": (),
    "esacl.break_even": (),
    "esacl.normalisation": (),
    "esacl.config": ("pydantic",),
    "esacl.conflicts": (),
    "esacl.narrowest": (),
    "esacl.defaults": (),
    "esacl.protocols": (),
    "esacl.published": (),
    "esacl.refusal": ("pydantic",),
    "esacl.sections": ("pydantic",),
    "esacl.events": (),
    "esacl.event_lines": (),
    "esacl.event_file": (),
    "esacl.failures": (),
    "esacl.look": (),
    "esacl.metrics": (),
    "esacl.durable": (),
    "esacl.strict_json": (),
    "esacl.strict_toml": (),
    "esacl.labels": (),
    "esacl.locks": (),
    "esacl.logs": (),
    "esacl.formats": (),
    "esacl.tickets": (),
    "esacl.machine": (),
    "esacl.origin": (),
    "esacl.ranks": (),
    "esacl.arrays": (),
    "esacl.checkpoints": ("safetensors",),
    "esacl.records": (),
    "esacl.workers": (),
    "esacl.recording": (),
    "esacl.analysis_recording": (),
    "esacl.reproducing": (),
    "esacl.store": (),
    "esacl.trash": (),
    "esacl.bundles": (),
    "esacl.room": (),
    "esacl.unpacking": (),
    "esacl.zip_end": (),
    "esacl.summary": (),
    "esacl.outcomes": (),
    "esacl.printing": (),
    "esacl.comparing": (),
    "esacl.jobs": (),
    "esacl.device_locks": (),
    "esacl.device_turns": (),
    "esacl.priority": (),
    "esacl.processes": ("psutil",),
    "esacl.quota": (),
    "esacl.sweep": (),
    "esacl.sweep.spec": (),
    "esacl.sweep.record": (),
    "esacl.sweep.taking_over": (),
    "esacl.sweep.book": (),
    "esacl.sweep.resuming": (),
    "esacl.sources": (),
}
# The command line joins both halves; it loads the compute half inside the functions that compute.
COMMANDS = {
    "esacl.__main__": (),
    "esacl.cli": (),
    "esacl.commands": (),
    "esacl.run_commands": (),
    "esacl.analyse_command": (),
    "esacl.read_commands": (),
    "esacl.computing": ("torch",),  # inside a function
    "esacl.analysing": ("numpy", "torch"),  # torch inside a function
    "esacl.turns": (),
    "esacl.memory": ("torch",),  # inside a function
    "esacl.progress": ("tqdm",),
    "esacl.keeping": (),
    "esacl.exporting": (),
    "esacl.viewing": (),
    "esacl.stopping": (),
    "esacl.torchrun": (),
    "esacl.leader": (),
    "esacl.follower": (),
    "esacl.others": ("psutil", "torch"),  # torch inside a function
    "esacl.heartbeats": (),
    "esacl.resuming": (),
    "esacl.layout": ("numpy", "torch"),  # torch inside a function
    "esacl.serving": (),
    "esacl.doctor": ("torch",),  # inside a function
    "esacl.checkup": (),
    "esacl.fault_report": (),
    "esacl.anonymous": (),
    "esacl.sweep.command": (),
    "esacl.sweep.driver": (),
    "esacl.sweep.carry": (),
    "esacl.sweep.worker": (),
    "esacl.sweep.data": (),
    "esacl.sweep.gpus": (),
    "esacl.sweep.processes": (),
    "esacl.sweep.on_dask": ("distributed",),  # inside a function
    "esacl.sweep.on_worker": ("platformdirs",),
}
STORE = {
    "esacl.store", "esacl.recording", "esacl.analysis_recording", "esacl.event_file", "esacl.records", "esacl.durable",
    "esacl.arrays", "esacl.checkpoints", "esacl.failures",
}  # fmt: skip
FORBIDDEN_NAMES = {"utils", "helpers", "common", "types", "base"}
APP = ("streamlit", "plotly", "pandas")


def modules(folder: str) -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


LIBRARY = modules("esacl")
COMPUTE = {name: path for name, path in LIBRARY.items() if name not in RECORD and name not in COMMANDS}
PAGES = modules("app") | modules("pages")


def imports(path: Path, *, everywhere: bool = True) -> set[str]:
    """The modules that a file imports: all of them, or only those that importing the file loads."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide who imports whom"
            found |= {_submodule(node.module or "", alias.name) for alias in node.names}
        only_typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        later = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and not everywhere
        if only_typing or later:
            continue
        todo += ast.iter_child_nodes(node)
    return found


def _submodule(module: str, name: str) -> str:
    full = f"{module}.{name}"
    return full if full in LIBRARY or full in PAGES else module


def outside(names: set[str]) -> set[str]:
    """Packages of neither the standard library nor this project."""
    tops = {name.partition(".")[0] for name in names}
    return tops - set(sys.stdlib_module_names) - {"esacl", "app", "pages"}


def own(names: set[str], package: str = "esacl") -> set[str]:
    return {name for name in names if name == package or name.startswith(f"{package}.")}


def test_every_module_is_known_to_exist():
    assert LIBRARY.keys() >= RECORD.keys() | COMMANDS.keys()
    assert COMPUTE
    assert PAGES


@pytest.mark.parametrize("name", RECORD)
def test_the_record_half_needs_little_and_never_the_other(name):
    found = imports(LIBRARY[name])
    assert outside(found) <= {"numpy", *RECORD[name]}
    assert own(found) <= set(RECORD)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_load_the_compute_half_only_when_they_compute(name):
    assert outside(imports(LIBRARY[name])) <= {"numpy", *COMMANDS[name]}
    at_once = imports(LIBRARY[name], everywhere=False)
    assert own(at_once) <= set(RECORD) | set(COMMANDS)
    assert "torch" not in outside(at_once)


@pytest.mark.parametrize("name", COMPUTE)
def test_the_compute_half_never_touches_a_runs_folder_or_the_screen(name):
    found = imports(COMPUTE[name])
    assert not own(found) & (STORE | {"esacl.jobs", "esacl.summary"} | set(COMMANDS))
    assert not outside(found) & set(APP)


def test_methods_never_import_each_other():
    methods = {name for name in COMPUTE if name.startswith("esacl.methods.")}
    assert methods
    for name in methods:
        assert not imports(COMPUTE[name]) & (methods | {"esacl.methods"} - {name})


def reached_from(name: str) -> set[str]:
    """All modules of the library that importing `name` may come to load."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        for found in own(imports(LIBRARY[todo.pop()])) - seen:
            seen.add(found)
            todo.append(found)
    return seen


@pytest.mark.parametrize(
    ("name", "later"),
    [
        ("esacl.datasets", "esacl.tasks"),
        ("esacl.cifar", "esacl.tasks"),
        ("esacl.tiny_imagenet", "esacl.tasks"),
        ("esacl.tasks", "esacl.methods"),
        ("esacl.mask", "esacl.pruning"),
        ("esacl.curvature", "esacl.pruning"),
        ("esacl.pruning", "esacl.training"),
        ("esacl.training", "esacl.methods"),
        ("esacl.methods", "esacl.pipeline"),
    ],
)
def test_the_compute_half_is_built_upwards(name, later):
    assert name in COMPUTE
    assert later in COMPUTE
    assert later not in reached_from(name)


def test_the_app_reads_runs_and_never_computes():
    for name, path in PAGES.items():
        found = imports(path)
        assert own(found) <= set(RECORD), name
        assert not outside(found) & {"torch", "sklearn", "scipy", "pyhessian", "tqdm", "pooch"}, name


def test_pages_import_only_the_app_and_streamlit():
    for name, path in modules("pages").items():
        found = imports(path)
        assert outside(found) <= {"streamlit"}, name
        assert not own(found), name


def test_frames_and_figures_know_no_streamlit():
    drawn = {name: path for name, path in modules("app").items() if name.startswith(("app.frames", "app.figures"))}
    assert drawn
    for name, path in drawn.items():
        assert "streamlit" not in outside(imports(path)), name


def test_state_and_caches_of_streamlit_are_in_one_place_each():
    for name, path in PAGES.items():
        text = path.read_text(encoding="utf-8")
        assert ("st.session_state" in text) <= (name == "app.session"), name
        assert ("st.cache_" in text) <= (name == "app.reading"), name


def test_files_are_named_by_their_subject_and_stay_readable():
    for name, path in (LIBRARY | PAGES).items():
        assert name.rpartition(".")[2] not in FORBIDDEN_NAMES
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 350, f"{name} is too long: split it"


# Fresh interpreters


def loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_library_loads_almost_nothing():
    loaded = loaded_after("import esacl")
    assert not loaded & {"torch", "numpy", "pydantic"}


@pytest.mark.parametrize("name", [*RECORD, *COMMANDS])
def test_no_module_without_torch_loads_it(name):
    if name == "esacl.__main__":
        pytest.skip("its import is esacl.cli's")
    assert "torch" not in loaded_after(f"import {name}")


def test_the_public_names_of_the_record_half_load_no_torch():
    assert "torch" not in loaded_after("from esacl import RunConfig, RunStore, InputError, RunUnreadable, read_config")


def test_the_public_name_that_computes_is_there():
    assert "esacl.pipeline" in loaded_after("from esacl import run; assert callable(run)")


def test_the_commands_that_read_load_no_torch(tmp_path):
    code = f"from esacl.cli import main; assert main(['list', '--runs', {str(tmp_path)!r}]) == 0"
    assert "torch" not in loaded_after(code)


def test_the_app_and_its_pages_load_no_torch():
    names = [name for name in modules("app") if name != "app.main"]
    loads = "; ".join(f"import {name}" for name in names)
    loaded = loaded_after(loads)
    assert not loaded & {"torch", "sklearn", "scipy", "pyhessian"}
    assert set(names) <= loaded


def test_every_page_is_drawn_without_torch(tmp_path):
    pages = [f"../pages/{path.name}" for path in sorted((ROOT / "pages").glob("*.py"))]
    code = f"""
import os
os.environ["ESACL_RUNS"] = {str(tmp_path)!r}
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app/main.py", default_timeout=60).run()
for page in {pages!r}:
    app.switch_page(page).run()
    assert not app.exception, (page, app.exception)
"""
    assert not loaded_after(code) & {"torch", "sklearn", "scipy", "pyhessian"}
