"""The command line of the HTML reports: runs of a folder in, one file out."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from esacl.durable import write_out
from esacl.errors import InputError
from esacl.store import RunStore


def write(
    arguments: Sequence[str] | None,
    make: Callable[[RunStore, list[str]], bytes],
    *,
    prog: str,
    about: str,
    several: bool = False,
) -> int:
    """Write the file and return the exit code: 2 with one line on stderr where that cannot be.

    Args:
        arguments: Of the command line; None takes those of the process.
        make: The store and the ids of the runs -> the file.
        prog: What the help calls the command.
        about: What the help says of it.
        several: Whether it is of several runs.
    """
    parser = argparse.ArgumentParser(prog=prog, description=about)
    parser.add_argument("ids", metavar="RUN", nargs="+" if several else 1)
    parser.add_argument("--runs", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    args = parser.parse_args(arguments)
    store = RunStore(args.runs)
    try:
        write_out(args.out, make(store, [store.resolve(run_id) for run_id in args.ids]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
