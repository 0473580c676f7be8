"""What each bad input must meet, one test a row; the readers' own tests go further into each."""

import ast
import functools
import io
import json
import re
import struct
import tomllib
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image
from small_stream import CONFIG, SmallStream
from test_archives import refused as refused_archive
from test_archives import tar_entry, tar_of, zip_entry, zip_of
from test_arrays import claiming, packed
from test_pickles import DTYPE
from tiny_runs import events_of, of_kind, tiny

from esacl import cli, tiny_imagenet
from esacl.arrays import read_arrays, write_arrays
from esacl.checkpoints import file_name, newest
from esacl.config import read_config
from esacl.errors import InputError, RunFailure, RunUnreadable
from esacl.events import CheckpointReady
from esacl.pickles import read_pickle
from esacl.resuming import fitting
from esacl.store import RunStore

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for name in ("esacl", "app", "pages", "benchmarks") for path in sorted((ROOT / name).rglob("*.py"))]
CAP = 32 * 2**20  # bytes that a reader may ask for while it refuses


@pytest.fixture
def store(tmp_path, monkeypatch) -> RunStore:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    return RunStore(tmp_path / "runs")


def recorded(store: RunStore) -> str:
    """A run that ended, with checkpoints."""
    run_id = store.create(CONFIG)
    list(store.record(SmallStream(), run_id))
    return run_id


def checkpoint(tmp_path: Path, content: bytes) -> Path:
    """The folder that holds one checkpoint of this content."""
    folder = tmp_path / "checkpoints"
    folder.mkdir(exist_ok=True)
    (folder / "000-00001.safetensors").write_bytes(content)
    return folder


def safetensors(header: str, data: bytes = b"") -> bytes:
    return len(header.encode()).to_bytes(8, "little") + header.encode() + data


def saying(**changes: object) -> str:
    """The metadata of a checkpoint, as the text of the header holds it."""
    meta = {"task": 0, "epoch": 1, "offset": 0, "lines": 0, "counters": {}} | changes
    return json.dumps(json.dumps(meta))


def asks_for_little(read) -> InputError:
    """The error of a reader, which has not asked for more than `CAP` bytes."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as caught:
            read()
        assert tracemalloc.get_traced_memory()[1] < CAP
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    return caught.value


@functools.cache
def every_call() -> tuple[tuple[Path, str, ast.Call], ...]:
    """Every call in the sources: where, of what, and itself."""
    trees = ((path, ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES)
    nodes = ((path, node) for path, tree in trees for node in ast.walk(tree))
    return tuple((path, ast.unparse(node.func), node) for path, node in nodes if isinstance(node, ast.Call))


def calls(name: str) -> list[tuple[Path, ast.Call]]:
    return [(path, call) for path, function, call in every_call() if function == name]


def keyword(call: ast.Call, name: str) -> object:
    return next((ast.literal_eval(k.value) for k in call.keywords if k.arg == name), None)


# Row 1: a pickled checkpoint from a stranger


class Program:
    def __reduce__(self):
        return exec, ("raise SystemExit('it ran')",)


@pytest.mark.parametrize("wrap", [lambda p: p, lambda p: zipped(p)])
def test_row_1_a_pickled_checkpoint_is_refused_and_not_run(tmp_path, wrap):
    import pickle

    folder = checkpoint(tmp_path, wrap(pickle.dumps(Program())))
    error = asks_for_little(lambda: newest(folder))
    assert "000-00001.safetensors" in str(error)
    assert "delete it" in str(error)


def zipped(content: bytes) -> bytes:
    """As torch.save packs it."""
    return packed({"archive/data.pkl": content, "archive/version": b"3"})


def test_row_1_nothing_unpickles_and_torch_is_recent():
    assert all(keyword(call, "weights_only") is True for _, call in calls("torch.load"))
    loads = [path for name in ("pickle.load", "pickle.loads", "joblib.load") for path, _ in calls(name)]
    assert loads == []
    with (ROOT / "pyproject.toml").open("rb") as file:
        needed = [Requirement(text) for text in tomllib.load(file)["project"]["dependencies"]]
    torch = next(requirement for requirement in needed if requirement.name == "torch")
    assert not torch.specifier.contains("2.9.1")


# Row 2: a tiny checkpoint that expands, or inflates


@pytest.mark.parametrize(
    "header",
    [
        '{"__metadata__":{"esacl":%s},"w":{"dtype":"F32","shape":[100000000000],"data_offsets":[0,400000000000]}}',
        '{"__metadata__":{"esacl":%s},"w":{"dtype":"F32","shape":[100000000000],"data_offsets":[0,4]}}',
        '{"__metadata__":{"esacl":%s},"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}',
    ],
)
def test_row_2_a_checkpoint_that_announces_more_than_it_holds(tmp_path, header):
    folder = checkpoint(tmp_path, safetensors(header % saying(), b"\0" * 4))
    assert "damaged" in str(asks_for_little(lambda: newest(folder)))


def test_row_2_shapes_are_held_against_the_config():
    config = tiny({"method": "er", "buffer.size": 20})
    good = next(e for e in of_kind(events_of(config), CheckpointReady) if (e.task, e.epoch) == (1, 1))
    name = "network/head.weight" if "network/head.weight" in good.tensors else next(iter(good.tensors))
    codes, palette = good.tensors["buffer/codes"], good.tensors["buffer/palette"]
    other = {
        "one number for a matrix": {name: np.zeros(1, np.float32)},
        "a row for a matrix": {name: good.tensors[name][:1]},
        "a foreign parameter": {"network/extra": np.zeros(3, np.float32)},
        "not finite": {name: np.full_like(good.tensors[name], np.nan)},
        "labels that are none": {"buffer/targets": np.full(len(codes), 10**6)},
        "other images": {"buffer/codes": np.zeros((len(codes), 3, 2, 2), np.uint8)},
        "images twice": {"buffer/inputs": np.zeros(codes.shape, np.float32)},
        "a code beyond the palette": {"buffer/codes": np.full_like(codes, palette.shape[1])},
        "a code below it": {"buffer/codes": np.full(codes.shape, -1, np.int16)},
        "codes that are no numbers of places": {"buffer/codes": codes.astype(np.float32)},
        "a palette of another shape": {"buffer/palette": palette[0]},
        "a palette of another kind": {"buffer/palette": palette.astype(np.int64)},
        "a value that is none": {"buffer/palette": np.full_like(palette, np.nan)},
        "numbers of another width": {"buffer/palette": palette.astype(np.float64)},
        "codes of another width": {"buffer/codes": codes.astype(np.int16)},
        "values that do not ascend": {"buffer/palette": np.ascontiguousarray(palette[:, ::-1])},
        "a momentum of another shape": {name.replace("network/", "momentum/"): np.zeros((2, 2), np.float32)},
    }
    for what, change in other.items():
        state = CheckpointReady(task=1, epoch=1, tensors={**good.tensors, **change}, counters=good.counters)
        with pytest.raises(RunUnreadable, match=r"does not fit this run.*delete it") as caught:
            list(fitting(iter(()), config, state, None))
        assert "\n" not in str(caught.value), what
    beyond = CheckpointReady(task=config.tasks, epoch=1, tensors=good.tensors, counters=good.counters)
    with pytest.raises(RunUnreadable, match="after epoch 1 of task 2"):
        list(fitting(iter(()), config, beyond, None))
    for counters in ({}, {**good.counters, "flips": "1"}, {**good.counters, "gate_ratio": []}):
        state = CheckpointReady(task=1, epoch=1, tensors=good.tensors, counters=counters)
        with pytest.raises(RunUnreadable, match="counter"):
            list(fitting(iter(()), config, state, None))
    late = CheckpointReady(task=7, epoch=0, tensors=good.tensors, counters=good.counters)
    with pytest.raises(RunUnreadable, match="task 7"):
        list(fitting(iter(()), config, late, None))
    assert list(fitting(iter((good,)), config, good, None)) == [good]


@pytest.mark.parametrize("change", ["missing", "float64", "not finite"])
def test_row_2_logits_of_a_buffer_are_held_against_the_method(change):
    config = tiny({"method": "derpp", "buffer.size": 20})
    good = next(e for e in of_kind(events_of(config), CheckpointReady) if (e.task, e.epoch) == (1, 1))
    list(fitting(iter([]), config, good, None))
    tensors = dict(good.tensors)
    logits = tensors.pop("buffer/logits")
    other = {"float64": logits.astype(np.float64), "not finite": np.full_like(logits, np.nan)}
    tensors |= {} if change == "missing" else {"buffer/logits": other[change]}
    with pytest.raises(RunUnreadable, match="its buffer holds"):
        list(fitting(iter(()), config, replace(good, tensors=tensors), None))


def test_row_2_what_only_loading_finds_out_is_told_as_well():
    config = tiny({"sdp.form": "admm", "sdp.cut": 1.0})
    good = next(e for e in of_kind(events_of(config), CheckpointReady) if (e.task, e.epoch) == (1, 1))
    from esacl import run

    state = replace(good, counters={**good.counters, "ledger": {}})
    with pytest.raises(RunUnreadable, match=r"001-00001\.safetensors does not fit this run: KeyError"):
        list(fitting(run(config, state), config, state, None))


def test_row_2_kilobytes_that_inflate_to_200_megabytes(tmp_path):
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as one,
    ):
        for _ in range(200):
            one.write(bytes(2**20))
    (tmp_path / "a.npz").write_bytes(out.getvalue())
    assert (tmp_path / "a.npz").stat().st_size < 400_000
    asks_for_little(lambda: read_arrays(tmp_path / "a.npz"))


# Row 3: truncated, empty, NaN, duplicate keys

BAD_TEXTS = {
    "empty": "",
    "truncated": '{"event":"RunFin',
    "nan": '{"status": NaN}',
    "twice": '{"status":"a","status":"b"}',
}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS)
@pytest.mark.parametrize("file", ["config.json", "done.json"])
def test_row_3_a_bad_json_file_is_named_with_its_cure(store, file, text):
    run_id = recorded(store)
    (store.folder(run_id) / file).write_text(text)
    status = store.status(run_id)
    assert status.state == "unreadable"
    assert file in status.detail
    assert re.search("restore it|delete|resume", status.detail)


@pytest.mark.parametrize("text", [t for t in BAD_TEXTS.values() if t], ids=[n for n, t in BAD_TEXTS.items() if t])
def test_row_3_a_bad_event_is_named_with_its_cure(store, text):
    run_id = recorded(store)
    path = store.folder(run_id) / "events.jsonl"
    path.write_text(text + "\n" + path.read_text())
    with pytest.raises(RunUnreadable, match=r"events\.jsonl, line 1: .*restore it or delete the run"):
        store.read(run_id)


@pytest.mark.parametrize(
    "meta",
    [
        saying(task=float("nan")),
        saying(offset=-1),
        saying(lines=True),
        saying(counters=[]),
        saying(epoch=2),
        json.dumps('{"task":0,"task":0,"epoch":1,"offset":0,"lines":0,"counters":{}}'),
        json.dumps("[" * 10_000),
    ],
)
def test_row_3_a_checkpoint_with_bad_counters_is_named_with_its_cure(tmp_path, meta):
    folder = checkpoint(tmp_path, safetensors('{"__metadata__":{"esacl":%s}}' % meta))  # noqa: UP031
    with pytest.raises(RunUnreadable, match=r"000-00001\.safetensors is damaged .*delete it"):
        newest(folder)


@pytest.mark.parametrize("damage", ["cut", "grown into", "emptied"])
def test_row_3_a_checkpoint_whose_events_are_gone_is_passed_over(store, damage):
    run_id = recorded(store)
    folder = store.folder(run_id)
    whole = (folder / "events.jsonl").read_bytes()
    (folder / "done.json").unlink()
    content = {"cut": whole[:-900], "grown into": whole.replace(b"\n", b" ", 1), "emptied": b""}[damage]
    (folder / "events.jsonl").write_bytes(content)
    with pytest.raises(RunUnreadable, match=r"comes after \d+ events and .*events\.jsonl has not got them.*delete it"):
        store.checkpoint(run_id)
    assert (folder / "events.jsonl").read_bytes() == content


@pytest.mark.parametrize("content", [b"lr = nan", b"lr = 1\nlr = 2", b"lr =", b"\xff\xfe", b"sparsity = inf"])
def test_row_3_a_bad_config_file_is_named(tmp_path, content):
    (tmp_path / "c.toml").write_bytes(content)
    with pytest.raises(InputError, match=r"lr|sparsity|c\.toml") as caught:
        read_config(tmp_path / "c.toml", {})
    assert "\n" not in str(caught.value)


def test_row_3_a_config_that_is_too_large_or_too_deep_is_one_line(tmp_path, capsys):
    for content in (b"x = " + b"[" * 50_000, b"x = " + b"9" * 5000, b"#" * 2_000_000):
        (tmp_path / "c.toml").write_bytes(content)
        assert cli.main(["run", "--config", str(tmp_path / "c.toml"), "--runs", str(tmp_path / "runs")]) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert "c.toml" in told
        assert told.count("\n") == 1


# Row 4: np.load


def test_row_4_arrays_are_never_unpickled_and_claims_are_checked_first(tmp_path):
    for path, call in [*calls("np.load"), *calls("numpy.load"), *calls("np.lib.format.read_array")]:
        assert keyword(call, "allow_pickle") is False, f"{path}:{call.lineno}"
    for content in (claiming("(100000000000,)"), claiming("(4294967296, 4294967296)")):
        (tmp_path / "a.npz").write_bytes(packed({"x.npy": content}))
        asks_for_little(lambda: read_arrays(tmp_path / "a.npz"))


def test_row_4_a_directory_of_more_entries_than_it_tells_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "many.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(300):
            archive.writestr(f"{number}.npy", b"")
    whole = bytearray(path.read_bytes())
    whole[-14:-10] = struct.pack("<2H", 1, 1)  # it tells of one
    path.write_bytes(whole)
    monkeypatch.setattr("esacl.arrays.MOST_ARRAYS", 50)
    monkeypatch.setattr(zipfile, "ZipFile", lambda *given: pytest.fail("its directory was read"))
    with pytest.raises(RunUnreadable, match="more than 50 arrays"):
        read_arrays(path)


def test_row_4_a_directory_that_lies_about_sizes(tmp_path):
    write_arrays(tmp_path / "a.npz", {"x": np.arange(500.0)})
    data = bytearray((tmp_path / "a.npz").read_bytes())
    place = data.index(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 2**31 - 1)  # the size unpacked, in the central directory
    (tmp_path / "a.npz").write_bytes(bytes(data))
    asks_for_little(lambda: read_arrays(tmp_path / "a.npz"))


# Row 5: the official CIFAR files, which are pickles


@pytest.mark.parametrize(
    "content",
    [
        b"cposix\nsystem\n(U\x04trueitR.",
        b"c__builtin__\nbytes\n(I10000000000\ntR.",
        b"\x80\x02" + DTYPE + b"U\x02O8K\0K\x01\x87R.",
        b"cnumpy\nload\n(U\x01xtR.",
    ],
)
def test_row_5_a_pickle_that_asks_for_more_than_arrays_of_bytes(tmp_path, content):
    (tmp_path / "batch").write_bytes(content)
    error = asks_for_little(lambda: read_pickle(tmp_path / "batch", 2**20, "get another"))
    assert "batch" in str(error)
    assert "get another" in str(error)


# Row 6: archives


@pytest.mark.parametrize("pack", [tar_of, zip_of])
@pytest.mark.parametrize("name", ["../evil", "/tmp/evil-of-a-test", "pictures/../../evil"])
def test_row_6_a_member_that_leads_elsewhere(tmp_path, pack, name):
    refused_archive(pack(tmp_path / "a", {"pictures/one": b"1", name: b"evil"}), tmp_path / "pictures")


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"6"])
def test_row_6_links_and_devices(tmp_path, kind):
    path = tar_of(tmp_path / "a", {"x": tar_entry("pictures/x", kind, "/etc/passwd")})
    refused_archive(path, tmp_path / "pictures")
    path.unlink()
    refused_archive(zip_of(tmp_path / "b", {zip_entry("pictures/x", 0o120777): b"/etc/passwd"}), tmp_path / "pictures")


# Row 7: huge images


def test_row_7_a_huge_image_meets_the_readers_own_cap(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # the library's own limit would only warn
    Image.new("L", (5000, 5000)).save(tmp_path / "x.JPEG", "JPEG")
    error = asks_for_little(lambda: tiny_imagenet.read_image(tmp_path / "x.JPEG", "get another"))
    assert "5000x5000 pixels, not 64x64" in str(error)


# Row 8: run ids


@pytest.mark.parametrize("text", ["../x", "a/../b", "x\0y", "CON", "x" * 300, "link", "/etc", "%2e%2e", "ä"])
def test_row_8_what_is_no_run_id(store, tmp_path, text):
    run_id = store.create(CONFIG)
    (store.root / "link").symlink_to(store.folder(run_id))
    for method in (store.folder, store.read, store.delete, store.checkpoint, store.cancel, store.tail):
        with pytest.raises(InputError, match="no run"):
            method(text)
    assert store.ids() == (run_id,)


# Row 9: names with markup (tests/pages/test_pages.py shows that they stay text)


def test_row_9_nothing_of_a_user_is_shown_as_html():
    told = [path for path, _, call in every_call() if any(k.arg == "unsafe_allow_html" for k in call.keywords)]
    assert told == []


# Row 10: what a machine can refuse is in test_hard_times.py; here what a run says of it


def test_row_10_out_of_memory_on_a_gpu_is_told_with_a_way_on(store):
    class OutOfMemoryError(RuntimeError):
        """As torch names it."""

    errors = (OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    for error in errors:
        run_id = store.create(CONFIG)
        seen = 0

        def late(event, error=error):
            nonlocal seen
            seen += isinstance(event, CheckpointReady)
            if seen == 2:
                raise error

        events = list(store.record(SmallStream(before=late), run_id))
        assert "out of memory; take batch_size 8" in events[-1].error
        assert store.status(run_id).state == "failed"
        start = store.checkpoint(run_id)
        assert start is not None
        assert file_name(start) == "000-00001.safetensors"
        list(store.record(SmallStream(start), run_id, start=start))
        other = recorded(store)
        assert (store.folder(run_id) / "events.jsonl").read_bytes() == (
            store.folder(other) / "events.jsonl"
        ).read_bytes()


def test_row_10_a_loss_that_is_not_finite_is_told_with_a_way_on():
    with pytest.raises(RunFailure, match="try a smaller lr than"):
        events_of(tiny({"method": "derpp", "lr": 10.0, "momentum": 0.99}))
