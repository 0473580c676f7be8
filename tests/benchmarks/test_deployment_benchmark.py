from types import SimpleNamespace

import torch

from benchmarks import deployment
from benchmarks.deployment import BATCHES, BY_ONNX, DENSE, SMALLER


def test_a_cell_is_the_middle_of_the_repeats_and_a_ratio_is_taken_within_each():
    repeats = [
        {size: {DENSE: 8e-6 * load, SMALLER: 2e-6 * load, BY_ONNX: 4e-6 * load} for size in BATCHES}
        for load in (1, 3, 2)  # what disturbs the machine disturbs all engines
    ]
    repeats[1][32][SMALLER] = 8e-6
    lines = deployment.latencies(repeats, {DENSE: 0.0, SMALLER: 2e-6, BY_ONNX: 1e-7})
    assert len(lines) == 2 + 3 * len(BATCHES)
    told = "| torch, smaller | 32 | 4 (2 to 8) | 4.00 (3.00 to 4.00) | 2.00 (1.50 to 2.00) | 2.0e-06 |"
    assert told in lines
    assert "| torch, dense | 32 | 16 (8 to 24) | 1.00 (1.00 to 1.00) | 0.50 (0.50 to 0.50) | 0.0e+00 |" in lines


def test_every_round_begins_with_another_engine_and_asks_each_once_before_it_counts(monkeypatch):
    calls = []
    found = {name: (lambda batch, name=name: calls.append((name, len(batch)))) for name in "ab"}
    monkeypatch.setattr(deployment, "engines", lambda final: found)
    monkeypatch.setattr(deployment, "WARM", 0)
    examples = SimpleNamespace(inputs=torch.zeros(256, 1, 2, 2))
    deployment.measured(SimpleNamespace(judged=lambda: iter([(0, examples, None)])), 2)
    assert calls == [(name, size) for size in BATCHES for name in "aabbbbaa"]
