"""A run as one file: what is written is read back whole, and what a stranger made of it is refused in one line."""

import hashlib
import io
import json
import os
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pages_runs import lost, record
from small_stream import SmallStream

from esacl import bundles, unpacking
from esacl.bundles import export_run, write_bundle
from esacl.errors import InputError
from esacl.store import RunStore
from esacl.unpacking import NotABundle, import_run


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> RunStore:
    store = RunStore(tmp_path_factory.mktemp("bundles") / "source")
    store.rename(record(store, name="told"), "told since")
    return store


@pytest.fixture(scope="module")
def bundle(source) -> bytes:
    file = io.BytesIO()
    write_bundle(source, source.ids()[0], file)
    return Whole(file.getvalue())


@pytest.fixture
def store(tmp_path, monkeypatch) -> RunStore:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return RunStore(tmp_path / "runs")


class Whole(bytes):
    """A bundle that no failing example writes out."""

    def __repr__(self) -> str:
        return "bundle"


def members(bundle: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files: dict, /, *, honest: bool = True, **manifest) -> bytes:
    """A bundle of these files; `honest`: the manifest is made to fit them."""
    files = dict(files)
    if honest:
        told = json.loads(files.pop("bundle.json"))
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        told["files"] = [{"path": name, "bytes": len(files[name]), "sha256": sums[name]} for name in files]
        files = {"bundle.json": json.dumps(told | manifest).encode(), **files}
    return zipped(files.items())


def zipped(items) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in items:
            archive.writestr(name, data)
    return file.getvalue()


def refused(store: RunStore, data: bytes, *parts: str, most: int = bundles.MOST_BYTES) -> None:
    with pytest.raises(NotABundle) as caught:
        import_run(store, io.BytesIO(data), name="given.zip", most=most)
    line = str(caught.value)
    assert line.startswith("given.zip ")
    assert "\n" not in line
    assert str(store.root) not in line
    for part in parts:
        assert part in line
    assert store.ids() == ()
    assert list(store.root.iterdir()) == []  # nothing half-written


# What is written is read back


def test_a_run_comes_back_with_every_event_array_and_its_name(source, store, tmp_path):
    run_id = source.ids()[0]
    source.rename(run_id, "renamed <b>")
    path = export_run(source, run_id, tmp_path / "run.zip")
    found = import_run(store, path)
    assert found == run_id
    before, after = source.read(run_id), store.read(found)
    assert (after.config, after.events, after.measured, after.status) == (
        before.config, before.events, before.measured, before.status,
    )  # fmt: skip
    assert after.config.name == "renamed <b>"
    assert store.array_names(found) == source.array_names(run_id)
    for name in store.array_names(found):
        mine, theirs = store.array(found, name), source.array(run_id, name)
        assert mine.keys() == theirs.keys()
        for key in theirs:
            np.testing.assert_array_equal(mine[key], theirs[key])
    kept = sorted(path.name for path in store.folder(found).iterdir())
    assert "imported.json" in kept
    assert not {"lock", "worker.json", "log.txt", "checkpoints"} & set(kept)


def test_who_worked_on_it_where_is_left_out_and_equal_runs_make_equal_files(source, bundle):
    run_id = source.ids()[0]
    for name in ("worker.json", "lock", "log.txt", "surprise.bin", "arrays/not an array.txt"):
        (source.folder(run_id) / name).write_text("secret")
    (source.folder(run_id) / "arrays" / "link.npz").symlink_to("/etc/passwd")
    file = io.BytesIO()
    write_bundle(source, run_id, file)
    held = members(file.getvalue())
    assert not any(b"secret" in data for data in held.values())
    assert "arrays/link.npz" not in held
    again = io.BytesIO()
    write_bundle(source, run_id, again)
    assert again.getvalue() == file.getvalue()


def test_checkpoints_only_where_they_are_asked_for_and_the_run_can_then_go_on(store, tmp_path):
    run_id = store.create(SmallStream().config)
    for number, _ in enumerate(store.record(SmallStream(), run_id)):
        if number == 12:
            store.cancel(run_id)
    assert store.checkpoint(run_id) is not None
    other = RunStore(tmp_path / "other")
    with_none = import_run(other, export_run(store, run_id, tmp_path / "without.zip"))
    assert other.checkpoint(with_none) is None
    other.delete(with_none)
    path = export_run(store, run_id, tmp_path / "with.zip", checkpoints=True)
    found = other.checkpoint(import_run(other, path))
    mine = store.checkpoint(run_id)
    assert (found.task, found.epoch) == (mine.task, mine.epoch)


def test_a_half_written_run_stays_one(source, store, tmp_path):
    mine = RunStore(tmp_path / "mine")
    run_id = lost(mine, record(mine))
    found = import_run(store, export_run(mine, run_id, tmp_path / "half.zip"))
    assert store.status(found).state == "lost"
    assert store.read(found).events == mine.read(run_id).events


def test_a_run_at_work_is_not_exported_and_leaves_no_file(store, tmp_path):
    run_id = store.create(SmallStream().config)
    with store.workers.hold(run_id), pytest.raises(InputError, match="being worked on; wait for its end"):
        export_run(store, run_id, tmp_path / "run.zip")
    assert not list(tmp_path.glob("*.zip*"))
    assert not list(tmp_path.glob(".*"))


def test_a_file_that_cannot_be_written_is_one_line_and_an_old_one_stays(source, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="cannot be written"):
        export_run(source, source.ids()[0], tmp_path / "none" / "run.zip")
    target = export_run(source, source.ids()[0], tmp_path / "run.zip")
    old = target.read_bytes()
    monkeypatch.setattr(bundles, "_add", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match="No space left"):
        export_run(source, source.ids()[0], target)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("run.zip", old)]


def test_a_bundle_is_put_over_an_earlier_one_of_the_run_and_over_nothing_else(tmp_path):
    mine, other, target, odd = RunStore(tmp_path / "mine"), RunStore(tmp_path / "other"), *map(tmp_path.joinpath, "ab")
    run_id, theirs = record(mine), record(other, seed=5)
    before = export_run(mine, run_id, target).read_bytes()
    mine.rename(run_id, "called otherwise")
    assert export_run(mine, run_id, target).read_bytes() != before
    foreign = export_run(other, theirs, tmp_path / "foreign").read_bytes()
    strange = [(bundles.MANIFEST, text) for text in ("[]", "{", json.dumps({"run": run_id}))]
    for data in (b"", b"my thesis", foreign, zipped([]), *(zipped([one]) for one in strange)):
        odd.write_bytes(data)
        with pytest.raises(InputError, match=f"^{odd} is there and is no bundle of run {run_id}; name another file"):
            export_run(mine, run_id, odd)
        assert odd.read_bytes() == data
    kept = mine.folder(run_id) / "events.jsonl"
    before = kept.read_bytes()
    (tmp_path / "link").symlink_to(kept)
    for path in (kept, mine.root / "new", tmp_path / "link"):
        with pytest.raises(InputError, match=f"^{path} lies in the runs folder {mine.root}; name a file outside of it"):
            export_run(mine, run_id, path)
    assert kept.read_bytes() == before


@pytest.mark.parametrize("step", ["_hash", "_read", "_is_plain"])
def test_a_file_of_the_run_that_cannot_be_read_is_named_and_not_the_target(source, tmp_path, monkeypatch, step):
    def unreadable(*given):
        raise PermissionError(13, "Permission denied", "/runs/x/events.jsonl")

    if step == "_read":  # while it is packed
        monkeypatch.setattr(zipfile.ZipFile, "writestr", lambda *_: monkeypatch.setattr(Path, "open", unreadable))
    else:
        monkeypatch.setattr(bundles, step, unreadable)
    with pytest.raises(InputError, match=r"^/runs/x/events\.jsonl cannot be read \(Permission denied\); check its"):
        export_run(source, source.ids()[0], tmp_path / "run.zip")
    assert list(tmp_path.iterdir()) == []


def test_the_same_run_twice_is_said_and_another_of_that_id_gets_the_next(source, store, bundle):
    run_id = import_run(store, io.BytesIO(bundle))
    with pytest.raises(InputError, match=f"here already: {run_id}"):
        import_run(store, io.BytesIO(bundle))
    files = members(bundle)
    files["events.jsonl"] = b"".join(files["events.jsonl"].splitlines(keepends=True)[:-1])
    other = import_run(store, io.BytesIO(packed(files)))
    assert other == f"{run_id}-2"
    assert set(store.ids()) == {run_id, other}
    with pytest.raises(InputError, match=f"here already: {other}"):
        import_run(store, io.BytesIO(packed(files)))
    assert len(list(store.root.iterdir())) == 2


# What is not ours


def test_what_is_no_zip_at_all(store, tmp_path):
    refused(store, b"", "is empty")
    refused(store, b"hello", "no zip file")
    refused(store, b"x" * 100_000, "no zip file, or was cut off")
    with pytest.raises(InputError, match="not there or no file"):
        import_run(store, tmp_path)
    with pytest.raises(InputError, match="not there or no file"):
        import_run(store, tmp_path / "nope.zip")


@pytest.mark.parametrize(
    "name",
    ["../config.json", "/config.json", "arrays/../../x.npz", "arrays/x.npz/y", "worker.json", "lock", "log.txt",
     "CANCEL", "imported.json", "arrays/", "arrays/x.npy", "checkpoints/x.pt", "C:\\x", "arrays/x\n.npz",
     "run/config.json", "arrays/" + "x" * 65 + ".npz", "Config.json"],
)  # fmt: skip
def test_a_name_that_no_run_has(store, bundle, name):
    assert bundles.most_bytes(name) is None
    refused(store, packed(members(bundle) | {name: b"x"}), "which is no file of a run")
    assert list(store.root.parent.iterdir()) == [store.root]


def test_a_name_that_ends_early(store, bundle):
    files = {name: data for name, data in members(bundle).items() if name != "label.json"}
    data = packed(files | {"label.json-x": b"{}"}).replace(b"label.json-x", b"label.json\0x")
    refused(store, data, "label.json", "which is no file of a run")


def test_a_link_and_a_device(store, bundle):
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR):
        info = zipfile.ZipInfo("label.json")
        info.external_attr = (kind | 0o777) << 16
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in members(bundle).items():
                archive.writestr(info if name == "label.json" else name, data)
        refused(store, file.getvalue(), "label.json is no plain file")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_twice(store, bundle):
    refused(store, zipped([*members(bundle).items(), ("config.json", b"{}")]), "config.json twice")


def test_a_bomb_is_refused_before_anything_is_unpacked(store, bundle):
    files = members(bundle) | {"arrays/bomb.npz": b"\0" * 50_000_000}
    data = packed(files)
    assert len(data) < 2_000_000
    refused(store, data, "unpacks to too much", "arrays/bomb.npz", most=40_000_000)
    refused(store, bundle, f"has {len(bundle)} bytes, more than the 1000", most=1000)
    refused(store, packed(members(bundle) | {"label.json": b" " * 70_000}), "label.json has 70000 bytes")


def test_an_array_that_unpacks_to_too_much(store, bundle):
    inner = io.BytesIO()
    np.savez_compressed(inner, a=np.zeros(10_000_000))
    assert len(inner.getvalue()) < 100_000
    refused(store, packed(members(bundle) | {"arrays/bomb.npz": inner.getvalue()}), "unpacks to more than", most=2**24)


def test_more_files_than_any_run_has(store, bundle, monkeypatch):
    monkeypatch.setattr(unpacking, "MOST_FILES", 5)
    refused(store, bundle, "more than 5 files")


def test_a_directory_of_another_format_is_refused_unread(store, bundle):
    end = bundle[-22:]
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    refused(store, bundle[:-22] + locator + end, "more than 10000 files")
    refused(store, b"MZ\0\0" + bundle, "before, between or behind")
    refused(store, bundle + b"trailing", "no zip file, or was cut off")


@pytest.mark.parametrize("array", [np.array([{"a": 1}], dtype=object)])
def test_pickled_objects_are_refused(store, bundle, array):
    inner = io.BytesIO()
    np.savez(inner, a=array)
    refused(store, packed(members(bundle) | {"arrays/evil.npz": inner.getvalue()}), "arrays/evil.npz is damaged")


def test_a_pickled_checkpoint_is_refused(store, bundle):
    files = members(bundle) | {"checkpoints/000-00001.safetensors": b"\x80\x04cos\nsystem\n."}
    refused(store, packed(files), "000-00001.safetensors is damaged")


def test_what_was_changed_since_is_refused(store, bundle):
    files = members(bundle)
    files["events.jsonl"] = files["events.jsonl"].replace(b'"accuracy":0.9', b'"accuracy":1.9')
    refused(store, packed(files, honest=False), "events.jsonl is not as it was")
    missing = {name: data for name, data in members(bundle).items() if name != "done.json"}
    refused(store, packed(missing, honest=False), "list of files is not what it holds")
    refused(store, packed(members(bundle) | {"arrays/new.npz": b""}, honest=False), "list of files is not")


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("config.json", b"{", "config.json is not valid JSON"),
        ("config.json", b'{"seed": NaN}', "config.json is not valid JSON"),
        ("config.json", b'{"seed": 1, "seed": 2}', "occurs twice"),
        ("config.json", b'{"benchmark": "split-digits", "method": "esacl", "wings": 2}', "wings"),
        ("config.json", b'{"benchmark": "split-digits", "method": "esacl", "tasks": 100000000}', "tasks"),
        ("config.json", b"[" * 900_000, "config.json is not valid JSON"),
        ("events.jsonl", b'{"event":"Nope"}\n', "events.jsonl, line 1"),
        ("events.jsonl", b"\xff\xfe\n", "events.jsonl, line 1"),
        ("analyses.jsonl", b'{"event":"Nope"}\n', "analyses.jsonl, line 1"),
        ("done.json", b'{"status": "splendid"}', "names no status"),
        ("done.json", b'{"status": ["finished"]}', "names no status"),
        ("done.json", b'{"status": "failed", "detail": [1]}', "names no status"),
        ("done.json", b'{"status": "failed", "detail": "\\ud800"}', "half a sign"),
        ("machine.json", b"[]", "machine.json holds no JSON object"),
        ("machine.json", b'{"hardware": 5}', "machine.json does not tell what the run ran on"),
        ("machine.json", b'{"versions": [1]}', "machine.json does not tell"),
        ("machine.json", b'{"versions": {"esacl": 2}}', "machine.json does not tell"),
        ("machine.json", b'{"code": {"a": 1}}', "machine.json does not tell"),
        ("machine.json", b'{"hardware": {"cpu": ["x"]}}', "machine.json does not tell"),
        ("machine.json", b'{"hardware": {"cores": "x"}}', "machine.json does not tell"),
        ("machine.json", b'{"hardware": {"memory_bytes": true}}', "machine.json does not tell"),
        ("machine.json", b'{"hardware": {"gpus": [7]}}', "machine.json does not tell"),
        ("machine.json", b'{"hardware": {"gpus": "x"}}', "machine.json does not tell"),
        ("machine.json", b'{"hardware": {"new": {"a": 1}}}', "machine.json does not tell"),
        ("machine.json", b'{"earlier": [3]}', "machine.json does not tell"),
        ("machine.json", b'{"earlier": {"a": 3}}', "machine.json does not tell"),
        ("machine.json", b'{"earlier": [{"hardware": []}]}', "machine.json does not tell"),
        ("machine.json", b'{"earlier": [{"earlier": []}]}', "machine.json does not tell"),
        ("measured.jsonl", b'{"events": 1, "seconds": 1, "peak_bytes": "x"}\n', "measured.jsonl, line 1: nothing that"),
        ("measured.jsonl", b'{"events": 1, "seconds": 1, "peak_bytes": [1]}\n', "measured.jsonl, line 1"),
        ("measured.jsonl", b'{"events": 1, "seconds": 1, "training_seconds": -1}\n', "measured.jsonl, line 1"),
        ("measured.jsonl", b'{"events": 1, "seconds": 1}\n{"events": 1}\n', "measured.jsonl, line 2"),
        ("measured.jsonl", b"\xff\n", "measured.jsonl, line 1"),
        ("label.json", b'{"name": 3}', "label.json"),
        ("label.json", b'{"name": "a\\u0007"}', "control characters"),
        ("label.json", b'{"name": "' + b"x" * 300 + b'"}', "200 characters"),
        ("arrays/weights-t0.npz", b"PK not a zip", "weights-t0.npz is damaged"),
    ],
)  # fmt: skip
def test_content_that_no_run_has(store, bundle, name, content, part):
    refused(store, packed(members(bundle) | {name: content}), part)


@pytest.mark.parametrize(
    ("manifest", "part"),
    [
        ({"format": "another"}, "does not say"),
        ({"version": 2}, "of version '2', this EsaCL reads 1"),
        ({"version": None}, "of version"),
        ({"run": "../evil"}, "no id of a run"),
        ({"run": "x" * 300}, "no id of a run"),
        ({"run": None}, "no id of a run"),
        ({"run": ".trash"}, "no id of a run"),
        ({"files": 3}, "lists no files"),
        ({"files": [3]}, "lists no files"),
        ({"files": [{"path": "config.json"}] * 2}, "lists a file twice"),
        ({"files": [{"path": "config.json", "bytes": [], "sha256": 3}]}, "not what it holds"),
    ],
)
def test_a_manifest_that_will_not_do(store, bundle, manifest, part):
    refused(store, packed(members(bundle), **manifest), part)


def test_without_manifest_or_config(store, bundle):
    files = members(bundle)
    refused(store, packed({n: d for n, d in files.items() if n != "bundle.json"}, honest=False), "no bundle.json")
    refused(store, packed({n: d for n, d in files.items() if n != "config.json"}), "no config.json")
    refused(store, packed(files | {"bundle.json": b"nope"}, honest=False), "bundle.json is no JSON")
    refused(store, packed(files | {"bundle.json": b"[]"}, honest=False), "does not say")


def test_packed_or_locked_in_another_way(store, bundle):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_BZIP2) as archive:
        for name, data in members(bundle).items():
            archive.writestr(name, data)
    refused(store, file.getvalue(), "packed in a way")
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        directory = archive.start_dir
    locked = bytearray(bundle)
    locked[directory + 8] |= 1
    refused(store, bytes(locked), "is encrypted")


def test_a_full_disk_is_one_line_and_leaves_nothing(store, bundle, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unpacking, "_write", full)
    with pytest.raises(InputError, match="No space left on device"):
        import_run(store, io.BytesIO(bundle))
    assert list(store.root.iterdir()) == []


@given(some.data())
def test_a_damaged_bundle_is_taken_whole_or_refused_whole(tmp_path_factory, bundle, data):
    """Bytes changed, cut out or put in anywhere: never another error than InputError, and never a half run."""
    changed = bytearray(bundle)
    for _ in range(data.draw(some.integers(1, 4))):
        last = len(changed) - 1
        place = data.draw(some.integers(0, last) | some.integers(max(0, last - 3000), last))
        length = data.draw(some.integers(0, 40))
        changed[place : place + length] = data.draw(some.binary(max_size=40))
    _either_or(tmp_path_factory, bytes(changed))


@given(
    some.dictionaries(
        some.sampled_from(["config.json", "events.jsonl", "done.json", "label.json", "machine.json", "measured.jsonl",
                           "analyses.jsonl", "arrays/weights-t0.npz", "arrays/new.npz"])
        | some.text(min_size=1, max_size=20),
        some.binary(max_size=200)
        | some.recursive(
            some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=9),
            lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=9), inner, max_size=3),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
        min_size=1,
        max_size=3,
    )
)  # fmt: skip
def test_any_content_under_a_right_hash_is_taken_whole_or_refused_whole(tmp_path_factory, bundle, files):
    try:
        data = packed(members(bundle) | files)
    except (ValueError, IndexError):  # a name that zip itself does not take: a half of a sign, or nothing before a NUL
        return
    _either_or(tmp_path_factory, data)


def _either_or(tmp_path_factory, data: bytes) -> None:
    store = RunStore(Path(tmp_path_factory.mktemp("fuzz")) / "runs")
    run_id, why = None, ""
    try:
        run_id = import_run(store, io.BytesIO(data))
    except InputError as error:
        why = str(error)
    assert "\n" not in why
    assert store.ids() == ((run_id,) if run_id else ())
    if run_id is not None:
        store.read(run_id)
        for name in store.array_names(run_id):
            store.array(run_id, name)
    left = [path.name for path in store.root.iterdir()] if store.root.exists() else []
    assert left == list(store.ids())
