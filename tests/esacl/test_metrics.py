import pytest

from esacl import metrics

# Worked by hand: rows after task 0, 1, 2; columns on task 0, 1, 2.
MATRIX = [[0.9, 0.3, 0.2], [0.95, 0.8, 0.4], [0.7, 0.6, 0.85]]


def test_average_accuracy_is_the_mean_of_the_last_row():
    assert metrics.average_accuracy(MATRIX) == pytest.approx((0.7 + 0.6 + 0.85) / 3)


def test_learning_accuracy_is_the_mean_of_the_diagonal():
    assert metrics.learning_accuracy(MATRIX) == pytest.approx((0.9 + 0.8 + 0.85) / 3)


def test_backward_transfer_compares_the_end_with_the_diagonal():
    assert metrics.backward_transfer(MATRIX) == pytest.approx(((0.7 - 0.9) + (0.6 - 0.8)) / 2)


def test_forgetting_compares_the_end_with_the_best_before_it():
    # The best of task 0 is 0.95, reached after task 1: forgetting is not the negative of backward transfer.
    assert metrics.forgetting(MATRIX) == pytest.approx(((0.95 - 0.7) + (0.8 - 0.6)) / 2)


def test_forgetting_is_negative_where_later_tasks_helped():
    assert metrics.forgetting([[0.5, None], [0.7, 0.9]]) == pytest.approx(-0.2)


def test_forward_transfer_compares_with_the_untrained_network():
    assert metrics.forward_transfer(MATRIX, [0.1, 0.25, 0.2]) == pytest.approx(((0.3 - 0.25) + (0.4 - 0.2)) / 2)


def test_what_needs_no_later_task_ignores_the_upper_triangle():
    lower = [[0.9, None, None], [0.95, 0.8, None], [0.7, 0.6, 0.85]]
    for metric in (
        metrics.average_accuracy,
        metrics.learning_accuracy,
        metrics.backward_transfer,
        metrics.forgetting,
    ):
        assert metric(lower) == metric(MATRIX)
    assert metrics.forward_transfer(lower, [0.1, 0.25, 0.2]) is None


@pytest.mark.parametrize("matrix", [[], [[0.9]]])
def test_one_task_has_nothing_to_forget(matrix):
    assert metrics.backward_transfer(matrix) is None
    assert metrics.forgetting(matrix) is None
    assert metrics.forward_transfer(matrix, [0.5]) is None


def test_nothing_is_known_of_no_task():
    assert metrics.average_accuracy([]) is None
    assert metrics.learning_accuracy([]) is None


@pytest.mark.parametrize(
    ("metric", "hole"),
    [
        (metrics.average_accuracy, (2, 1)),
        (metrics.learning_accuracy, (1, 1)),
        (metrics.backward_transfer, (0, 0)),
        (metrics.forgetting, (1, 0)),
        (lambda matrix: metrics.forward_transfer(matrix, [0.1, 0.25, 0.2]), (0, 1)),
    ],
)
def test_a_missing_entry_makes_what_rests_on_it_unknown(metric, hole):
    matrix = [list(row) for row in MATRIX]
    assert metric(matrix) is not None
    matrix[hole[0]][hole[1]] = None
    assert metric(matrix) is None


def test_the_cost_of_cuts_is_a_positive_loss():
    assert metrics.cost_of_cuts([(0.9, 0.7), (0.8, 0.9)]) == pytest.approx((0.2 - 0.1) / 2)
    assert metrics.cost_of_cuts([]) is None


def test_joint_training_has_an_average_and_nothing_else():
    assert [value is None for value in metrics.transfer(MATRIX, joint=True).values()] == [False, True, True, True]
    assert metrics.transfer(MATRIX, joint=False)["forgetting"] == metrics.forgetting(MATRIX)
