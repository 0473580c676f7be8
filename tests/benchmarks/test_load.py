"""The load test on a small scale: it must see what goes wrong, and nothing where nothing does."""

import pytest

from benchmarks import load
from benchmarks.load_visitors import Seen
from esacl.store import RunStore


@pytest.mark.processes
def test_three_users_for_some_seconds_leave_no_error_and_no_process(tmp_path, capsys):
    out = tmp_path / "load.md"
    load.main(["--users", "3", "--minutes", "0.4", "--browsers", "0", "--out", str(out)])  # 1 on a slow machine
    told = out.read_text()
    assert "| errors, on a screen or in the server's log | 0 | yes |" in told
    assert "| processes left behind | 0 | yes |" in told
    assert "python -m benchmarks.load" in told


def test_errors_and_processes_are_counted(tmp_path, monkeypatch, capsys):
    seen = Seen(pages=[("run", 0.1)] * 94 + [("", 3.0)] * 6, errors=["run: KeyError: 'x'"])
    found = load.Measured([seen], errors=seen.errors, left=["process 7: x"])
    monkeypatch.setattr(load, "measured", lambda *asked: found)
    assert load.main(["--browsers", "0", "--out", str(tmp_path / "load.md")]) == 1
    told = (tmp_path / "load.md").read_text()
    assert "| errors, on a screen or in the server's log | 1 | no |" in told
    assert "| processes left behind | 1 | no |" in told
    assert "| p95 until a page's script was through, s | 3.00 | no |" in told
    assert "- run: KeyError: 'x'" in told


@pytest.mark.parametrize(("pages", "grows", "code"), [(0.1, 1.0, 0), (3.0, 1.0, 1), (0.1, 1.5, 1)])
def test_each_of_what_is_to_hold_decides(tmp_path, monkeypatch, pages, grows, code):
    memory = [(float(s), round(1e8 * (grows if s > 50 else 1))) for s in range(101)]
    monkeypatch.setattr(load, "measured", lambda *asked: load.Measured([Seen(pages=[("run", pages)] * 9)], memory))
    assert load.main(["--browsers", "0", "--out", str(tmp_path / "load.md")]) == code


@pytest.mark.parametrize(("grows", "holds"), [(0.0, "yes"), (0.05, "yes"), (0.5, "no")])
def test_memory_is_held_against_that_after_the_warm_up(grows, holds):
    memory = [(float(s), round(2e8 * (0.3 if s < 15 else 1 + grows * s / 100))) for s in range(101)]
    told = "\n".join(load.table(load.Measured([Seen()], memory)))
    assert f"% | {holds} |" in told
    assert "memory of the server at start, middle, end, MB | 60, " in told


def test_a_process_that_works_on_the_runs_is_found(tmp_path):
    import subprocess
    import sys

    store = RunStore(tmp_path / "runs")
    process = subprocess.Popen([sys.executable, "-c", "input()", str(store.root)], stdin=subprocess.PIPE)
    try:
        assert [one.partition(":")[0] for one in load._left(store, patience=0.0)] == [f"process {process.pid}"]
        assert load._left(store, but=process.pid, patience=0.0) == []
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.95, 95), (1.0, 100)])
def test_quantiles(share, value):
    assert load._quantile([float(n) for n in range(100, 0, -1)], share) == value
