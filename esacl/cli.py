"""The command line. Bad input is one line on stderr and exit code 2; 1: the run failed; 130: cancelled."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from esacl import __version__, analyse_command, run_commands
from esacl.commands import BAD_INPUT, Command, Parser, add_json, commands_of
from esacl.errors import InputError
from esacl.ranks import of_torchrun
from esacl.store import RunStore

_JOBS = ("run", "resume", "analyse")  # what the app starts as jobs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; one of several processes that torchrun started ends with it."""
    ranks = of_torchrun()
    if ranks is None:
        return _main(arguments)
    from esacl import torchrun

    torchrun.main(ranks, _main, arguments)


def _main(arguments: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Greek still gets the numbers
    words = sys.argv[1:] if arguments is None else arguments
    known = parser(of_job="--held-lock" in words and words[0] in _JOBS)
    args, rest = known.parse_known_args(arguments)
    if rest and not args.passes_on:
        args.parser.error(f"unknown {rest[0]!r}")
    if of_torchrun() and args.command not in (run_commands.run, run_commands.resume):
        args.parser.error("only run and resume are for several processes; start this one without torchrun")
    args.rest = rest
    args.runs = args.runs or Path(os.environ.get("ESACL_RUNS") or "runs")
    try:
        return int(args.command(args))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror}; make room or mend it", file=sys.stderr)
        return 1


def parser(*, of_job: bool = False) -> argparse.ArgumentParser:
    """Every command and its options, in the order in which `esacl --help` shows them.

    Args:
        of_job: those alone that a job is started with. Many jobs may wait on one machine, and importing the others is
            a third of what it costs each to come to its turn.
    """
    top = Parser(prog="esacl", description="Efficient continual learning of sparse models.")
    top.add_argument("--version", action="version", version=f"esacl {__version__}")
    command = commands_of(top)
    if of_job:
        run_commands.add_run(command)
        analyse_command.add(command)
        run_commands.add_resume(command)
        return top
    from esacl import keeping, read_commands
    from esacl.sweep import command as sweeping

    run_commands.add_run(command)
    analyse_command.add(command)
    read_commands.add_list(command)
    read_commands.add_show(command)
    run_commands.add_resume(command)
    read_commands.add_compare(command)
    _add_doctor(command)
    keeping.add(command)
    sweeping.add(command)
    _add_app(command)
    return top


def _add_doctor(command: Command) -> None:
    one = command("doctor", _doctor, "versions, device, data sets, browser, and how the runs are")
    one.add_argument("--repair", action="store_true", help="mend what can be mended without losing anything")
    one.add_argument(
        "--bundle", type=Path, metavar="FILE.zip", help="write what a report about a fault needs; no data, no weights"
    )
    add_json(one)


def _add_app(command: Command) -> None:
    one = command("app", _app, "open the web app; options of `streamlit run` are passed on")
    one.set_defaults(passes_on=True)


def _doctor(args: argparse.Namespace) -> int:
    from esacl import doctor, fault_report

    found = doctor.examine(args.runs, args.data, repair=args.repair)
    if args.bundle is not None:
        fault_report.write(RunStore(args.runs), found, args.bundle)
    print(json.dumps(found) if args.json else doctor.as_text(found))
    return 0


def _app(args: argparse.Namespace) -> int:
    from esacl import serving

    return serving.serve(args.runs, args.data, args.rest)
