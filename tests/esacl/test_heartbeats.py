"""Signs of life by the clock of whoever looks."""

import time

import pytest
import torch.distributed as dist

from esacl import heartbeats
from esacl.heartbeats import Heartbeats


@pytest.fixture
def store():
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def test_silence_begins_with_the_last_count_that_was_new(store, monkeypatch):
    now = 100.0
    monkeypatch.setattr(heartbeats.time, "monotonic", lambda: now)
    seen = Heartbeats(store)
    assert seen.silent(1) == 0.0
    now = 160.0
    assert seen.silent(1) == 0.0, "it has not begun, and may be loading still"
    store.add("esacl/beat/1", 1)
    assert seen.silent(1) == 0.0
    now = 170.0
    assert seen.silent(1) == 10.0
    store.add("esacl/beat/1", 5)
    now = 175.0
    assert seen.silent(1) == 0.0
    now = 178.5
    assert (seen.silent(1), seen.silent(2)) == (3.5, 0.0)


def test_who_has_begun_goes_on(store, monkeypatch):
    monkeypatch.setattr(heartbeats, "BEAT", 0.01)
    monkeypatch.setattr(heartbeats, "GIVEN_UP", 1)
    one = Heartbeats(store)
    one.begin(3)
    end = time.monotonic() + 60
    while store.add("esacl/beat/3", 0) < 4:
        assert time.monotonic() < end, "it does not count"
        time.sleep(0.01)
    monkeypatch.setattr(one, "_write", Failing(10**9))  # its thread ends
    time.sleep(0.1)


def test_one_sign_that_is_lost_ends_nothing_and_many_end_it(store, monkeypatch):
    monkeypatch.setattr(heartbeats, "BEAT", 0.0)
    monkeypatch.setattr(heartbeats, "GIVEN_UP", 3)
    one = Heartbeats(store)
    for failures, good, tried in ((0, 0, 3), (2, 1, 6)):
        one._write = Failing(failures, good)
        one._beat(3)
        assert one._write.tried == tried


class Failing:
    """Fails `failures` times, then counts `good` times, then fails for ever."""

    def __init__(self, failures: int, good: int = 0) -> None:
        self.failures, self.good, self.tried = failures, good, 0

    def add(self, key: str, amount: int) -> int:
        self.tried += 1
        if self.failures < self.tried <= self.failures + self.good:
            return self.tried
        raise RuntimeError("nobody keeps it")
