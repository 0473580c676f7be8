import json
import os
import subprocess
import sys
import time

import pytest
import torch

from benchmarks import device_checks, gpu
from benchmarks.provenance import ROOT

CPU = torch.device("cpu")
NOT_NEEDED = ("streamlit", "plotly", "pandas", "safetensors", "psutil", "tqdm", "pooch")


def test_it_loads_without_what_its_docstring_says_is_not_needed():
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in NOT_NEEDED)
    code = f"import sys; {blocked}; import benchmarks.gpu, sys; print('ready')"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.stdout.strip() == "ready", done.stderr
    assert all(name in gpu.__doc__.lower() for name in NOT_NEEDED)


@pytest.mark.parametrize("name", ["events", "methods", "products", "rises", "slices", "choices", "resume"])
def test_checks_hold_where_the_device_is_the_cpu(name):
    device_checks.CHECKS[name](CPU, True)


def wrong_place(monkeypatch, change):
    """Let the second place that a check looks at be another than the first."""
    right, seen = device_checks.place, []

    def place(device, quick, network="mlp"):
        found = right(device, quick, network)
        seen.append(found)
        if len(seen) % 2 == 0:
            change(found)
        return found

    monkeypatch.setattr(device_checks, "place", place)


@pytest.mark.parametrize("name", ["products", "rises", "slices", "choices"])
def test_checks_notice_a_device_that_computes_something_else(name, monkeypatch):
    @torch.no_grad()
    def change(place):
        for p in place.network.parameters():
            p.mul_(1 + 0.1 * torch.rand(p.shape, generator=torch.Generator().manual_seed(0)))

    wrong_place(monkeypatch, change)
    with pytest.raises(AssertionError):
        device_checks.CHECKS[name](CPU, True)


def test_a_failure_is_told_and_does_not_stop_the_rest(tmp_path, monkeypatch, capsys):
    def broken(device, quick):
        raise RuntimeError("no kernel")

    def differs(device, quick):
        raise AssertionError("differ by 3")

    monkeypatch.setattr(gpu, "CHECKS", {"broken": broken, "differs": differs, "fine": lambda d, q: {"x": 1}})
    monkeypatch.setattr(gpu, "TIMINGS", {})
    out = tmp_path / "report.json"
    assert gpu.main(["--device", "cpu", "--quick", "--data", str(tmp_path), "--out", str(out)]) == 1
    report = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == report
    assert report["failed"] == 2
    assert report["checks"]["broken"]["why"] == "RuntimeError: no kernel"
    assert report["checks"]["differs"]["why"] == "differ by 3"
    assert report["checks"]["fine"]["outcome"] == "ok"
    assert "MNIST is not here" in report["timings"]["mnist run"]["cpu"]["skipped"]


def test_what_is_known_is_written_before_the_end(tmp_path, monkeypatch):
    out, seen = tmp_path / "report.json", []
    late = lambda d, q: seen.append(json.loads(out.read_text())["checks"]) or {}  # noqa: E731
    monkeypatch.setattr(gpu, "CHECKS", {"first": lambda d, q: {"x": 1}, "second": late, "third": late})
    monkeypatch.setattr(gpu, "TIMINGS", {})
    gpu.main(["--device", "cpu", "--quick", "--out", str(out), "--only", "first", "second"])
    assert [list(known) for known in seen] == [["first"]]
    assert list(json.loads(out.read_text())["checks"]) == ["first", "second"]


def test_an_unknown_piece_is_one_line(capsys):
    assert gpu.main(["--device", "cpu", "--only", "slice"]) == 2
    assert capsys.readouterr().err.startswith("error: nothing is called 'slice'; choose from events, methods,")


def test_nothing_new_is_begun_after_the_deadline():
    assert gpu.attempt("late", lambda d, q: {}, CPU, True, time.monotonic() - 1)["outcome"] == "left out"


def test_an_unknown_device_is_one_line(capsys):
    missing = "cuda:99" if torch.cuda.is_available() else "cuda"
    assert gpu.main(["--device", missing]) == 2
    assert capsys.readouterr().err.startswith("error: device")


@pytest.mark.slow
def test_the_whole_script_proves_itself_on_a_cpu(tmp_path):
    assert gpu.main(["--device", "cpu", "--quick", "--out", str(tmp_path / "gpu.json")]) == 0
