"""`python -m esacl` is the command `esacl`."""

import sys

from esacl import priority


def main() -> int:
    """The command line, also for who interrupts it before it is there: importing takes a moment."""
    if "--held-lock" in sys.argv:  # a job, of which a server on these processors may start many
        priority.give_way()
    try:
        from esacl import cli

        return cli.main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
