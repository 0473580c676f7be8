"""`torchrun -m esacl run`: one process leads, the others follow it and hold nothing that could be lost.

The first process does what `esacl` does alone: it reads the command line, makes the run's folder, keeps and prints.
The others are told by it what to compute and go through the same events, which they throw away. So a stop needs no
agreement: whenever and however the leader ends (finished, cancelled, failed, by bad input), it says so in torchrun's
key-value store, and a thread in each follower ends its process at once, even inside an exchange that nobody will answer
any more. Signals are the leader's alone. A follower that fails tells why, one that is killed is missed by its number,
on another machine by its heartbeat; the run is then recorded as failed, by the leader's main thread, or by a thread
where that one waits for the lost process and cannot be woken.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from esacl.follower import follow
from esacl.leader import lead
from esacl.ranks import Ranks


def main(ranks: Ranks, command: Callable[[Sequence[str] | None], int], arguments: Sequence[str] | None) -> NoReturn:
    """What this process has to do, as leader or follower; ends the process.

    An exchange that is left half-done would hold up a process that ends in the ordinary way.
    """
    code = lead(ranks, command, arguments) if ranks.rank == 0 else follow(ranks)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
