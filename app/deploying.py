"""The deploy page's numbers: bytes in each format, time of each engine, and what they say."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from app.bills import Bar
from app.language import marked, text
from app.wording import HELD, number, percent, size
from esacl.errors import RunUnreadable

ENGINES = {  # as the analysis names them -> as the reader reads them
    "torch, dense": marked("PyTorch, dense"),
    "torch, sparse": marked("PyTorch, sparse layers"),
    "torch, shrunk": marked("PyTorch, idle units left out"),
    "ONNX Runtime, dense": marked("ONNX Runtime, dense"),
    "ONNX Runtime, shrunk": marked("ONNX Runtime, idle units left out"),
}
FORMATS = {
    "safetensors": marked("safetensors, dense"),
    "sparse": marked("compact sparse file"),
    "onnx": marked("ONNX, dense"),
}
SHRUNK_FORMATS = {
    "safetensors": marked("safetensors, idle units left out"),
    "sparse": marked("compact sparse file, idle units left out"),
    "onnx": marked("ONNX, idle units left out"),
}
SAME = 1.05  # times as fast: below it the one is as fast as the other
DENSE, SPARSE, SHRUNK, SHRUNK_BY_ONNX = "torch, dense", "torch, sparse", "torch, shrunk", "ONNX Runtime, shrunk"


@dataclass(frozen=True)
class Deployment:
    """What was measured of a network at its cut, on the machine of the analysis.

    Attributes:
        seconds: engine -> batch size -> seconds of each round (rounds,); without SPARSE where no layer is sparse, for
            that is the dense network once more.
        sizes: format -> bytes.
        apart: engine -> largest difference of a logit from the dense network's.
        sparse_layers: names of the layers that the sparse engine takes by CSR.
        threads: of the processor.
        widths: layer -> units of the whole network and of the one without idle units; empty where none is idle.
        shrunk_sizes: format -> bytes of the smaller network; empty where none is idle.
    """

    seconds: Mapping[str, Mapping[int, np.ndarray]]
    sizes: Mapping[str, int]
    apart: Mapping[str, float]
    sparse_layers: tuple[str, ...]
    threads: int
    widths: Mapping[str, tuple[int, int]]
    shrunk_sizes: Mapping[str, int]

    def time(self, engine: str, batch: int) -> float:
        """Median seconds of an answer."""
        return float(np.median(self.seconds[engine][batch]))


def deployment(arrays: Mapping[str, np.ndarray]) -> Deployment:
    """From the arrays of the analysis `deployment`.

    Raises:
        RunUnreadable: they are damaged.
    """
    try:
        engines, batches = [str(e) for e in arrays["engines"]], [int(b) for b in arrays["batches"]]
        formats, sizes = [str(f) for f in arrays["formats"]], [int(b) for b in arrays["bytes"]]
        seconds, apart = np.asarray(arrays["seconds"], dtype=float), [float(a) for a in arrays["apart"]]
        layers, threads = tuple(str(name) for name in arrays["sparse_layers"]), int(arrays["threads"])
        widths, smaller = _left_out(arrays)
    except (KeyError, TypeError, ValueError):
        raise RunUnreadable("what was measured for deployment is damaged; measure it again") from None
    whole = seconds.ndim == 3 and seconds.shape[:2] == (len(engines), len(batches)) and seconds.shape[2] > 0
    known = set(engines) <= set(ENGINES) and {*formats, *smaller} <= set(FORMATS) and {DENSE, SPARSE} <= set(engines)
    if not (whole and known and len(apart) == len(engines) and len(sizes) == len(formats) and (seconds > 0).all()):
        raise RunUnreadable("what was measured for deployment is damaged; measure it again")
    shown = [(row, engine) for row, engine in enumerate(engines) if engine != SPARSE or layers]
    times = {engine: dict(zip(batches, seconds[row])) for row, engine in shown}
    bytes_of, apart_of = dict(zip(formats, sizes)), dict(zip(engines, apart))
    return Deployment(times, bytes_of, apart_of, layers, threads, widths, smaller)


def _left_out(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
    """Widths and bytes of the network without idle units; older recordings have less of it, or nothing."""
    if "shrunk_layers" not in arrays:
        return {}, {}
    pairs = [(int(before), int(after)) for before, after in arrays["shrunk_widths"]]
    if "shrunk_sizes" in arrays:
        sizes = dict(zip(map(str, arrays["shrunk_formats"]), map(int, arrays["shrunk_sizes"]), strict=True))
    else:
        sizes = {"safetensors": int(arrays["shrunk_bytes"])}
    return dict(zip((str(name) for name in arrays["shrunk_layers"]), pairs)), sizes


def files(found: Deployment) -> list[Bar]:
    """A bar a format, and one of the network without idle units where there are any."""
    whole = [Bar(text(FORMATS[name]), float(count)) for name, count in found.sizes.items()]
    return whole + [Bar(text(SHRUNK_FORMATS[name]), float(count)) for name, count in found.shrunk_sizes.items()]


def times(found: Deployment, batch: int) -> list[Bar]:
    """A bar an engine, its median; the middle half of the rounds beside it."""
    bars = []
    for engine, rounds in found.seconds.items():
        low, high = np.quantile(rounds[batch], [0.25, 0.75])
        middle = {"low": milliseconds(low), "high": milliseconds(high), "rounds": len(rounds[batch])}
        tip = text("half of %(rounds)s rounds between %(low)s and %(high)s", **middle)
        bars.append(Bar(text(ENGINES[engine]), found.time(engine, batch), tip))
    return bars


def milliseconds(seconds: float) -> str:
    """A time of an answer."""
    return f"{number(1e3 * seconds, 2 if seconds < 0.1 else 3)}{HELD}ms"


def verdict(found: Deployment, batch: int) -> str:
    """What the times at one batch size say, in a sentence."""
    pruned = [engine for engine in (SPARSE, SHRUNK, SHRUNK_BY_ONNX) if engine in found.seconds]
    if not pruned:
        return text(
            "No layer is sparse enough to be multiplied by what is left of it: sparsity saves bytes here, no time."
        )
    ours = min(pruned, key=lambda engine: found.time(engine, batch))
    theirs = min((e for e in found.seconds if e not in pruned), key=lambda engine: found.time(engine, batch))
    times = found.time(ours, batch), found.time(theirs, batch)
    about = {"batch": batch, "best": text(ENGINES[theirs]), "factor": number(max(times) / min(times), 2)}
    if max(times) < SAME * min(times) or _overlap(found.seconds[ours][batch], found.seconds[theirs][batch]):
        return text(
            "Batch %(batch)s: no difference in time that shows between %(ours)s and %(best)s.",
            batch=batch,
            ours=text(ENGINES[ours]),
            best=about["best"],
        )
    if times[0] >= times[1]:
        return text(
            "Batch %(batch)s: sparsity does **not** pay in time: %(best)s is %(factor)s times as fast.", **about
        )
    if ours == SHRUNK:
        return text(
            "Batch %(batch)s: leaving idle units out pays, %(factor)s times as fast as %(best)s, the best of the whole "
            "network.",
            **about,
        )
    if ours == SHRUNK_BY_ONNX:
        return text(
            "Batch %(batch)s: leaving idle units out pays by ONNX Runtime, %(factor)s times as fast as %(best)s, the "
            "best of the whole network.",
            **about,
        )
    return text("Batch %(batch)s: sparsity pays, %(factor)s times as fast as %(best)s, the best dense one.", **about)


def _overlap(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the middle halves of two engines' rounds have times in common."""
    (low, high), (below, above) = (np.quantile(rounds, [0.25, 0.75]) for rounds in (one, other))
    return bool(low <= above and below <= high)


def widths(found: Deployment) -> str:
    """How wide the layers are once idle units are left out; nothing where none is idle."""
    told = ", ".join(f"{name.removeprefix('body.')} {was} → {now}" for name, (was, now) in found.widths.items())
    if not told:
        return ""
    return text(
        "Without the units that have no weights left or that nothing reads, it is a smaller dense network with the "
        "same outputs (units a layer: %(told)s); `--shrink` exports it.",
        told=told,
    )


def smaller(found: Deployment) -> str:
    """How much the sparse file saves, or that it saves nothing."""
    share = found.sizes["sparse"] / found.sizes["safetensors"]
    if share >= 1:
        return text("%(times)s times as large as dense safetensors: it saves nothing here.", times=number(share))
    return text(
        "%(times)s times smaller than dense safetensors, %(share)s of it.",
        times=number(1 / share),
        share=percent(share),
    )


def smallest(found: Deployment) -> str:
    """Which of the files is the smallest."""
    bar = min(files(found), key=lambda one: one.value)
    return text("The smallest: %(name)s, %(size)s.", name=bar.name, size=size(bar.value))
