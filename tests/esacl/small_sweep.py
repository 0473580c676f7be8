"""`esacl` whose sweeps have runs made of numbers, as a process that others start: `python -m small_sweep sweep ...`."""

from esacl import cli
from esacl.sweep import carry

if __name__ == "__main__":
    carry.WORKER = "small_worker"
    raise SystemExit(cli.main())
