"""Every check and every benchmark that needs a GPU, in one command of under ten minutes.

    python -m benchmarks.gpu --data DIR

It needs torch >= 2.10, numpy, pydantic (which brings pydantic-core, annotated-types, typing-inspection and
typing-extensions), platformdirs, PyHessian, Pillow, scipy, threadpoolctl, and the files of an installed scikit-learn,
which hold the digits. A machine without internet needs the wheels of those that it lacks; EsaCL itself need not be
installed, the root of a checkout is enough. Streamlit, plotly, pandas, safetensors, psutil, tqdm and pooch are not
asked for. MNIST and CIFAR-10 (`cifar-10-batches-py`) are used where they are found; the MNIST run is left out without,
ResNet-18 looks at made-up images of CIFAR's shape instead.

What it found is printed and written as one JSON file; the exit code is 1 where a check failed. With `--device cpu
--quick` it proves itself in a minute on any machine.
"""

import argparse
import json
import platform
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.device_checks import CHECKS
from benchmarks.device_landscape import resnet_landscape
from benchmarks.device_protocol import protocol_steps, two_four
from benchmarks.device_timings import TIMINGS, mnist_run
from benchmarks.provenance import code_digest, commit
from esacl import machine
from esacl.devices import device_name, resolve_device
from esacl.errors import InputError

Work = Callable[[torch.device, bool], dict[str, Any]]
# Not timed on the CPU beside: a run is known from the tables, and ResNet-18 takes hours there.
DEVICE_ONLY: dict[str, Callable[..., dict[str, Any]]] = {
    "resnet-18": resnet_landscape,
    "protocol steps": protocol_steps,
    "2:4": lambda device, quick, data: two_four(device, quick),
    "mnist run": mnist_run,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do it all, print it, write it; 1 where a check failed or a timing broke down."""
    args = _parser().parse_args(arguments)
    try:
        device = resolve_device(args.device)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    deadline = time.monotonic() + 60 * args.minutes
    with_data = {name: partial(work, data=args.data) for name, work in DEVICE_ONLY.items()}
    timings: dict[str, Work] = {**TIMINGS, **with_data}
    if unknown := sorted({*(args.only or ())} - {*CHECKS, *timings}):
        print(f"error: nothing is called {unknown[0]!r}; choose from {', '.join([*CHECKS, *timings])}", file=sys.stderr)
        return 2
    report: dict[str, Any] = {
        "machine": _machine(device), "quick": args.quick, "checks": {}, "timings": {}, "failed": 0
    }  # fmt: skip
    print(f"{report['machine']['device_name']}, torch {torch.__version__}")
    for name, check in CHECKS.items():
        if not args.only or name in args.only:
            report["checks"][name] = attempt(name, check, device, args.quick, deadline)
            _write(report, args.out)
    for name, work in timings.items():
        if args.only and name not in args.only:
            continue
        alone = device.type == "cpu" or args.without_cpu or name in DEVICE_ONLY
        report["timings"][name] = {}
        for place in [device] if alone else [device, torch.device("cpu")]:
            told = f"{name} on {place.type}"
            report["timings"][name][place.type] = attempt(told, work, place, args.quick, deadline)
            _write(report, args.out)
    print(json.dumps(report))
    return 1 if report["failed"] else 0


def _write(report: dict[str, Any], path: Path) -> None:
    """Write what is known so far: a machine that is lent may be taken back before the end."""
    outcomes = [*report["checks"].values(), *(o for places in report["timings"].values() for o in places.values())]
    report["failed"] = sum(outcome["outcome"] == "failed" for outcome in outcomes)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def attempt(name: str, work: Work, device: torch.device, quick: bool, deadline: float) -> dict[str, Any]:
    """What one piece of work found; a failure is told and does not stop the others."""
    if time.monotonic() > deadline:
        print(f"left out  {name}: out of time")
        return {"outcome": "left out", "why": "out of time"}
    begin = time.monotonic()
    try:
        found = {"outcome": "ok", **work(device, quick)}
    except AssertionError as error:
        found = {"outcome": "failed", "why": str(error) or traceback.format_exc(limit=-1)}
    except Exception as error:  # one broken kernel must not cost what the others have to say
        traceback.print_exc()
        found = {"outcome": "failed", "why": f"{type(error).__name__}: {error}"}
    found["took_s"] = round(time.monotonic() - begin, 2)
    print(f"{found['outcome']:<9} {name} in {found['took_s']} s {found.get('why', '')}", flush=True)
    return found


def _machine(device: torch.device) -> dict[str, Any]:
    facts = machine.facts()
    facts["versions"] |= {"torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version()}
    return {
        **facts,
        "device": str(device),
        "device_name": device_name(device),
        "commit": commit(),
        "code": code_digest(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--device", default="auto", help="auto, cuda, cuda:1, mps, cpu")
    options.add_argument("--quick", action="store_true", help="small sizes: proves the code, measures nothing")
    options.add_argument("--only", nargs="+", metavar="NAME", help="these checks and timings; default all")
    options.add_argument("--without-cpu", action="store_true", help="do not time the CPU beside the device")
    options.add_argument("--minutes", type=float, default=9.0, help="nothing new is begun after so many")
    options.add_argument("--data", type=Path, metavar="DIR", help="where MNIST is, as for `esacl run`, and CIFAR-10")
    options.add_argument("--out", type=Path, metavar="FILE.json", default=Path("benchmarks/results/gpu.json"))
    return options


if __name__ == "__main__":
    raise SystemExit(main())
