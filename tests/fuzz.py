"""Inputs that nobody wrote, for every reader of what people pass on: `python -m tests.fuzz --inputs 1000000`.

A reader may return or raise `InputError`. Anything else is a fault: another error, more than `CPU_SECONDS` for one
input, or a request for memory that the process, held to `CAP` bytes more than it has, is refused.
"""

import argparse
import contextlib
import gzip
import io
import json
import os
import pickle
import random
import resource
import shutil
import signal
import struct
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save

from esacl.archives import unpack
from esacl.arrays import read_arrays, write_arrays
from esacl.checkpoints import newest
from esacl.cli import _config_of, _settings
from esacl.config import RunConfig
from esacl.datasets import read_idx
from esacl.durable import read_json
from esacl.errors import InputError
from esacl.events import Cancelled, Evaluated, Failed, RunFinished, Stepped, TaskStarted, from_line, to_line
from esacl.formats import numbered
from esacl.pickles import array_of, read_pickle
from esacl.records import read_config_file, read_events, read_measured
from esacl.tiny_imagenet import read_image

CAP = 512 * 2**20
CPU_SECONDS = 10.0
TOKENS = (
    b"NaN", b"Infinity", b"-1", b"1e999", b"null", b"true", b'""', b"[]", b"{}", b"[" * 2000, b"{" * 50, b"9" * 5000,
    b"\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\n", b'"', b"../", b"\\u0000",
    b"\xed\xa0\x80",
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """Something that reads what people pass on: examples of what it takes, and how it is given an input."""

    seeds: tuple[bytes, ...]
    read: Callable[[bytes, Path], object]
    share: float  # of all inputs: what reads in memory can be asked more often


def mutated(seeds: tuple[bytes, ...], rng: random.Random) -> bytes:
    """A seed with one to six changes: bits, numbers, pieces lost, doubled, moved, of another seed, and nasty words."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 6)):
        at = rng.randint(0, len(data))
        length = min(rng.choice((1, 2, 4, 8, 64)), max(0, len(data) - at))
        kind = rng.randrange(8)
        if kind == 0 and length:
            data[at : at + length] = rng.randbytes(length)
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 3 and length:
            data[at : at + length] = rng.choice(TOKENS)
        elif kind == 4:
            data[at:at] = data[at : at + length]
        elif kind == 5:
            other = rng.choice(seeds)
            start = rng.randint(0, len(other))
            data[at : at + length] = other[start : start + rng.choice((4, 32, 256))]
        elif kind == 6:
            del data[at:]
        elif length:
            data[at] ^= 1 << rng.randrange(8)
    return bytes(data[: 2**20])


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

READERS: dict[str, Reader] = {
    "event": Reader(_event_lines(), lambda content, _: from_line(content), 0.66),
    "events": Reader((b"\n".join(_event_lines()) + b"\n",), _file("events.jsonl", read_events), 0.05),
    "setting": Reader(SETTINGS, lambda content, _: _settings([content.decode("latin1")]), 0.05),
    "config": Reader(_configs(), _file("config.json", lambda path: read_config_file(path.parent)), 0.04),
    "toml": Reader(TOML, _file("c.toml", lambda path: _config_of(path, {})), 0.02),
    "json": Reader((b'{"status": "failed", "detail": "x", "events": 3}',), _file("done.json", read_json), 0.04),
    "measured": Reader((b'{"events": 3, "seconds": 1.5}\n' * 3,), _file("m.jsonl", read_measured), 0.02),
    "arrays": Reader(_written_arrays(), _arrays, 0.03),
    "checkpoint": Reader(
        _checkpoints(), _file("checkpoints/000-00001.safetensors", lambda path: newest(path.parent)), 0.03
    ),
    "archive": Reader(_archives(), _unpacked, 0.02),
    "pickle": Reader(_pickles(), _file("batch", _pickled), 0.02),
    "idx": Reader(_idx(), _file("x-idx3-ubyte.gz", lambda path: read_idx(path, 3)), 0.01),
    "idx, plain": Reader(_idx(), _file("x-idx3-ubyte", lambda path: read_idx(path, 3)), 0.005),
    "image": Reader(_images(), _file("x.JPEG", lambda path: read_image(path, "get another")), 0.005),
}


class Hangs(BaseException):
    """An input that a reader does not come back from."""


def fault_of(reader: Reader, content: bytes, folder: Path) -> str | None:
    """What is wrong with how the reader takes an input; None where nothing is."""
    try:
        reader.read(content, folder)
    except InputError as error:
        if isinstance(error.__context__, MemoryError):
            return "asked for more memory than the cap"
        return None if "\n" not in str(error) else "its error is more than one line"
    except Hangs:
        return f"took more than {CPU_SECONDS} s"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return None


@contextlib.contextmanager
def held(cap: int) -> Iterator[None]:
    """Within it this process gets no more than `cap` bytes beside what it has, and no input may take too long."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + cap, before[1]))
    handler = signal.signal(signal.SIGVTALRM, _hangs)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _hangs(number: int, frame: object) -> None:
    raise Hangs


def fuzz(inputs: int, seed: int, folder: Path) -> tuple[dict[str, int], list[tuple[str, str, bytes]]]:
    """How many inputs each reader took, and the faults: (reader, what, input)."""
    taken: dict[str, int] = {}
    faults: list[tuple[str, str, bytes]] = []
    with held(CAP):
        for name, reader in sorted(READERS.items(), key=lambda item: item[1].share):
            rng = random.Random(f"{seed} {name}")
            taken[name] = -(-int(inputs * reader.share * 1000) // 1000) + 1
            for number in range(taken[name]):
                if number % 1000 == 0:
                    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)  # a thousand of them take far less
                content = mutated(reader.seeds, rng)
                what = fault_of(reader, content, folder)
                if what is not None:
                    faults.append((name, what, content))
            print(f"{taken[name]:>10,} {name}, {len(faults)} faults so far", flush=True)
    return taken, faults


def main() -> int:
    """Fuzz, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    begun = time.monotonic()
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        taken, faults = fuzz(args.inputs, args.seed, Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    total, seconds = sum(taken.values()), time.monotonic() - begun
    print(f"{total:>10,} inputs in {seconds:.0f} s, {len(faults)} faults, {peak} MB at most")
    for name, what, content in faults[:20]:
        print(f"{name}: {what}\n    {content[:150]!r}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
