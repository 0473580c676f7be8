"""RunStore: one folder a run, which is the truth about it. Loads neither torch nor anything heavy.

    config.json  label.json  machine.json  worker.json  events.jsonl  measured.jsonl  arrays/*.npz
    checkpoints/*.safetensors  analyses.jsonl  log.jsonl  log.txt  done.json  CANCEL

What a run told that had to begin anew is in events-before.jsonl and measured-before.jsonl.
Wall time and memory are measured into a file of their own, so that equal runs have byte-identical events.
"""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from esacl import device_locks, origin
from esacl.analysis_recording import keep_analysis
from esacl.arrays import array_name, read_arrays
from esacl.checkpoints import newest
from esacl.config import RunConfig
from esacl.durable import append_regular, read_json, replace_json
from esacl.errors import InputError, RunUnreadable
from esacl.events import Cancelled, CheckpointReady, Event, Failed, RunFinished
from esacl.formats import numbered
from esacl.labels import write_label
from esacl.recording import Recorder
from esacl.records import RunRecord, Status, Tail, read_config_file, read_events, read_measured
from esacl.workers import Workers

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class RunStore:
    """The runs below `root`. The folder is made when the first run is."""

    def __init__(self, root: Path | str = "runs") -> None:
        self.root = Path(root)
        self.workers = Workers(self.root)

    def create(self, config: RunConfig) -> str:
        """Make the folder of a new run and return its id, unique for each start.

        Raises:
            InputError: the runs folder cannot be written.
        """
        stamp = time.strftime("%Y%m%d-%H%M%S")
        stem = f"{stamp}-{config.benchmark}-{config.method}-{config.digest[:6]}"
        temporary = self.root / f".new-{stem}-{os.getpid()}-{time.monotonic_ns()}"
        try:
            temporary.mkdir(parents=True)
            replace_json(temporary / "config.json", numbered(config.to_dict()))
            for number in range(1, 10_000):
                run_id = stem if number == 1 else f"{stem}-{number}"
                if (self.root / run_id).exists():
                    continue
                with contextlib.suppress(FileExistsError, IsADirectoryError):
                    temporary.rename(self.root / run_id)  # a folder with its config, or no folder
                    return run_id
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            where = f"runs folder {self.root.absolute()} cannot be written ({error.strerror})"
            raise InputError(f"{where}; mend it, or name another with --runs") from None
        raise InputError(f"more than 9999 runs {stem} in {self.root}; delete some")

    def record(
        self,
        stream: Iterable[Event],
        run_id: str | None = None,
        *,
        start: CheckpointReady | None = None,
        measure: Callable[[], dict[str, Any]] | None = None,
    ) -> Iterator[Event]:
        """Passes each event of `stream` on after it is kept; closing the iterator cancels the run.

        Without `run_id` the folder of a new run is made from `stream.config`, and removed again where the
        stream refuses its input. With `start`, what the folder holds after that checkpoint is dropped and the
        stream goes on from there. `measure` returns what to note beside the seconds: {"peak_bytes": 1}.

        Raises:
            InputError: the input is refused before the run starts, or the run is finished or being worked on.
        """
        made = run_id is None
        run_id = run_id or self.create(stream.config)  # type: ignore[attr-defined]
        folder = self.folder(run_id)
        if self.status(run_id).state == "finished":
            raise InputError(f"run {run_id} is finished; start a new one")
        try:
            with self.workers.hold(run_id):
                yield from Recorder(folder, start, measure).follow(stream)
        except InputError:
            if made:
                shutil.rmtree(folder, ignore_errors=True)
            raise

    def record_analysis(self, run_id: str, stream: Iterable[Event]) -> Iterator[Event]:
        """Passes each event of an analysis on after it is kept in `analyses.jsonl`, arrays in `arrays/`.

        The last event is RunFinished, Cancelled or Failed.

        Raises:
            InputError: the analysis refuses its input, or the run is being worked on.
        """
        with self.workers.hold(run_id):
            yield from keep_analysis(self.folder(run_id), stream)

    def ids(self) -> tuple[str, ...]:
        """The ids of all runs, newest first; corrupt ones too.

        Raises:
            InputError: the runs folder is there and cannot be read.
        """
        found: list[tuple[str, int, str]] = []
        try:
            found += (
                (entry.name[:15], _changed(entry.path), entry.name)
                for entry in os.scandir(self.root)
                if entry.is_dir(follow_symlinks=False) and _is_run(entry.path)
            )
        except (FileNotFoundError, NotADirectoryError):  # the first run makes it, or says why not
            pass
        except OSError as error:
            told = f"runs folder {self.root.absolute()} cannot be read ({error.strerror})"
            raise InputError(f"{told}; mend it, or name another with --runs") from None
        return tuple(name for _, _, name in sorted(found, reverse=True))

    def resolve(self, text: str) -> str:
        """The id that `text` means: an id, a unique prefix, or `latest`.

        Raises:
            InputError: no run, or several.
        """
        ids = self.ids()
        if text == "latest" and ids:
            return ids[0]
        if text in ids:
            return text
        matches = [run_id for run_id in ids if text and run_id.startswith(text)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise InputError(f"run {text[:80]!r} may be {', '.join(matches[:5])}; write more of the id")
        raise self._no_run(text)

    def folder(self, run_id: str) -> Path:
        """The run's folder.

        Raises:
            InputError: not an id, or no such run here.
        """
        path = self.root / run_id if _RUN_ID.fullmatch(run_id) else None
        if path is None or path.is_symlink() or not path.is_dir():
            raise self._no_run(run_id)
        return path

    def config(self, run_id: str) -> RunConfig:
        """The run's config.

        Raises:
            RunUnreadable: it is damaged.
        """
        return read_config_file(self.folder(run_id))

    def status(self, run_id: str) -> Status:
        """How the run stands; never raises for a corrupt folder, which is `unreadable` with the reason."""
        return self.config_and_status(run_id)[1]

    def config_and_status(self, run_id: str) -> tuple[RunConfig | None, Status]:
        """The run's config, None where it cannot be read, and how the run stands."""
        folder = self.folder(run_id)
        try:
            config = read_config_file(folder)
        except RunUnreadable as error:
            return None, Status("unreadable", str(error))
        return config, self.standing(run_id)

    def standing(self, run_id: str, positions: Mapping[str, int] | None = None) -> Status:
        """How a run stands whose config can be read; where many are asked for, `positions` is `workers.positions()`."""
        folder = self.folder(run_id)
        try:
            if (folder / "done.json").exists():
                done = read_json(folder / "done.json")
                if done.get("status") not in ("finished", "failed", "cancelled"):
                    raise RunUnreadable(f"{folder / 'done.json'} names no status; resume or delete the run")
                return Status(done["status"], str(done.get("detail") or ""))
        except RunUnreadable as error:
            return Status("unreadable", str(error))
        if not self.workers.alive(run_id):
            return Status("lost", "its process died; resume it to go on from its checkpoint")
        device = str(self.workers.about(run_id).get("waiting_for") or "")
        if device:
            place = (positions.get(run_id) if positions is not None else None) or self.workers.position(run_id)
            elsewhere = place == 1 and device_locks.held_elsewhere(self.root, device)
            who = ", which a job of another runs folder has" if elsewhere else ""
            return Status("queued", f"waits for {device}{who}", place, elsewhere)
        return Status("running" if _has_started(folder) else "loading")

    def analysis_status(self, run_id: str) -> Status | None:
        """How the run's last analysis stands: None where there was none."""
        folder = self.folder(run_id)
        if not (folder / "analyses.jsonl").exists():
            return None
        if not self.status(run_id).live and self.workers.alive(run_id):
            return Status("running")
        events = read_events(folder / "analyses.jsonl")
        last = events[-1] if events else None
        if isinstance(last, Failed):
            return Status("failed", last.error)
        if isinstance(last, (RunFinished, Cancelled)):
            return Status("finished" if isinstance(last, RunFinished) else "cancelled")
        return Status("lost", "its process has died; start the analysis again")

    def read(self, run_id: str, *, without: Sequence[type[Event]] = ()) -> RunRecord:
        """All that is kept of a run except its arrays and checkpoints.

        Args:
            run_id: The run.
            without: Kinds of events to leave out: what is not parsed takes no time, and its damage is not seen.

        Raises:
            RunUnreadable: the config or the events are damaged; names the file and the remedy.
        """
        folder = self.folder(run_id)
        return RunRecord(
            run_id=run_id,
            config=read_config_file(folder),
            status=self.status(run_id),
            events=read_events(folder / "events.jsonl", without=without),
            measured=read_measured(folder / "measured.jsonl"),
            machine=origin.kept(folder),
        )

    def tail(self, run_id: str, lines: str = "events") -> Tail:
        """A follower of the run's events, or of its `analyses`."""
        return Tail(self.folder(run_id) / f"{array_name(lines)}.jsonl")

    def measured(self, run_id: str) -> tuple[dict[str, Any], ...]:
        """What was measured so far: {"events", "seconds", "peak_bytes", ...}, ascending."""
        return read_measured(self.folder(run_id) / "measured.jsonl")

    def array_names(self, run_id: str) -> tuple[str, ...]:
        """The names of the kept arrays, sorted."""
        return tuple(sorted(path.stem for path in (self.folder(run_id) / "arrays").glob("*.npz")))

    def array(self, run_id: str, name: str) -> dict[str, np.ndarray]:
        """The arrays kept under `name`.

        Raises:
            InputError: not the name of an array.
            RunUnreadable: missing or damaged.
        """
        return read_arrays(self.folder(run_id) / "arrays" / f"{array_name(name)}.npz")

    def checkpoint(self, run_id: str) -> CheckpointReady | None:
        """The newest state to go on from, or None where none was kept.

        Raises:
            RunUnreadable: there are checkpoints, and none can be read.
        """
        found = newest(self.folder(run_id) / "checkpoints")
        return found[0] if found else None

    def cancel(self, run_id: str) -> None:
        """Ask whoever works on the run to stop after the current event.

        Raises:
            InputError: the folder cannot be written.
        """
        try:
            with append_regular(self.folder(run_id) / "CANCEL") as flag:
                os.utime(flag.fileno())
        except OSError as error:
            raise InputError(f"{run_id} cannot be cancelled ({error.strerror}); mend its folder") from None

    def reopen(self, run_id: str) -> None:
        """Clear what an earlier end has left, before a run is resumed or analysed."""
        (self.folder(run_id) / "CANCEL").unlink(missing_ok=True)

    def finish(self, run_id: str, status: str, detail: str = "") -> None:
        """Note the end of a run whose process never came to record one.

        Raises:
            OSError: the folder cannot be written.
        """
        self.reopen(run_id)
        replace_json(self.folder(run_id) / "done.json", {"status": status, "detail": detail})

    def rename(self, run_id: str, name: str) -> None:
        """Call a run `name` from now on; its config stays as it was started.

        Raises:
            InputError: no such run, no name for a run, or the folder cannot be written.
        """
        write_label(self.folder(run_id), name)

    def delete(self, run_id: str) -> None:
        """Delete a run that nobody works on, for good; `trash.discard` can be undone.

        Raises:
            InputError: it is being worked on, cannot be deleted, or something is left of it.
        """
        folder = self.folder(run_id)
        trash = self.root.absolute() / f".deleted-{run_id}-{time.monotonic_ns()}"
        with self.workers.hold(run_id):
            try:
                folder.rename(trash)  # gone from the list at once, however long the deleting takes
            except OSError as error:
                raise InputError(f"run {run_id} cannot be deleted ({error.strerror}); mend {folder}") from None
            try:
                shutil.rmtree(trash)
            except OSError as error:
                raise InputError(f"run {run_id} is deleted, but for {trash} ({error.strerror}); delete that") from None

    def _no_run(self, text: str) -> InputError:
        return InputError(f"no run {text[:80]!r} in {self.root.absolute()}; `esacl list` shows what there is")


def _is_run(path: str) -> bool:
    name = os.path.basename(path)
    files = ("config.json", "events.jsonl", "done.json")
    looks = re.match(r"\d{8}-\d{6}-", name) or any(os.path.exists(os.path.join(path, file)) for file in files)
    return bool(_RUN_ID.fullmatch(name) and looks)


def _changed(path: str) -> int:
    try:
        return os.stat(os.path.join(path, "config.json")).st_mtime_ns
    except OSError:
        return 0


def _has_started(folder: Path) -> bool:
    try:
        with (folder / "events.jsonl").open("rb") as file:
            return b'"event":"RunStarted"' in file.read(4096)
    except OSError:
        return False
