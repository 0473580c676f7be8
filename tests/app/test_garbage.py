"""Garbage: what a page has loaded is left out of collections once, and what visitors leave is still collected."""

import gc
import weakref

import pytest

from app import garbage


class Node:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def unfrozen(monkeypatch):
    monkeypatch.setattr(garbage, "_seen", set())
    yield
    gc.unfreeze()


def test_the_first_time_of_each_page_freezes_what_is_there():
    counts = []
    for page in ("start", "start", "runs"):
        loaded = [Node() for _ in range(100)]  # noqa: F841 (alive while it is counted)
        garbage.leave_out(page)
        counts.append(gc.get_freeze_count())
    first, again, other = counts
    assert 0 < again <= first < other


def test_a_circle_that_comes_later_is_freed():
    garbage.leave_out("start")
    left = weakref.ref(Node())
    gc.collect()
    assert left() is None


def test_old_garbage_is_not_frozen():
    left = weakref.ref(Node())
    gc.freeze()  # as old as it can be: no collection of the young finds it
    gc.unfreeze()
    garbage.leave_out("start")
    assert left() is None


def test_threads_share_few_pools_of_memory_where_glibc_has_them(monkeypatch):
    asked = []

    class Libc:
        def mallopt(self, what, value):
            asked.append((what, value))
            return 1

    monkeypatch.setattr("app.garbage.ctypes.CDLL", lambda name: Libc())
    monkeypatch.setattr("app.garbage.sys.platform", "linux")
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    garbage.leave_out("start")
    garbage.leave_out("runs")
    assert asked == [(-8, 2)]
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    assert not garbage.few_pools()
    assert asked == [(-8, 2)]  # whoever runs the server has said it
    monkeypatch.delenv("MALLOC_ARENA_MAX")
    monkeypatch.setattr("app.garbage.ctypes.CDLL", lambda name: object())
    assert not garbage.few_pools()
    monkeypatch.setattr("app.garbage.sys.platform", "darwin")
    assert not garbage.few_pools()
