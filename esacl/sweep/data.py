"""Whether the data sets of a sweep are there, before its runs start: `python -m esacl.sweep.data BENCHMARK ...`.

What can be downloaded is, once, and not by every worker at the same time. In a process of its own, for it loads torch.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from esacl.config import RunConfig
from esacl.errors import InputError

ALWAYS_THERE = ("split-digits",)  # it comes with scikit-learn


def missing(benchmarks: Iterable[str], data: Path | None) -> str:
    """Why this machine cannot compute these benchmarks, in one line; nothing where it can."""
    wanted = sorted(set(benchmarks) - set(ALWAYS_THERE))
    if not wanted:
        return ""
    command = [sys.executable, "-m", "esacl.sweep.data", *wanted, *(["--data", str(data)] if data else [])]
    found = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    lines = [line for line in found.stderr.splitlines() if line.strip()]
    return "" if found.returncode == 0 else lines[-1] if lines else "its data sets cannot be read"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the data set of each benchmark; what is wrong is the last line of stderr."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("benchmarks", nargs="+")
    parser.add_argument("--data", type=Path)
    args = parser.parse_args(arguments)
    from esacl.tasks import task_stream

    for name in args.benchmarks:
        try:
            task_stream(RunConfig(benchmark=name), args.data)
        except InputError as error:
            print(error, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
