"""What a run or an analysis that cannot go on says: one line with the cause and what to do."""

import errno
from pathlib import Path

from esacl.errors import RunFailure, RunUnreadable, is_out_of_memory
from esacl.records import read_config_file


def explain(error: Exception, folder: Path) -> str:
    """One line for the reader: what stopped the run, and what to do."""
    if isinstance(error, RunFailure):
        return str(error)
    if is_out_of_memory(error):
        return f"out of memory; take {_smaller_batch(folder)} or a smaller curvature.examples, or another device"
    if isinstance(error, OSError):
        cause = f"the run's files cannot be written ({error.strerror or error})"
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        return f"{cause}; {'make room' if full else 'mend that'}, then `esacl resume {folder.name}`"
    report = "please report it with what `esacl doctor --bundle fault.zip` writes"
    text = f"internal error, {type(error).__name__}: {error}; {report}"
    return " ".join(text.split())


def _smaller_batch(folder: Path) -> str:
    """The batch size to try: half of the run's."""
    try:
        size = read_config_file(folder).batch_size
    except RunUnreadable:
        size = 1
    return f"batch_size {size // 2}" if size > 1 else "a smaller batch_size"


def is_foreseen(error: Exception) -> bool:
    """Whether one line says all of it: a run that cannot go on, a disk, a memory."""
    return isinstance(error, (RunFailure, OSError)) or is_out_of_memory(error)
