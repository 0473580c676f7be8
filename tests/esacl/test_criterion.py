"""The loss of each scenario against scikit-learn's log loss over the columns that compete."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from esacl.criterion import criterion
from esacl.errors import InputError

CPU = torch.device("cpu")
TASKS = [(0, 1), (2, 3), (4, 5)]


def outputs_and_targets(seed: int, n: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 6, generator=generator, dtype=torch.float64), torch.arange(n) % 6


def reference(outputs, targets, columns) -> float:
    """Log loss of one task's examples among `columns` only."""
    rows = np.isin(targets, columns)
    p = torch.tensor(outputs[rows][:, columns]).softmax(1).numpy()
    return log_loss(targets[rows], p, labels=columns) * rows.sum()


def test_task_il_is_cross_entropy_among_the_tasks_own_columns():
    outputs, targets = outputs_and_targets(0)
    loss = criterion("task", TASKS, 6, CPU)(outputs, targets)
    parts = [reference(outputs.numpy(), targets.numpy(), list(columns)) for columns in TASKS]
    assert float(loss) == pytest.approx(sum(parts) / len(targets), rel=1e-12)


@pytest.mark.parametrize("scenario", ["class", "domain"])
def test_class_il_is_cross_entropy_among_all_columns_seen(scenario):
    outputs, targets = outputs_and_targets(1)
    outputs, targets = outputs[targets < 4], targets[targets < 4]
    loss = criterion(scenario, TASKS[:2], 6, CPU)(outputs, targets)
    assert float(loss) == pytest.approx(
        reference(outputs.numpy(), targets.numpy(), [0, 1, 2, 3]) / len(targets), rel=1e-12
    )


def test_weights_multiply_each_examples_loss():
    outputs, targets = outputs_and_targets(2)
    weights = torch.rand(len(targets), dtype=torch.float64)
    loss = criterion("task", TASKS, 6, CPU)
    one_by_one = [float(loss(outputs[i : i + 1], targets[i : i + 1])) for i in range(len(targets))]
    assert loss.per_example(outputs, targets).tolist() == pytest.approx(one_by_one)
    assert float(loss(outputs, targets, weights)) == pytest.approx(np.mean(weights.numpy() * one_by_one))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scenario", ["task", "class"])
def test_closed_columns_get_no_gradient_at_all(scenario, dtype):
    outputs, targets = outputs_and_targets(3)
    outputs = (50 * outputs[targets < 4]).to(dtype).requires_grad_()
    loss = criterion(scenario, TASKS[:2], 6, CPU)
    (gradient,) = torch.autograd.grad(loss(outputs, targets[targets < 4]), outputs, create_graph=True)
    closed = ~loss.open[targets[targets < 4]]
    assert bool(gradient[~closed].any())
    assert not bool(gradient[closed].any())
    (second,) = torch.autograd.grad(gradient.square().sum(), outputs)
    assert bool(second.isfinite().all())
    assert not bool(second[closed].any())


@given(st.integers(0, 10_000))
def test_knowing_the_task_never_hurts(seed):
    outputs, targets = outputs_and_targets(seed)
    known = criterion("task", TASKS, 6, CPU).correct(outputs, targets)
    unknown = criterion("class", TASKS, 6, CPU).correct(outputs, targets)
    assert not bool((unknown & ~known).any())


def test_correct_is_the_best_open_column():
    outputs = torch.tensor([[1.0, 2.0, 9.0, 0.0, 0.0, 0.0], [3.0, 2.0, 9.0, 0.0, 0.0, 0.0]])
    targets = torch.tensor([1, 1])
    assert criterion("task", TASKS, 6, CPU).correct(outputs, targets).tolist() == [True, False]
    assert criterion("class", TASKS[:1], 6, CPU).correct(outputs, targets).tolist() == [True, False]
    assert criterion("class", TASKS, 6, CPU).correct(outputs, targets).tolist() == [False, False]


def test_an_unknown_scenario_names_the_choices():
    with pytest.raises(InputError, match=r"unknown scenario 'x'; choose from task, class, domain"):
        criterion("x", TASKS, 6, CPU)
