"""Keeps an analysis's stream of events in its run's folder, beside the events of the run itself."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from esacl.arrays import keep_arrays
from esacl.checkpoints import Place
from esacl.durable import read_regular
from esacl.errors import InputError
from esacl.event_file import Lines
from esacl.events import ArrayRecorded, Cancelled, Event, Failed, Pulse, RunFinished
from esacl.failures import explain, is_foreseen
from esacl.recording import close


def keep_analysis(folder: Path, stream: Iterable[Event]) -> Iterator[Event]:
    """Keeps the events of an analysis in `analyses.jsonl`, which ends with how the analysis ended.

    Raises:
        InputError: the stream refuses its input.
        Exception: whatever unforeseen the stream raises, after it is kept as `Failed`.
    """
    path = folder / "analyses.jsonl"
    before = read_regular(path)
    lines = Lines(path, Place(before.rfind(b"\n") + 1, before.count(b"\n")))
    end: Event = Cancelled()
    try:
        for event in stream:
            if isinstance(event, ArrayRecorded):
                keep_arrays(folder, event)
            if not isinstance(event, Pulse):
                lines.append(event)
            yield event
            if (folder / "CANCEL").exists():
                break
        else:
            end = RunFinished()
    except Exception as error:
        end = Failed(error=str(error) if isinstance(error, InputError) else explain(error, folder))
        if not is_foreseen(error):
            raise
    finally:
        close(stream)
        with contextlib.suppress(OSError):
            lines.append(end)
        lines.close()
        (folder / "CANCEL").unlink(missing_ok=True)
    yield end
