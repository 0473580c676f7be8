"""`esacl app` and `esacl compare --html`: start what belongs to the app, in a process of its own."""

import contextlib
import importlib.util
import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import esacl
from esacl import jobs, logs, machine
from esacl.durable import named_file, not_lost, outside_of_runs
from esacl.errors import InputError
from esacl.store import RunStore

DEFAULT_PORT, DEFAULT_ADDRESS = 8501, "127.0.0.1"
_REPORT = re.compile(
    rb"<!doctype html>\n<html lang=\"[a-zA-Z-]+\"><head><meta charset=\"utf-8\">\n"
    rb"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; script-src 'sha256-"
)


def serve(runs: Path, data: Path | None, options: Sequence[str]) -> int:
    """Become the Streamlit server; returns only where that fails.

    Raises:
        InputError: Streamlit or the app is not installed, an option is malformed, or the port is in use.
    """
    main = find_app()
    if importlib.util.find_spec("streamlit") is None:
        raise InputError("streamlit is not installed; `pip install -r requirements.txt` installs it")
    _check_port(option(options, "server.port"), option(options, "server.address") or DEFAULT_ADDRESS)
    store = RunStore(runs.absolute())
    if runs.is_dir():
        logs.note(logs.server_log(store.root), "server", versions=machine.facts()["versions"])
    jobs.recover(store)  # what was owed when the last server, or the machine, went down
    os.environ["ESACL_RUNS"] = str(runs.absolute())
    if data is not None:
        os.environ["ESACL_DATA"] = str(data.absolute())
    # The theme and the safe defaults lie beside the main script, where Streamlit looks too.
    os.chdir(main.parent.parent)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(main), *options])  # noqa: S606


def report(runs: Path, ids: Sequence[str], out: Path, *, module: str = "app.report", option: str = "--html") -> None:
    """Write a page about these runs, figures and all; drawing them is the app's work, so the app is asked.

    Args:
        runs: where they are.
        ids: which.
        out: the file.
        module: what draws the page: `app.report` many runs beside each other, `app.run_report` one.
        option: what the user has typed, for an error.

    Raises:
        InputError: the app is not installed, or the page cannot be written, lies among the runs, or would be put over
            what is no report.
    """
    missing = [name for name in ("streamlit", "pandas") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{option} needs {missing[0]} to draw; `pip install -r requirements.txt` installs it")
    outside_of_runs(out, runs)
    if out.is_file() or not out.exists():  # a pipe gets it as it is
        named_file(out)
        not_lost(out, own=_is_report(out), what="report")
    command = [sys.executable, "-m", module, "--runs", str(runs.absolute()), "--out", str(out.absolute()), *ids]
    done = subprocess.run(command, cwd=find_app().parent.parent, capture_output=True, text=True)
    if done.returncode:
        told = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
        raise InputError(told[-1] if told else f"{out} could not be drawn ({done.stderr.strip()[-200:]})")


def _is_report(path: Path) -> bool:
    """Whether a file begins as the app's documents do: with a policy that names their one script."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return _REPORT.match(file.read(500)) is not None
    return False


def find_app() -> Path:
    """The app's main file, beside the library.

    Raises:
        InputError: this installation has no app.
    """
    root = Path(esacl.__file__).resolve().parents[1]
    main = root / "app" / "main.py"
    if not main.is_file() or not (root / "pages").is_dir():
        raise InputError(f"the app is not beside {root / 'esacl'}; clone the project and `pip install -e .` there")
    return main


def option(options: Sequence[str], name: str) -> str | None:
    """The value of `--name value` or `--name=value`; the last one counts."""
    found = None
    for given, following in zip(options, [*options[1:], None]):
        if given == f"--{name}":
            found = following
        elif given.startswith(f"--{name}="):
            found = given.partition("=")[2]
    return found


def _check_port(given: str | None, address: str) -> None:
    try:
        port = int(given) if given is not None else DEFAULT_PORT
        if not 0 <= port < 65536:
            raise ValueError
    except ValueError:
        raise InputError(f"--server.port {given!r} is not a port; choose 1024 to 65535") from None
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        free = port + 1 if 1024 <= port < 65535 else DEFAULT_PORT
        cause = f"port {port} on {address} cannot be used ({error.strerror})"
        raise InputError(f"{cause}; choose another: esacl app --server.port {free}") from None
