"""Keeps a run's stream of events in its folder: each event is durable before anybody sees it."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from esacl import machine, origin
from esacl.arrays import keep_arrays
from esacl.checkpoints import Place, drop_later, place_of, write_checkpoint
from esacl.durable import leftovers, read_regular, replace_file, replace_json
from esacl.errors import InputError, RunFailure, RunUnreadable
from esacl.event_file import Lines
from esacl.events import (
    ArrayRecorded,
    Cancelled,
    CheckpointReady,
    Event,
    Failed,
    Loading,
    Pulse,
    RunFinished,
    Stepped,
    TaskFinished,
)
from esacl.failures import explain, is_foreseen
from esacl.records import is_number, read_measured, start_of

MEASURED_EVERY = 1.0  # seconds
RESERVE, RESERVE_BYTES = ".reserve", 16 * 1024  # kept free for the last event and `done.json`


class Recorder:
    """Keeps the events of one run, from the checkpoint `start` on or from the beginning.

    Raises:
        OSError: the folder cannot be written.
        RunUnreadable: `start` is not a checkpoint that this folder holds.
    """

    def __init__(
        self, folder: Path, start: CheckpointReady | None, measure: Callable[[], dict[str, Any]] | None
    ) -> None:
        self.folder = folder
        self._measure = measure or (lambda: {"peak_bytes": machine.peak_bytes()})
        self._resumed = start is not None
        self._started = self._ended = False
        place = place_of(folder / "checkpoints", start) if start is not None else Place(0, 0)
        if start is None:
            _keep_aside(folder)
        self._lines = Lines(folder / "events.jsonl", place)
        self._reserve = folder / RESERVE
        try:
            drop_later(folder / "checkpoints", start)
            for path in leftovers(folder):
                path.unlink(missing_ok=True)
            _keep_room(self._reserve)
            replace_json(folder / "machine.json", machine.facts_after(origin.kept(folder) if start else {}))
            (folder / "done.json").unlink(missing_ok=True)
            self._seconds_before, self._training_seconds = self._cut_measured(place)
        except RunUnreadable:  # of a folder with links in it nothing more is written
            self._lines.close()
            raise
        except OSError as error:  # there is no room even to begin, but for this
            with contextlib.suppress(OSError):
                self._reserve.unlink(missing_ok=True)
                self._lines.append(Failed(error=explain(error, folder)))
            self._lines.close()
            raise
        self._begun = self._measured_at = time.monotonic()

    def follow(self, stream: Iterable[Event]) -> Iterator[Event]:
        """Passes on each event of `stream` after it is kept, and closes the record however the stream ends.

        Raises:
            InputError: the stream refuses its input before anything but loading has happened.
            Exception: whatever unforeseen the stream raises, after it is kept as `Failed`.
        """
        try:
            yield from self._follow(stream)
        except (GeneratorExit, KeyboardInterrupt):
            self._end(Cancelled(), "cancelled")
            raise
        except InputError as error:
            failed = self._end(Failed(error=str(error)), "failed")
            if not self._started:
                raise
            yield failed
        except Exception as error:
            yield self._end(Failed(error=explain(error, self.folder)), "failed")
            if not is_foreseen(error):
                raise
        finally:
            close(stream)
            self._lines.close()

    def _follow(self, stream: Iterable[Event]) -> Iterator[Event]:
        asked = time.monotonic()
        for event in stream:
            if isinstance(event, Stepped) and self._training_seconds is not None:
                # Before any other event something is evaluated, cut or only shown.
                self._training_seconds += time.monotonic() - asked
            self._keep(event)
            if isinstance(event, RunFinished):
                yield self._end(event, "finished", kept=True)
                return
            yield event
            if (self.folder / "CANCEL").exists():
                yield self._end(Cancelled(), "cancelled")
                return
            asked = time.monotonic()  # who follows the run has had the time until now
        raise RunFailure("the run stopped without finishing; look into log.txt, then resume it")

    def _keep(self, event: Event) -> None:
        if isinstance(event, CheckpointReady):
            self._lines.sync()
            write_checkpoint(self.folder / "checkpoints", event, self._lines.place)
            return
        if isinstance(event, Pulse):
            return
        if isinstance(event, Loading) and self._resumed:
            return  # a resumed run ends with the very lines of one that was never disturbed
        if isinstance(event, ArrayRecorded):
            keep_arrays(self.folder, event)
        self._lines.append(event)
        self._started = self._started or not isinstance(event, Loading)
        if time.monotonic() - self._measured_at >= MEASURED_EVERY or isinstance(event, TaskFinished):
            self._stamp()

    def _end(self, event: Event, status: str, *, kept: bool = False) -> Event:
        told = self._lines.place.lines
        while not self._ended:
            try:
                with contextlib.suppress(OSError):
                    self._reserve.unlink(missing_ok=True)  # where the disk is full, this is the room to say so
                if not kept and self._lines.place.lines == told:
                    with contextlib.suppress(OSError):
                        self._lines.append(event)
                with contextlib.suppress(OSError):
                    self._finish(status, event.error if isinstance(event, Failed) else "")
                self._ended = True
            except KeyboardInterrupt:
                continue  # who asks twice to stop gets the end that is being written, and no run without one
        return event

    def _finish(self, status: str, detail: str) -> None:
        (self.folder / "CANCEL").unlink(missing_ok=True)
        self._reserve.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._stamp()
        self._lines.sync()
        done = {"status": status, "detail": detail, "events": self._lines.place.lines}
        replace_json(self.folder / "done.json", done)
        self._ended = True

    def _stamp(self) -> None:
        self._measured_at = time.monotonic()
        seconds = self._seconds_before + self._measured_at - self._begun
        entry = {
            "events": self._lines.place.lines,
            "seconds": round(seconds, 3),
            **({"training_seconds": round(self._training_seconds, 3)} if self._training_seconds is not None else {}),
            **self._measure(),
        }
        with (self.folder / "measured.jsonl").open("ab", buffering=0) as file:
            file.write((json.dumps(entry) + "\n").encode())

    def _cut_measured(self, place: Place) -> tuple[float, float | None]:
        """Seconds until `place`, in all and of training; None where a run of before did not tell them apart."""
        path = self.folder / "measured.jsonl"
        kept = [entry for entry in read_measured(path) if entry["events"] <= place.lines and self._resumed]
        replace_file(path, "".join(json.dumps(entry) + "\n" for entry in kept).encode())
        if not kept:
            return 0.0, 0.0
        training = kept[-1].get("training_seconds")
        return float(kept[-1]["seconds"]), training if is_number(training) else None


def _keep_room(path: Path) -> None:
    path.unlink(missing_ok=True)
    with path.open("xb") as file:  # a new file: a link of that name would lead to somebody else's
        file.write(b"\0" * RESERVE_BYTES)


def _keep_aside(folder: Path) -> None:
    """What a run without a checkpoint told until now, before it begins anew: nothing that was kept is lost."""
    path = folder / "events.jsonl"
    nothing_yet = tuple(start_of(kind) for kind in (Loading, Failed, Cancelled))
    lines = read_regular(path).splitlines()
    if any(not line.startswith(nothing_yet) for line in lines):
        for name in ("events", "measured"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(folder / f"{name}.jsonl", folder / f"{name}-before.jsonl")


def close(stream: Iterable[Event]) -> None:
    """Let a stream that can be closed end its work."""
    if hasattr(stream, "close"):
        stream.close()
