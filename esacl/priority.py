"""A job gives way to a server on the same processors. A module of its own: a job does so before it imports anything."""

import contextlib
import os
import time
from pathlib import Path

_NICE = 10  # a ninth of a server's share, where both want the processor


def give_way() -> None:
    """Let a server on the same processors answer first: a job takes what is left, which is all where nobody asks.

    Of a process that leads no session nothing is changed: whose session it is in, we do not know.
    """
    if _leads():
        with contextlib.suppress(OSError):
            os.nice(_NICE)
        weigh_session()


def weigh_session() -> None:
    """Have this process's session give way as much as the process itself.

    Linux weighs sessions before processes (sched_autogroup), and a new one starts without the `nice` of who began it.
    """
    if not _leads():
        return
    for _ in range(5):
        try:
            Path("/proc/self/autogroup").write_text(str(os.nice(0)))
            return
        except BlockingIOError:  # one such wish in a tenth of a second, of all processes of the machine
            time.sleep(0.1)
        except OSError:
            return


def _leads() -> bool:
    return hasattr(os, "getsid") and os.getsid(0) == os.getpid()
