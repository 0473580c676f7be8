"""A folder of many runs, as a class or a sweep leaves it: those that come with the project, under other settings."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

SPARSITIES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99)
SEEDS = 10


def many(root: Path, count: int, source: Path) -> list[str]:
    """Make `count` finished runs below `root` and return their ids, oldest first.

    Every run has a config and an end of its own; events and arrays are those of a run of `source`, kept once on the
    disk and linked, so that a thousand take seconds and no room. Ten seeds make a group, as in a sweep.

    Args:
        root: The runs folder; made where there is none.
        count: How many.
        source: A folder of recorded runs, as `assets/`.
    """
    root.mkdir(parents=True, exist_ok=True)
    held = root / ".source"
    templates = [_copied(folder, held) for folder in sorted(source.glob("*-split-*")) if folder.is_dir()]
    return [_run(root, templates[place % len(templates)], place // len(templates)) for place in range(count)]


def _copied(folder: Path, held: Path) -> tuple[Path, dict[str, Any]]:
    copy = held / folder.name
    shutil.copytree(folder, copy)
    return copy, json.loads((copy / "config.json").read_text(encoding="utf-8"))


def _run(root: Path, template: tuple[Path, dict[str, Any]], number: int) -> str:
    source, config = template
    group, seed = divmod(number, SEEDS)
    strength = round(0.01 * (1 + group // len(SPARSITIES)), 4)
    settings = {**config, "seed": seed, "sparsity": SPARSITIES[group % len(SPARSITIES)], "name": ""}
    settings["anchor"] = {**config["anchor"], "strength": strength}
    when = f"202601{1 + number // 1440 % 28:02d}-{number // 60 % 24:02d}{number % 60:02d}00"
    folder = root / f"{when}-{config['benchmark']}-{config['method']}-{number:06d}"
    (folder / "arrays").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    for file in source.rglob("*"):
        if file.is_file() and file.name not in ("config.json", "label.json"):
            os.link(file, folder / file.relative_to(source))
    return folder.name
