"""What people pass on and what reads it: for each reader of `fuzz` examples of what it takes.

A reader that returns has taken an input, one that raises `InputError` has refused it; nothing else may come of it.
"""

import gzip
import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save

from esacl import jobs, quota
from esacl.archives import unpack
from esacl.arrays import read_arrays, write_arrays
from esacl.bundles import export_run
from esacl.checkpoints import newest
from esacl.config import RunConfig
from esacl.datasets import read_idx
from esacl.durable import read_json
from esacl.errors import InputError
from esacl.event_lines import from_line, to_line
from esacl.events import (
    ArrayRecorded,
    Cancelled,
    CheckpointReady,
    Evaluated,
    Failed,
    RunFinished,
    Stepped,
    TaskStarted,
)
from esacl.export.compact import as_compact, read_compact
from esacl.formats import numbered
from esacl.labels import label_of
from esacl.pickles import array_of, read_pickle
from esacl.printing import result_text
from esacl.records import read_config_file, read_events, read_measured
from esacl.run_commands import config_of, settings_of
from esacl.store import RunStore
from esacl.summary import summarise
from esacl.sweep.record import read_sweep
from esacl.sweep.spec import read_spec
from esacl.tiny_imagenet import read_image
from esacl.unpacking import import_run

RUN = "20260101-000000-a"


@dataclass(frozen=True)
class Reader:
    """Something that reads what people pass on: examples of what it takes, and how it is given an input."""

    seeds: tuple[bytes, ...]
    read: Callable[[bytes, Path], object]


def _file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    def given(content: bytes, folder: Path) -> object:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return read(path)

    return given


def _event_lines() -> tuple[bytes, ...]:
    step = Stepped(
        task=0, epoch=1, step=2, steps=3, loss=0.5, learning_rate=0.1, ramp=0.5, density=0.1, flips=3,
        doomed_share=0.2, selection_ratio=None, selection_open=False,
    )  # fmt: skip
    task = TaskStarted(task=0, class_names=("a", "ä"), train_examples=8, evaluation_examples=4, epochs=2, steps=4)
    score = Evaluated(after=0, on=0, accuracy=0.9, loss=0.1, accuracy_task=None, examples=4)
    return tuple(
        to_line(event).encode() for event in (step, task, score, Failed(error="x"), Cancelled(), RunFinished())
    )


def _arrays(content: bytes, folder: Path) -> object:
    return _file("a.npz", read_arrays)(content, folder)


def _written_arrays() -> tuple[bytes, ...]:
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "names": np.array(["a", "b"])}
    with tempfile.TemporaryDirectory() as folder:
        write_arrays(Path(folder) / "a.npz", arrays)
        packed = (Path(folder) / "a.npz").read_bytes()
    out = io.BytesIO()
    np.savez(out, **arrays)
    return packed, out.getvalue()


def _checkpoints() -> tuple[bytes, ...]:
    meta = {"task": 0, "epoch": 1, "offset": 0, "lines": 0, "counters": {"flips": 1, "ledger": {"train_flops": 1.0}}}
    tensors = {"network/w": np.arange(6, dtype=np.float32).reshape(2, 3), "cut/w": np.array([True, False])}
    return save(tensors, metadata={"esacl": json.dumps(meta)}), save({}, metadata={"esacl": json.dumps(meta)})


def _archives() -> tuple[bytes, ...]:
    files = {"pictures/one": b"1" * 40, "pictures/sub/two": b"22"}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue(), plain.getvalue(), gzip.compress(plain.getvalue())


def _unpacked(content: bytes, folder: Path) -> object:
    place = folder / "unpacked"
    shutil.rmtree(place, ignore_errors=True)
    return _file("unpacked/archive", lambda path: unpack(path, place / "pictures"))(content, folder)


def _pickles() -> tuple[bytes, ...]:
    rows = np.arange(2 * 30).reshape(2, 30).astype(np.uint8)
    values = {b"labels": [1, 2], b"data": rows, b"names": [b"cat"]}
    return tuple(pickle.dumps(values, protocol=protocol) for protocol in (2, 3, 4))


def _pickled(path: Path) -> object:
    found = read_pickle(path, 2**20, "get another")
    return array_of(found.get("data"), path, "get another")


def _idx() -> tuple[bytes, ...]:
    content = struct.pack(">HBB3I", 0, 8, 3, 2, 4, 4) + bytes(range(32))
    return content, gzip.compress(content)


def _images() -> tuple[bytes, ...]:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    found = []
    for mode, quality in (("RGB", 60), ("L", 60)):
        out = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(out, "JPEG", quality=quality)
        found.append(out.getvalue())
    return tuple(found)


def _configs() -> tuple[bytes, ...]:
    new = numbered(RunConfig().to_dict())
    old = {name: value for name, value in new.items() if name != "format"}
    return tuple(json.dumps(fields).encode() for fields in (new, old, {"method": "er", "buffer": {"size": 20}}))


TOML = (
    b'method = "esacl"\nsparsity = 0.9\n[sdp]\nevery = 20\nform = "admm"\n',
    b"tasks = 2\nlr = 1e-2\n[ids]\nfraction = 0.1",
)
SETTINGS = (b"sdp.every=20", b"name='a b'", b"curvature.top=[1, 2]", b"lr=1e-3")


def _compact() -> tuple[bytes, ...]:
    rng = np.random.default_rng(0)

    def tensor(*shape: int, density: float) -> np.ndarray:
        return (rng.normal(size=shape) * (rng.random(shape) < density)).astype(np.float32)

    tensors = {
        "dense": tensor(3, density=1.0), "bitmask": tensor(8, 8, density=0.4), "gaps": tensor(20, 30, density=0.05),
        "csr": tensor(2, 900, density=0.004), "scalar": tensor(density=1.0), "none": tensor(0, 3, density=0.0),
    }  # fmt: skip
    each = [as_compact({name: array}, {"format": 1}) for name, array in tensors.items()]
    return as_compact(tensors, {"format": 1, "scenario": "task"}), *each


def _bundle() -> bytes:
    """A bundle of a short run that ended."""
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore(Path(folder) / "runs")
        run_id = store.create(RunConfig(tasks=2))
        state = CheckpointReady(task=0, epoch=1, tensors={"w": np.ones(2, np.float32)}, counters={"flips": 1})
        events = [ArrayRecorded(name="a", arrays={"x": np.arange(4.0)}), state, RunFinished()]
        list(store.record(iter(events), run_id))
        store.rename(run_id, "a name")
        return export_run(store, run_id, Path(folder) / "b", checkpoints=True).read_bytes()


def _unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(members: dict[str, bytes]) -> bytes:
    """The bundle of these members, stored; its list says what is in it, unless it is one of them."""
    if "bundle.json" not in members:
        files = [{"path": n, "bytes": len(d), "sha256": hashlib.sha256(d).hexdigest()} for n, d in members.items()]
        told = {"format": "esacl run bundle", "version": 1, "run": RUN, "esacl": "0", "files": files}
        members = {"bundle.json": json.dumps(told).encode()} | members
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def _imported(content: bytes, folder: Path) -> object:
    store = RunStore(folder / "imported")
    try:
        run_id = import_run(store, io.BytesIO(content), name="x")
    except InputError:
        assert os.listdir(store.root) == [], "something is left of a bundle that was refused"
        raise
    else:  # what was taken in is shown, and no page may break on it
        told = summarise(store.read(run_id))
        result_text(told).encode()
        return json.dumps(told, allow_nan=False, ensure_ascii=False).encode()
    finally:
        shutil.rmtree(store.root, ignore_errors=True)


BUNDLE = _bundle()
MEMBERS = {name: data for name, data in _unzipped(BUNDLE).items() if name != "bundle.json"}


def _with_member(content: bytes, folder: Path) -> object:
    """`name`, a line end, and what is in the bundle under it; the list of the bundle fits."""
    name, _, data = content.partition(b"\n")
    members = {**MEMBERS, name.partition(b"\0")[0].decode("cp437") or "x": data}
    return _imported(_zipped(members), folder)


def _with_list(content: bytes, folder: Path) -> object:
    return _imported(_zipped({"bundle.json": content, **MEMBERS}), folder)


SWEEPS = (
    b'seeds = [0, 1]\n[common]\ntasks = 2\n[grid]\nmethod = ["er", "ewc"]\nsparsity = [0.5, 0.9]\n',
    b'[[run]]\nmethod = "finetune"\nlr = [1e-2, 1e-3]\n[[run]]\nsdp.every = 5\n',
    b'[common.buffer]\nsize = 20\n[grid]\n"ids.fraction" = [0.1, 0.5]\n',
)


def _records() -> tuple[bytes, ...]:
    rows = [
        {"label": "method=er", "run": RUN, "state": "running", "detail": "", "since": 1.5, "seconds": None},
        {"label": "b", "run": None, "state": "finished", "detail": "x", "since": 1, "seconds": 2.5},
    ]
    told = {"format": 1, "sweep": "s", "file": "/s.toml", "engine": "process", "workers": 2, "rows": rows, "others": []}
    return (json.dumps(told).encode(), json.dumps(told | {"token": "0" * 32, "others": [RUN, "../x"]}).encode())


TICKETS = tuple(
    json.dumps({"command": command, "data": "/data", "owner": "ada", "deaths": 1, "mark": ""}).encode()
    for command in (["run", "--into", RUN], ["resume", RUN], ["analyse", RUN, "spectrum", "--probes", "4"])
)


def _ticket(content: bytes, folder: Path) -> object:
    """A server that starts, and finds a ticket of this content."""
    store = RunStore(folder / "served")
    if not (store.root / RUN).exists():
        (store.root / RUN).mkdir(parents=True)
        (store.root / RUN / "config.json").write_bytes(_configs()[0])
    shutil.rmtree(store.workers.queue.folder, ignore_errors=True)
    store.workers.queue.draw(RUN, "cpu", 1, {})
    store.workers.queue.begin(RUN)
    ticket = store.workers.queue.of(RUN)
    assert ticket is not None
    ticket.path.write_bytes(content)
    quota.jobs_of(store, "ada")
    before, jobs._spawn = jobs._spawn, _would_start
    try:
        return jobs.recover(store)
    finally:
        jobs._spawn = before


def _would_start(store: RunStore, run_id: str, command: list[str], data: Path | None) -> None:
    """What starting a process asks of its arguments."""
    for word in [*command, str((data or Path()).absolute())]:
        if b"\0" in os.fsencode(word):
            raise ValueError("embedded null byte")


def _owner(content: bytes, folder: Path) -> object:
    return _file(f"owned/{RUN}/{quota.OWNER}", lambda path: quota.owner_of(RunStore(path.parents[1]), RUN))(
        content, folder
    )


READERS: dict[str, Reader] = {
    "event": Reader(_event_lines(), lambda content, _: from_line(content)),
    "events": Reader((b"\n".join(_event_lines()) + b"\n",), _file("events.jsonl", read_events)),
    "setting": Reader(SETTINGS, lambda content, _: settings_of([content.decode("latin1")])),
    "config": Reader(_configs(), _file("config.json", lambda path: read_config_file(path.parent))),
    "toml": Reader(TOML, _file("c.toml", lambda path: config_of(path, {}))),
    "json": Reader((b'{"status": "failed", "detail": "x", "events": 3}',), _file("done.json", read_json)),
    "label": Reader((b'{"name": "a name"}',), _file("named/label.json", lambda path: label_of(path.parent))),
    "measured": Reader((b'{"events": 3, "seconds": 1.5}\n' * 3,), _file("m.jsonl", read_measured)),
    "arrays": Reader(_written_arrays(), _arrays),
    "checkpoint": Reader(_checkpoints(), _file("checkpoints/000-00001.safetensors", lambda path: newest(path.parent))),
    "compact": Reader(_compact(), _file("network.esacl", read_compact)),
    "bundle": Reader((BUNDLE, _zipped(MEMBERS)), _imported),
    "bundle, a file of it": Reader(tuple(b"%s\n%s" % (n.encode(), d) for n, d in MEMBERS.items()), _with_member),
    "bundle, its list": Reader((_unzipped(_zipped(MEMBERS))["bundle.json"],), _with_list),
    "sweep": Reader(SWEEPS, _file("s.toml", read_spec)),
    "sweep, its record": Reader(_records(), _file("runs/sweeps/s/sweep.json", lambda path: read_sweep(path.parent))),
    "ticket": Reader(TICKETS, _ticket),
    "owner": Reader((b'{"owner": "ada"}',), _owner),
    "archive": Reader(_archives(), _unpacked),
    "pickle": Reader(_pickles(), _file("batch", _pickled)),
    "idx": Reader(_idx(), _file("x-idx3-ubyte.gz", lambda path: read_idx(path, 3))),
    "idx, plain": Reader(_idx(), _file("x-idx3-ubyte", lambda path: read_idx(path, 3))),
    "image": Reader(_images(), _file("x.JPEG", lambda path: read_image(path, "get another"))),
}
