"""The accuracy matrix and what is read from it; rows: after learning task i, columns: on task j.

Undefined quantities are None, never NaN.
"""

from collections.abc import Iterable, Sequence

Matrix = Sequence[Sequence[float | None]]


def average_accuracy(matrix: Matrix) -> float | None:
    """Mean of the last row: accuracy on all tasks after learning the last (Lopez-Paz & Ranzato 2017)."""
    return _mean(list(matrix[-1])) if matrix else None


def learning_accuracy(matrix: Matrix) -> float | None:
    """Mean of the diagonal: accuracy on each task just after learning it (Riemer et al. 2019)."""
    return _mean([row[i] for i, row in enumerate(matrix)])


def backward_transfer(matrix: Matrix) -> float | None:
    """Mean over j < T-1 of R[T-1, j] - R[j, j] (Lopez-Paz & Ranzato 2017, eq. 3)."""
    last = len(matrix) - 1
    return _mean([_minus(matrix[last][j], matrix[j][j]) for j in range(last)])


def forgetting(matrix: Matrix) -> float | None:
    """Mean over j < T-1 of max_{j <= i <= T-2} R[i, j] - R[T-1, j] (Chaudhry et al. 2018); may be negative."""
    last = len(matrix) - 1
    drops = []
    for j in range(last):
        column = [matrix[i][j] for i in range(j, last)]
        best = None if any(a is None for a in column) else max(a for a in column if a is not None)
        drops.append(_minus(best, matrix[last][j]))
    return _mean(drops)


def transfer(matrix: Matrix, *, joint: bool) -> dict[str, float | None]:
    """The four numbers of a matrix; `joint` training learns nothing earlier or later, so only the first is defined."""
    return {
        "average_accuracy": average_accuracy(matrix),
        "learning_accuracy": None if joint else learning_accuracy(matrix),
        "backward_transfer": None if joint else backward_transfer(matrix),
        "forgetting": None if joint else forgetting(matrix),
    }


def cost_of_cuts(cuts: Iterable[tuple[float, float]]) -> float | None:
    """Mean over cuts `(dense accuracy, pruned accuracy)` of dense minus pruned: a loss is positive."""
    return _mean([dense - pruned for dense, pruned in cuts])


def forward_transfer(matrix: Matrix, untrained: Sequence[float | None]) -> float | None:
    """Mean over j > 0 of R[j-1, j] - accuracy of the untrained network on j (Lopez-Paz & Ranzato 2017, eq. 4)."""
    return _mean([_minus(matrix[j - 1][j], untrained[j]) for j in range(1, len(matrix))])


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
