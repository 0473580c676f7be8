"""What a published number must name: command, hardware, versions, commit, date, and which code made it."""

import ast
import collections
import datetime as dt
import hashlib
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from esacl import machine

ROOT = Path(__file__).resolve().parent.parent
# What a run imports beside these is the record half and the app: they cannot change a number. `summary` can.
_NOT_COMPUTE = {
    "__init__", "__main__", "accelerators", "analyse_command", "analysing", "analysis_recording", "anonymous",
    "arrays", "bundles", "checkpoints", "checkup", "cli", "commands", "comparing", "computing", "device_locks",
    "device_turns", "doctor", "durable", "event_file", "event_lines", "failures", "fault_report", "follower",
    "formats", "heartbeats", "jobs", "keeping", "labels", "layout", "leader", "locks", "logs", "machine", "memory",
    "narrowest", "origin", "others", "printing", "priority", "processes", "progress", "quota", "ranks",
    "read_commands", "recording", "records", "reproducing", "resuming", "room", "run_commands", "serving", "sources",
    "stopping", "store", "strict_json", "strict_toml", "tickets", "torchrun", "trash", "turns", "unpacking", "viewing",
    "workers", "zip_end",
}  # fmt: skip
_NOT_COMPUTE_FOLDERS = {"sweep"}


def code_digest(root: Path = ROOT) -> str:
    """Eight hex digits of the code that computes and measures: its syntax without comments and docstrings.

    A result is reused only where this is the same, so that editing a comment does not cost a night of benchmarks
    and editing a formula does.
    """
    digest = hashlib.sha256()
    package = root / "esacl"
    for path in (*sorted(package.rglob("*.py")), root / "benchmarks" / "once.py"):
        computes = path.parent != package or path.stem not in _NOT_COMPUTE
        if computes and path.parent.name not in _NOT_COMPUTE_FOLDERS:
            tree = _without_docstrings(ast.parse(path.read_text(encoding="utf-8")))
            digest.update(f"{path.relative_to(root).as_posix()}:{ast.dump(tree)}".encode())
    return digest.hexdigest()[:8]


def commit() -> str:
    """The commit of the checkout, marked where the package differs from it."""
    head = _git("rev-parse", "--short=12", "HEAD") or "no repository"
    return head + (" with changes" if _git("status", "--porcelain", "--", "esacl", "benchmarks/*.py") else "")


def processor() -> str:
    """The processor and a digest of its instructions: sums of floats differ between those that differ here."""
    hardware = machine.facts()["hardware"]
    return " ".join([hardware["cpu"], *([hardware["instructions"]] if "instructions" in hardware else [])])


def header(title: str, note: str, command: str, made_by: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """The lines above a table. `made_by`: records of the runs in it; empty = this very run."""
    facts = machine.facts()
    hardware, versions = facts["hardware"], facts["versions"]
    memory = f", {hardware['memory_bytes'] / 2**30:.0f} GiB" if hardware["memory_bytes"] else ""
    named = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    return [
        f"# {title}",
        "",
        *([note, ""] if note else []),
        f"    {command}",
        "",
        f"- Hardware: {hardware['cpu']}, {hardware['cores']} cores{memory}, {hardware['system']}",
        f"- Versions: {named}",
        f"- Commit: {', '.join(sorted({record['commit'] for record in made_by})) or commit()}; code {code_digest()}",
        *_by_commit(made_by),
        *_elsewhere(made_by),
        *_confirmed(made_by),
        f"- Date: {dt.datetime.now(tz=dt.UTC):%Y-%m-%d}",
        "",
    ]


def _elsewhere(made_by: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tells lines of other processors than today's from the rest; nothing where there are none."""
    here, by_processor = processor(), collections.defaultdict(list)
    for record in made_by:
        by_processor[record.get("processor", here)].append(record["row"])
    return [f"- On {name}: {'; '.join(rows)}" for name, rows in sorted(by_processor.items()) if name != here]


def _by_commit(made_by: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which rows which commit made; nothing where one made all."""
    rows = collections.defaultdict(set)
    for record in made_by:
        rows[record["commit"]].add(record["row"].rpartition(", seed ")[0])
    if len(rows) < 2:
        return []
    every = list(dict.fromkeys(record["row"].rpartition(", seed ")[0] for record in made_by))
    return [f"- {commit} made: {'; '.join(row for row in every if row in rows[commit])}" for commit in sorted(rows)]


def _confirmed(made_by: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is said of lines that other code made and a run by today's confirmed."""
    by = sorted({record["confirmed"] for record in made_by if "confirmed" in record})
    count = sum("confirmed" in record for record in made_by)
    told = "runs of earlier code, kept since the first of their row, run again, gave the same to the last digit"
    return [f"- {count} {told}: {', '.join(by)}"] if by else []


def this_command(module: str, leave_out: tuple[str, ...] = ("--data", "--out")) -> str:
    """The command that is running, as a reader would type it: without where this machine keeps its files."""
    words, skip = [], False
    for word in sys.argv[1:]:
        if skip:
            skip = False
        elif word in leave_out:
            skip = True
        elif not word.startswith(tuple(f"{option}=" for option in leave_out)):
            words.append(_relative(word))
    return f"python -m {module} {shlex.join(words)}".rstrip()


def _relative(word: str) -> str:
    path = Path(word)
    return path.relative_to(ROOT).as_posix() if path.is_absolute() and path.is_relative_to(ROOT) else word


def keep(path: Path, lines: Iterable[str]) -> None:
    """Write a report and print it."""
    text = "\n".join(lines) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(text)


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [s for s in node.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    return tree
