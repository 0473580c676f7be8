"""What happens on a Dask worker: a run is computed in a folder of the worker's own and sent back as one checked file.

The workers need share no disk. Where two of them do, as on one machine, a run that one has left is gone on with by
the other from its last checkpoint.
"""

import contextlib
import io
import re
import shutil
import time
from pathlib import Path
from typing import Any

import platformdirs

from esacl import bundles, jobs, sources
from esacl.config import RunConfig
from esacl.errors import InputError, RunUnreadable
from esacl.store import RunStore
from esacl.sweep import data as datasets
from esacl.sweep.carry import carry
from esacl.sweep.driver import POLL

STOP = "STOP"


def about(token: str, code: str, benchmarks: list[str], data: str | None) -> str:
    """Why this worker cannot compute these benchmarks for that code (`sources.told`); nothing where it can.

    An earlier `stop` of the sweep is taken back.
    """
    (scratch(token) / STOP).unlink(missing_ok=True)
    if code != sources.told():
        return f"it has {sources.told()}, and here is {code}; install the same on both"
    return datasets.missing(benchmarks, Path(data) if data else None)


def compute(token: str, fields: dict[str, Any], data: str | None, environment: dict[str, str]) -> dict[str, Any]:
    """Compute the run of a config, go on with one that was left here, or send again one that is finished.

    Returns:
        `state` and `detail` of its end, `run`, its id here, and `bundle`, the file; None where it was cancelled.
    """
    folder = scratch(token)
    folder.mkdir(parents=True, exist_ok=True)
    store, config = RunStore(folder), RunConfig.from_dict(fields)
    run_id = _begun(store, config) or store.create(config)
    while True:
        status = store.status(run_id)
        if status.state != "finished":
            for _ in carry(store, run_id, Path(data) if data else None, environment, bound=True):
                if (folder / STOP).exists():
                    _cancel(store, run_id)
                time.sleep(POLL)
            status = store.status(run_id)
        if status.state != "cancelled" or (folder / STOP).exists():
            break  # else it ended with another worker of this machine
    state = status.state if status.state in ("finished", "cancelled") else "failed"
    if state == "finished":
        _keep_the_last(folder / run_id / "checkpoints")
    packed = None if state == "cancelled" else _packed(store, run_id, checkpoints=state == "finished")
    return {"state": state, "detail": status.detail, "run": run_id, "bundle": packed}


def stop(token: str) -> None:
    """Cancel the sweep's runs on this machine; they stay, to be gone on with."""
    with contextlib.suppress(OSError):
        (scratch(token) / STOP).touch()


def forget(token: str) -> None:
    """Delete what the sweep has left on this machine, once all its runs are where they belong."""
    shutil.rmtree(scratch(token), ignore_errors=True)


def scratch(token: str) -> Path:
    """Where a sweep's runs are while they are computed: in the cache folder of the worker's user.

    Raises:
        InputError: not the token of a sweep.
    """
    if not re.fullmatch(r"[0-9a-f]{32}", token):
        raise InputError(f"{token!r:.40} is not the token of a sweep; start it again")
    return platformdirs.user_cache_path("esacl") / "sweeps" / token


def _begun(store: RunStore, config: RunConfig) -> str | None:
    for run_id in store.ids():
        with contextlib.suppress(RunUnreadable):
            if store.config(run_id).digest == config.digest:
                return run_id
    return None


def _cancel(store: RunStore, run_id: str) -> None:
    # Once: a run takes the age of the request for how long it has been waited for.
    if store.workers.alive(run_id) and not (store.folder(run_id) / "CANCEL").exists():
        store.cancel(run_id)
    jobs.reap(store)


def _keep_the_last(checkpoints: Path) -> None:
    """Of a finished run that of its end, from which its network is exported; there is nothing to go on with."""
    for path in sorted(checkpoints.glob("*.safetensors"))[:-1]:
        path.unlink(missing_ok=True)


def _packed(store: RunStore, run_id: str, *, checkpoints: bool) -> bytes:
    file = io.BytesIO()
    bundles.write_bundle(store, run_id, file, checkpoints=checkpoints)
    return file.getvalue()
