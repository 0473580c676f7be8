"""`python -m esacl` is the command `esacl`."""

import sys

from esacl.cli import main

if __name__ == "__main__":
    sys.exit(main())
