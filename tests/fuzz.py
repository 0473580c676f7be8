"""Inputs that nobody wrote, for every reader of what people pass on: `python -m tests.fuzz --workers 2`.

A reader may return or raise `InputError`. Anything else is a fault: another error, more than `CPU_SECONDS` for one
input, or a request for memory that the process, held to `CAP` bytes more than it has, is refused. Input n of a reader
is the same whenever and by whichever process it is made: `--seed 0 --first 70000` goes on where 70,000 a reader were
enough, and the command that is printed with a fault makes that input again.
"""

import argparse
import concurrent.futures
import contextlib
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # as pytest has it

from fuzz_readers import READERS, Reader

from esacl.errors import InputError

CAP = 512 * 2**20
CPU_SECONDS = 10.0
PIECE = 1000  # inputs that a process takes at a time
RETURNED, REFUSED = "returned", "refused"
TOKENS = (
    b"NaN", b"Infinity", b"-1", b"1e999", b"null", b"true", b'""', b"[]", b"{}", b"[" * 2000, b"{" * 50, b"9" * 5000,
    b"\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\n", b'"', b"../", b"\\u0000", b"\\ud800",
    b"\xed\xa0\x80", b"a." * 2000, b"9" * 400,
)  # fmt: skip
VALUE = re.compile(rb'"[^"\n]{0,99}"|-?\d[\d.e+-]*|true|false|null')  # of JSON and TOML
VALUES = (
    b"null", b"true", b"-1", b"0", b"0.5", b"1e308", b"1e999", b"NaN", b"9" * 400, b"[]", b"{}", b"[[1], 2]",
    b'{"a": 1}', b'""', b'"x"', b'"../x"', b'"\\u0000"', b'"\\ud800"', b'"' + b"x" * 5000 + b'"', b"2147483648",
    b"-9223372036854775809",
)  # fmt: skip


@dataclass
class Tally:
    """What a reader did with its inputs. `faults`: (number of the input, what is wrong, input)."""

    inputs: int = 0
    returned: int = 0
    refused: int = 0
    seconds: float = 0.0
    megabytes: int = 0
    faults: list[tuple[int, str, bytes]] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count the inputs of another process too."""
        self.inputs, self.returned = self.inputs + other.inputs, self.returned + other.returned
        self.refused, self.seconds = self.refused + other.refused, self.seconds + other.seconds
        self.megabytes = max(self.megabytes, other.megabytes)
        self.faults += other.faults


def mutated(seeds: tuple[bytes, ...], rng: random.Random) -> bytes:
    """A seed with one to six changes: bits, values, nasty words, pieces lost, doubled, moved, of another seed."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randint(0, len(data))
        length = min(rng.choice((1, 2, 4, 8, 64)), max(0, len(data) - at))
        kind = rng.randrange(10)
        if kind == 0 and length:
            data[at : at + length] = rng.randbytes(length)
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 3 and length:
            data[at : at + length] = rng.choice(TOKENS)
        elif kind == 4:
            data[at:at] = data[at : at + length]
        elif kind == 5:
            other = rng.choice(seeds)
            start = rng.randint(0, len(other))
            data[at : at + length] = other[start : start + rng.choice((4, 32, 256))]
        elif kind == 6:
            del data[at:]
        elif kind in (7, 8) and (found := VALUE.search(data, at) or VALUE.search(data)):
            data[found.start() : found.end()] = rng.choice(VALUES)
        elif length:
            data[at] ^= 1 << rng.randrange(8)
    return bytes(data[: 2**20])


class Hangs(BaseException):
    """An input that a reader does not come back from."""


def came_of(reader: Reader, content: bytes, folder: Path) -> str:
    """What the reader did with an input: `RETURNED`, `REFUSED`, or what is wrong."""
    try:
        reader.read(content, folder)
    except InputError as error:
        if isinstance(error.__context__, MemoryError):
            return "asked for more memory than the cap"
        return REFUSED if "\n" not in str(error) else "its error is more than one line"
    except Hangs:
        return f"took more than {CPU_SECONDS} s"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return RETURNED


def fault_of(reader: Reader, content: bytes, folder: Path) -> str | None:
    """What is wrong with how the reader takes an input; None where nothing is."""
    found = came_of(reader, content, folder)
    return None if found in (RETURNED, REFUSED) else found


@contextlib.contextmanager
def held(cap: int) -> Iterator[None]:
    """Within it this process gets no more than `cap` bytes beside what it has, and no input may take too long."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + cap, before[1]))
    handler = signal.signal(signal.SIGVTALRM, _hangs)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _hangs(number: int, frame: object) -> None:
    raise Hangs


def piece(name: str, seed: int, numbers: range, place: Path) -> Tally:
    """Some inputs of one reader."""
    reader, tally, begun = READERS[name], Tally(), time.process_time()
    folder = place / str(os.getpid())
    folder.mkdir(exist_ok=True)
    rng = random.Random()
    with held(CAP):
        for number in numbers:
            rng.seed(f"{seed} {name} {number}")
            content = mutated(reader.seeds, rng)
            signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
            what = came_of(reader, content, folder)
            tally.inputs += 1
            tally.returned += what == RETURNED
            tally.refused += what == REFUSED
            if what not in (RETURNED, REFUSED):
                tally.faults.append((number, what, content))
    tally.seconds = time.process_time() - begun
    tally.megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return tally


def fuzz(names: Iterable[str], seed: int, numbers: range, place: Path, workers: int = 1) -> dict[str, Tally]:
    """Inputs of these numbers for each of the readers; one line of each is printed when it is through."""
    found = {name: Tally() for name in names}
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        asked = {name: [_asked(pool, name, seed, part, place) for part in _pieces(numbers)] for name in found}
        for name, tally in found.items():
            for part, future in zip(_pieces(numbers), asked[name], strict=True):
                try:
                    tally.add(future.result())
                except BrokenProcessPool:
                    tally.faults.append((part[0], f"its process died within these {len(part)} inputs", b""))
            told = f"{tally.returned:>10,} returned {tally.refused:>10,} refused {len(tally.faults):>4} faults"
            print(f"{name:<21} {tally.inputs:>10,} inputs {told} {tally.seconds:>6.0f} s", flush=True)
    return found


def _asked(
    pool: concurrent.futures.Executor, name: str, seed: int, part: range, place: Path
) -> "concurrent.futures.Future[Tally]":
    return pool.submit(piece, name, seed, part, place)


def _pieces(numbers: range) -> list[range]:
    return [numbers[at : at + PIECE] for at in range(0, len(numbers), PIECE)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz, and say what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of all readers together, as many for each")
    parser.add_argument("--reader", choices=READERS, action="append", help="only this one; may be given again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of each reader's first input")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    args = parser.parse_args(arguments)
    names, begun = args.reader or list(READERS), time.monotonic()
    numbers = range(args.first, args.first + -(-args.inputs // len(names)))
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    place = Path(tempfile.mkdtemp(dir=memory))
    try:
        found = fuzz(names, args.seed, numbers, place, args.workers)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    total = Tally()
    for tally in found.values():
        total.add(tally)
    took = f"{time.monotonic() - begun:.0f} s by {args.workers} processes, {total.seconds:.0f} s of them computing"
    print(f"{total.inputs:,} inputs in {took}: {len(total.faults)} faults, {total.megabytes} MB at most")
    for name, tally in found.items():
        for number, what, content in tally.faults[:5]:
            again = f"python -m tests.fuzz --reader {name!r} --seed {args.seed} --first {number} --inputs 1"
            print(f"{name}: {what}\n    {again}\n    {content[:150]!r}")
    return 1 if total.faults else 0


if __name__ == "__main__":
    sys.exit(main())
