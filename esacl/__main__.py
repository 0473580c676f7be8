"""`python -m esacl` is the command `esacl`."""

import sys


def main() -> int:
    """The command line, also for who interrupts it before it is there: importing takes a moment."""
    try:
        from esacl import cli

        return cli.main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
