"""Synthetic runs of every kind for the tests of the pages."""

from pathlib import Path

from synthetic_run import SyntheticStream, synthetic_config

from app import reading
from esacl.errors import RunFailure
from esacl.store import RunStore

MAIN = Path(reading.__file__).parent / "main.py"
MARKUP = "<b>bold</b> ![i](http://elsewhere.invalid/i.png) $x$ :red[r] *s*"
KINDS = {
    "esacl": {"name": MARKUP},
    "ewc": {"method": "ewc", "sparsity": 0.9},
    "dense": {"method": "finetune", "sparsity": 0.0},
    "class": {"scenario": "class"},
    "domain": {"benchmark": "permuted-mnist", "tasks": 12},
    "joint": {"method": "joint", "sparsity": 0.0, "tasks": 2},
    "unmeasured": {"curvature": {"top": 0, "grid": 0}},
}


def record(store: RunStore, **fields) -> str:
    """Keep one synthetic run and return its id."""
    stream = {name: fields.pop(name) for name in ("failure",) if name in fields}
    config = synthetic_config(**fields)
    run_id = store.create(config)
    try:
        for _ in store.record(SyntheticStream(config, **stream), run_id):
            pass
    except RunFailure:
        pass
    return run_id


def lost(store: RunStore, run_id: str) -> str:
    """Make a run look as if its process had died in the second task."""
    folder = store.folder(run_id)
    (folder / "done.json").unlink()
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    (folder / "events.jsonl").write_text("".join(lines[:70]))
    return run_id
