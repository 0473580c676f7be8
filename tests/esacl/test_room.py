"""What a run of a config can have to keep: a bundle that holds more is refused before that is unpacked."""

import io

import numpy as np
import pytest
from test_bundles import bundle, members, packed, refused, source, store

from esacl import narrowest, room, unpacking
from esacl.unpacking import import_run

__all__ = ["bundle", "source", "store"]  # fixtures


@pytest.fixture
def written(monkeypatch) -> list[str]:
    """The names of what is unpacked."""
    names, write = [], unpacking._write

    def noted(archive, member, path, listed):
        names.append(member.filename)
        write(archive, member, path, listed)

    monkeypatch.setattr(unpacking, "_write", noted)
    return names


@pytest.mark.parametrize(
    ("name", "most"),
    [("arrays/weights-t0.npz", room.most_of_arrays), ("checkpoints/000-00001.safetensors", room.most_of_state)],
)
def test_what_a_run_of_that_config_cannot_have_is_refused_before_it_is_unpacked(
    source, store, bundle, written, name, most
):
    limit = most(source.config(source.ids()[0]))
    assert limit < 40_000_000
    huge = packed(members(bundle) | {name: bytes(limit + 1)})
    refused(store, huge, f"{name} has {limit + 1} bytes, and a run of its config at most {limit}")
    assert written == ["config.json"]


def test_nor_may_all_of_it_together_be_more(store, bundle, written, monkeypatch):
    held = members(bundle)
    limit = sum(len(data) for name, data in held.items() if name.startswith("arrays/")) + 3000
    monkeypatch.setattr(room, "most_together", lambda config: limit)
    more = packed(held | {"arrays/a.npz": bytes(2000), "arrays/b.npz": bytes(2000)})
    refused(store, more, f"b.npz has {limit + 1000} bytes with the arrays and checkpoints before", f"at most {limit}")
    assert written == ["config.json"]


def test_nor_may_an_array_that_is_packed_small(source, store, bundle):
    inner, limit = io.BytesIO(), room.most_of_arrays(source.config(source.ids()[0]))
    np.savez_compressed(inner, a=np.zeros(limit, np.uint8))
    refused(store, packed(members(bundle) | {"arrays/bomb.npz": inner.getvalue()}), f"unpacks to more than {limit}")


def test_of_a_network_whose_sizes_no_config_tells_a_run_is_taken_as_it_is(store, bundle, monkeypatch):
    monkeypatch.setattr(narrowest, "_SIZES", {})
    assert import_run(store, io.BytesIO(bundle)) in store.ids()
