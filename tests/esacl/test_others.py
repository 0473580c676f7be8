"""What a process of a torchrun run knows of the others, and what the leader does when one is lost or a stop comes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest
import torch.distributed as dist

from esacl import follower
from esacl import leader as leading
from esacl import others as known
from esacl.errors import RunFailure
from esacl.ranks import Ranks

PATIENCE = 240.0


class TestOthers:
    @pytest.fixture
    def store(self):
        return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    @pytest.fixture
    def process(self) -> Iterator[subprocess.Popen]:
        one = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        yield one
        one.kill()
        one.wait()

    def others(self, store, process) -> tuple[known.Others, known.Others]:
        """The first process and the second, whose number is that of `process`."""
        found = [known.Others(Ranks(rank, rank, 2, 2), store) for rank in (0, 1)]
        about = json.loads(found[0].heard("esacl/process/1"))
        found[0].say("esacl/process/1", json.dumps(about | {"pid": process.pid}))
        return found[0], found[1]

    def test_a_failure_is_told_once(self, store, process, capsys):
        first, second = self.others(store, process)
        assert first.lost() is None
        assert not first.check()
        follower._tell(second, ZeroDivisionError("by zero"))
        assert "ZeroDivisionError: by zero" in capsys.readouterr().err
        reason = "process 1 of 2: internal error, ZeroDivisionError: by zero; please report it with"
        end = time.monotonic() + PATIENCE
        while first.heard(known.FAILED) is None and time.monotonic() < end:
            time.sleep(0.01)  # a word is on its way for a moment
        assert first.lost().startswith(reason)
        with pytest.raises(RunFailure) as error:
            first.check()
        assert str(error.value).startswith(reason)
        assert first.check()

    def test_who_loses_touch_because_of_another_does_not_tell_it_as_its_own(self, store, process):
        from esacl.distributed import LostTouch

        first, second = self.others(store, process)
        follower._tell(second, LostTouch("the processes lost touch"))
        assert first.lost() is None

    def test_one_that_is_killed_is_missed(self, store, process):
        first, _ = self.others(store, process)
        process.kill()
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert first.why() == "process 1 of 2 was ended from outside; resume the run"
        assert first.check(), "whoever asks why tells it"

    def test_one_of_another_machine_is_missed_by_its_heartbeat(self, store, process, monkeypatch):
        first, _ = self.others(store, process)
        about = json.loads(first.heard("esacl/process/1"))
        first.say("esacl/process/1", json.dumps(about | {"machine": "elsewhere"}))
        process.kill()  # its number tells nothing there
        monkeypatch.setattr(known, "GRACE", 0.0)
        lost = "process 1 of 2, on another machine, gives no sign of life; look at that one, then resume the run"
        for seconds, noticed, told in ((0.0, None, None), (60.0, None, lost), (121.0, lost, lost)):
            monkeypatch.setattr(first.heartbeats, "silent", {1: seconds}.get)
            assert (first.lost(), first.why()) == (noticed, told)

    def test_who_reaches_nobody_says_so(self, store, process, monkeypatch):
        first, _ = self.others(store, process)
        monkeypatch.setattr(known, "GRACE", 0.0)
        monkeypatch.setattr(first, "heard", gone)
        assert first.why() == (
            "process 0 of 2 reaches none of the others, nor the place where they meet; look at the machine of process "
            "0, then resume the run"
        )

    def test_a_loss_that_the_main_thread_cannot_tell_is_kept_all_the_same(self, store, process, monkeypatch):
        first, _ = self.others(store, process)
        monkeypatch.setattr(leading, "GRACE", 0.0)
        ended, kept = threading.Event(), []
        monkeypatch.setattr(os, "_exit", lambda code: (kept.append(code), ended.set()))
        leader = leading.Leader(first.ranks)
        leader._others = first
        with leader.watching(kept.append, lambda: False, kept.append):
            first.say("esacl/failed", "process 1 of 2: out of memory")
            assert ended.wait(PATIENCE)
        assert kept == ["process 1 of 2: out of memory", 1]
        assert first.heard("esacl/end") == ""

    @pytest.mark.parametrize("how", ["flag", "signal"])
    def test_a_stop_that_the_main_thread_cannot_follow_is_followed_all_the_same(self, store, process, monkeypatch, how):
        first, _ = self.others(store, process)
        monkeypatch.setattr(leading, "STOP_GRACE", 0.0)
        ended, kept = threading.Event(), []
        monkeypatch.setattr(os, "_exit", lambda code: (kept.append(code), ended.set(), threading.Event().wait()))
        leader, before = leading.Leader(first.ranks), signal.signal(signal.SIGINT, lambda *_: None)
        leader._others = first
        try:
            with leader.watching(kept.append, lambda: how == "flag", kept.append):
                if how == "signal":
                    os.kill(os.getpid(), signal.SIGINT)
                assert ended.wait(PATIENCE)
        finally:
            signal.signal(signal.SIGINT, before)
        assert kept == ["stopped after 0 s in which another process did not answer; resume the run", 130]


def gone(key: str) -> None:
    raise RuntimeError("Connection reset by peer")
