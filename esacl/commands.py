"""What all commands have in common: how one is added, where its runs and data are, how bad input is told."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

BAD_INPUT = 2
WHICH_RUN = "an id, a unique prefix, or `latest`"
# Adds a command by its name, what it does, and its help.
Command = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


class Parser(argparse.ArgumentParser):
    """A parser that tells bad input in one line, and takes no option by half its name."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end."""
        print(f"error: {message}; `{self.prog} --help` shows what there is", file=sys.stderr)
        raise SystemExit(BAD_INPUT)


def commands_of(top: Parser) -> Command:
    """What adds commands to a parser, each with the options that all have."""
    commands = top.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)

    def command(name: str, function: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(command=function, parser=one, passes_on=False)
        one.add_argument("--runs", type=Path, metavar="DIR", help="where the runs are; default $ESACL_RUNS, else runs/")
        where = "where the data sets are; default $ESACL_DATA, else your cache folder"
        one.add_argument("--data", type=Path, metavar="DIR", help=where)
        return one

    return command


def add_json(one: argparse.ArgumentParser) -> None:
    """Add the option to answer in JSON."""
    one.add_argument("--json", action="store_true", help="one JSON object on the last line of stdout")
