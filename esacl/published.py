"""With which rates and weights the field's standard protocol was published: by benchmark, method and buffer.

Source: Buzzega et al., "Dark Experience for General Continual Learning", 2020, and the best settings in its code. Where
that code replays batches of another size than the fresh ones (DER++ on split MNIST with 200 or 5,120 images), it
differs from what is run here; so does its network there, an MLP 784-100-100.
"""

from typing import Any

# Without a buffer. Joint training has the rate of fine-tuning, which is plain SGD too.
_RATES: dict[str, dict[str, float]] = {
    "split-mnist": {"finetune": 0.03, "ewc": 0.03},
    "split-cifar10": {"finetune": 0.1, "ewc": 0.03},
    "split-cifar100": {"finetune": 0.03, "ewc": 0.03},
    "split-tiny-imagenet": {"finetune": 0.03, "ewc": 0.03},
}
# Examples in the buffer -> the rate of ER; the rate of DER++, its alpha and its beta.
_REHEARSED: dict[str, dict[int, tuple[float, float, float, float]]] = {
    "split-mnist": {200: (0.01, 0.03, 0.2, 1.0), 500: (0.1, 0.03, 1.0, 0.5), 5120: (0.1, 0.1, 0.2, 0.5)},
    "split-cifar10": {200: (0.1, 0.03, 0.1, 0.5), 500: (0.1, 0.03, 0.2, 0.5), 5120: (0.1, 0.03, 0.1, 1.0)},
    "split-cifar100": {500: (0.1, 0.03, 0.1, 0.5), 2000: (0.1, 0.03, 0.1, 0.5)},
    "split-tiny-imagenet": {200: (0.1, 0.03, 0.1, 1.0), 500: (0.03, 0.03, 0.2, 0.5), 5120: (0.1, 0.03, 0.1, 0.5)},
}


def rate(benchmark: str, method: str, size: int) -> float:
    """The learning rate of a method with a buffer of `size` examples.

    Methods that were not published so have that of plain SGD, SparCL that of DER++, which it is usually laid over.
    """
    of_er, of_derpp, _, _ = _REHEARSED[benchmark][_published_size(benchmark, size)]
    plain = _RATES[benchmark]
    return {"er": of_er, "derpp": of_derpp, "sparcl": of_derpp}.get(method, plain.get(method, plain["finetune"]))


def weights(benchmark: str, size: int) -> dict[str, Any]:
    """DER++'s alpha and beta."""
    _, _, alpha, beta = _REHEARSED[benchmark][_published_size(benchmark, size)]
    return {"alpha": alpha, "beta": beta}


def _published_size(benchmark: str, size: int) -> int:
    """The smallest buffer of the tables that holds as much, else the largest."""
    return min((s for s in _REHEARSED[benchmark] if s >= size), default=max(_REHEARSED[benchmark]))
