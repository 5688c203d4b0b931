"""Metrics of task streams on matrices that can be checked by hand."""

from __future__ import annotations

import pytest
import torch

from graphkit.metrics import (
    average_forgetting,
    average_performance,
    backward_transfer,
    forward_transfer,
)
from tests.spoiled import spoiled

HAND = torch.tensor([[0.9, 0.0], [0.5, 0.8]], dtype=torch.double)
THREE = torch.tensor([[0.9, 0.6, 0.5], [0.95, 0.8, 0.7], [0.6, 0.9, 0.7]], dtype=torch.double)


def test_hand_matrix_of_the_specification() -> None:
    assert average_performance(HAND) == pytest.approx(0.65)
    assert average_forgetting(HAND) == pytest.approx(0.4)
    assert backward_transfer(HAND) == pytest.approx(-0.4)


def test_three_tasks() -> None:
    assert average_performance(THREE) == pytest.approx((0.6 + 0.9 + 0.7) / 3)
    assert average_forgetting(THREE) == pytest.approx(((0.9 - 0.6) + (0.8 - 0.9)) / 2)
    assert average_forgetting(THREE, best=True) == pytest.approx(((0.95 - 0.6) + (0.8 - 0.9)) / 2)
    gain = forward_transfer(THREE, torch.full((3,), 0.5))
    assert gain == pytest.approx(((0.6 - 0.5) + (0.7 - 0.5)) / 2)


def test_a_single_task_forgets_nothing() -> None:
    one = torch.tensor([[0.7]])
    assert average_performance(one) == pytest.approx(0.7)
    assert average_forgetting(one) == backward_transfer(one) == 0.0
    assert forward_transfer(one, torch.zeros(1)) == 0.0


def test_entries_above_the_diagonal_may_be_missing() -> None:
    matrix = HAND.clone()
    matrix[0, 1] = float("nan")
    assert average_forgetting(matrix) == pytest.approx(0.4)
    assert average_forgetting(matrix, best=True) == pytest.approx(0.4)
    with pytest.raises(ValueError, match="above the diagonal"):
        forward_transfer(matrix, torch.zeros(2))


@pytest.mark.parametrize(
    "matrix", [torch.zeros(2, 3), torch.zeros(0, 0), torch.zeros(2), spoiled(HAND)]
)
def test_wrong_matrices_are_refused(matrix: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="'matrix'"):
        average_performance(matrix)


def test_wrong_baselines_are_refused() -> None:
    with pytest.raises(ValueError, match="'baseline'"):
        forward_transfer(HAND, torch.zeros(3))
