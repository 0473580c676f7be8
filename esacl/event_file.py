"""The file of event lines that a record is written into."""

import errno
import os
from pathlib import Path

from esacl.checkpoints import Place
from esacl.durable import checked_regular
from esacl.event_lines import to_line
from esacl.events import Event


class Lines:
    """An append-only file of event lines, one `os.write` each, opened at its first `place`."""

    def __init__(self, path: Path, place: Place) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        self._descriptor = checked_regular(os.open(path, flags, 0o644), path)
        self.place = place
        os.ftruncate(self._descriptor, place.offset)

    def append(self, event: Event) -> None:
        """Add a line that outlives this process.

        Raises:
            OSError: the disk is full; no part of the line is left.
        """
        line = (to_line(event) + "\n").encode()
        os.ftruncate(self._descriptor, self.place.offset)  # an interrupt may have left a line that was not counted
        written = os.write(self._descriptor, line)
        if written != len(line):
            os.ftruncate(self._descriptor, self.place.offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.place = Place(self.place.offset + len(line), self.place.lines + 1)

    def sync(self) -> None:
        """Wait until the lines outlive the machine."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._descriptor)
