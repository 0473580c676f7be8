"""What the fuzzer, and looking for what it cannot reach, has found in the readers: each kept from coming back."""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from small_stream import CONFIG
from test_bad_inputs import asks_for_little, store

from esacl import jobs
from esacl.archives import unpack
from esacl.config import RunConfig, read_config
from esacl.errors import InputError, RunUnreadable
from esacl.event_lines import from_line
from esacl.pickles import read_pickle
from esacl.sweep.record import read_sweep
from esacl.sweep.spec import read_spec

__all__ = ["store"]  # a fixture


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"\ud800": 1}, r"unknown key '\ud800'; choose from benchmark, "),
        ({"ids": {"\ud800": 1}}, r"unknown key '\ud800'; choose from fraction, "),
        ({"ids": {1: 1}}, "unknown key 1; choose from fraction, "),
        ({"augment": "\ud800"}, r"unknown augment '\ud800'; choose from none, crop-flip"),
        ({"sdp": {"form": "\ud800"}}, r"unknown sdp.form '\ud800'; choose from admm, "),
        ({"name": "\ud800"}, r"name: '\ud800' will not do"),
    ],
)
def test_a_config_with_what_is_no_text_is_told_its_key(fields, told):
    with pytest.raises(InputError, match=re.escape(told)):
        RunConfig.from_dict(fields)


def test_a_long_value_is_cut_where_it_is_told():
    with pytest.raises(InputError, match="lr: 'xxx") as caught:
        RunConfig.from_dict({"lr": "x" * 100_000})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("key", ["a." * 20_000 + "b", '"a" . ' * 3000 + "b", "a. " * 20 + "b"])
def test_a_key_of_many_parts_is_refused_before_it_takes_memory(tmp_path, key):
    (tmp_path / "s.toml").write_text(f"[grid]\n{key} = [1]\n")
    assert "s.toml is nested too deeply" in str(asks_for_little(lambda: read_spec(tmp_path / "s.toml")))
    (tmp_path / "c.toml").write_text(f"[{key}]\n")
    assert "c.toml is nested too deeply" in str(asks_for_little(lambda: read_config(tmp_path / "c.toml", {})))


def test_tables_in_tables_are_refused_in_one_line(tmp_path):
    (tmp_path / "s.toml").write_text("[grid]\nx = " + "{a = " * 900 + "1" + "}" * 900)
    assert "s.toml is nested too deeply" in str(asks_for_little(lambda: read_spec(tmp_path / "s.toml")))


def test_numbers_with_dots_are_no_keys(tmp_path):
    (tmp_path / "s.toml").write_text(f"[grid]\nlr = [{', '.join(f'0.{n:03d}' for n in range(1, 99))}]\n")
    assert len(read_spec(tmp_path / "s.toml").rows) == 98


@pytest.mark.parametrize("number", ["9" * 400, '"two"', "[]", "-1", "true", "null", "1e300"])
def test_a_record_of_a_sweep_with_odd_numbers_is_shown(tmp_path, number):
    folder = tmp_path / "runs" / "sweeps" / "s"
    folder.mkdir(parents=True)
    row = '{"label": "a", "state": "finished", "since": %s, "seconds": %s}' % (number, number)  # noqa: UP031
    (folder / "sweep.json").write_text('{"format": 1, "workers": %s, "rows": [%s]}' % (number, row))  # noqa: UP031
    state = read_sweep(folder)
    assert (state.workers, state.done) == (1, 1)
    assert state.rows[0].seconds in (None, -1.0, 1.0)


def test_a_pickle_that_asks_for_a_name_of_many_lines_is_one_line(tmp_path):
    name = bytes(range(1, 10)) + b"\x0b x \xc3\xa9" + b"y" * 500
    (tmp_path / "batch").write_bytes(b"\x80\x04\x8c" + bytes([20]) + name[:20] + b"\x8c\x01z\x93.")
    assert "asks for ?????????" in str(asks_for_little(lambda: read_pickle(tmp_path / "batch", 2**20, "get another")))


@pytest.mark.parametrize(
    "change",
    [
        {"data": "/\0data"},
        {"data": 7},
        {"command": ["analyse", "RUN", "a\0b"]},
        {"deaths": "many"},
        {"deaths": [1]},
        {"deaths": -(10**400)},
    ],
)
def test_a_server_starts_whatever_a_ticket_says(store, monkeypatch, change):
    started: list[tuple[list[str], Path | None]] = []
    monkeypatch.setattr(jobs, "_spawn", lambda store, run_id, command, data: started.append((command, data)))
    run_id = store.create(CONFIG)
    words = [run_id if word == "RUN" else word for word in change.get("command", ["resume", run_id])]
    store.workers.queue.draw(run_id, "cpu", 1, {"mark": "", "deaths": 0} | change | {"command": words})
    assert jobs.recover(store) == ([] if "command" in change else [run_id])
    assert started == ([] if "command" in change else [(["resume", run_id], None)])


@pytest.mark.parametrize("change", [{"data": "\ud800"}, {"command": ["resume", "RUN"], "owner": "\ud800"}])
def test_a_ticket_with_half_a_sign_is_as_good_as_none(store, monkeypatch, change):
    monkeypatch.setattr(jobs, "_spawn", lambda *_: pytest.fail("nobody knows what it was to be started with"))
    run_id = store.create(CONFIG)
    ticket = store.workers.queue.draw(run_id, "cpu", 1, {})
    ticket.path.write_text(json.dumps({"command": ["resume", run_id]} | change))  # no writer of ours does
    assert jobs.recover(store) == []
    assert store.workers.queue.tickets() == []


def test_a_data_folder_that_no_ticket_can_name_is_refused(store, tmp_path):
    with pytest.raises(InputError, match=r"data folder '.*\\udcff' has a name that is not UTF-8; rename it"):
        jobs.start(CONFIG, store, tmp_path / "data\udcff")
    assert store.ids() == ()
    assert store.workers.queue.tickets() == []


ODD = (
    None, True, -1, 0, 0.5, 1e308, 10**400, float("nan"), [], {}, [[1], 2], {"a": 1}, {"\ud800": 1}, "", "x", "\ud800",
    "\0", "a\nb", "x" * 5000, 2**31, -(2**63) - 1,
)  # fmt: skip


def keys(model: type[BaseModel], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The place of every setting of a config, sections included."""
    for name, field in model.model_fields.items():
        yield (*before, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, (*before, name))


@pytest.mark.parametrize("place", [*keys(RunConfig)], ids=".".join)
def test_every_setting_takes_or_refuses_what_is_odd_in_one_short_line(place):
    for value in ODD:
        fields: Any = value
        for name in reversed(place):
            fields = {name: fields}
        told = ""
        try:
            RunConfig.from_dict(fields)
        except InputError as error:
            told = str(error)
        assert "\n" not in told, value
        assert len(told) < 600, value


def test_an_archive_with_a_name_that_is_no_text_is_damaged(tmp_path):
    name = "pictures/ä"
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr(name, b"1")
    content = (tmp_path / "a").read_bytes()
    assert content.count(name.encode()) == 2
    (tmp_path / "a").write_bytes(content.replace("ä".encode(), b"\x98\x98", 1))  # before the file, not in the directory
    error = asks_for_little(lambda: unpack(tmp_path / "a", tmp_path / "pictures"))
    assert "is truncated or corrupt" in str(error)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_line_end_in_the_name_of_a_field_stays_in_one_line():
    with pytest.raises(RunUnreadable, match=r"unknown fields: 'S\\nsity'") as caught:
        from_line('{"event":"RunFinished","S\\nsity":0.1}')
    assert "\n" not in str(caught.value)
