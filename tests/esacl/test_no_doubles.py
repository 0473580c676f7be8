"""A device without float64 (MPS), imitated: whatever is in float32 must come to the CPU before it is widened."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from tiny_runs import array, events_of, tiny
from torch import Tensor
from torch.overrides import TorchFunctionMode

from esacl.analysis import again, cuts
from esacl.look import Look


class NoDoubles(TorchFunctionMode):
    """Refuses to widen a tensor in float32 that `.cpu()` did not give."""

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        widened = func is Tensor.double or (func in (Tensor.to, Tensor.type) and torch.float64 in args)
        if widened and args[0].dtype == torch.float32 and not hasattr(args[0], "on_the_cpu"):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
        found = func(*args, **(kwargs or {}))
        if func is Tensor.cpu:
            found = found.view_as(found) if found is args[0] else found
            found.on_the_cpu = True
        return found


def test_the_imitation_refuses():
    with NoDoubles(), pytest.raises(TypeError, match="float64"):
        torch.ones(2).double()
    with NoDoubles():
        assert torch.ones(2).cpu().double().dtype == torch.float64


MEASURED = {"curvature.top": 2, "curvature.grid": 3, "curvature.levels": 3, "curvature.examples": 16}
VARIANTS = [
    {},
    {"sdp.form": "progressive", "anchor.distillation": 1.0},
    {"network": "small-cnn", "activation": "softplus", "sdp.radius": 0.05, "ids.train_fraction": 0.5},
]


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_runs_and_analyses(settings, monkeypatch):
    monkeypatch.setattr(cuts, "as_double", lambda values: values.cpu().double())
    config = tiny(MEASURED | settings)
    with NoDoubles():
        events = events_of(config)
        for kind, look in [
            ("landscape", None),
            ("landscape", Look(x="pruning", y="eigen1")),
            ("spectrum", Look(check=True)),
            ("sparsity", Look(compare=True)),
            ("selection", None),
        ]:
            assert list(again.analyse(kind, config, 0, array(events, "weights-t0"), look=look))
