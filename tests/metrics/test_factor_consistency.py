import pytest
import torch

from graphkit.metrics import consistency_score


def test_steady_matches_score_one():
    assert consistency_score(torch.tensor([[2, 0], [2, 0], [2, -1]]), 3) == 1.0


def test_counts_by_hand():
    matches = torch.tensor([[0, 1], [0, 1], [1, 0], [2, -1]])
    assert consistency_score(matches, 4) == pytest.approx((2 / 4 + 2 / 3) / 2)


def test_absent_true_factors_do_not_count():
    assert consistency_score(torch.tensor([[0, -1], [1, -1]]), 2) == 0.5


def test_random_matches_come_near_one_over_k():
    assert consistency_score(torch.randint(5, (20_000, 3)), 5) == pytest.approx(0.2, abs=0.015)


@pytest.mark.parametrize("matches", [[[3, 0]], [[-2, 0]], [[-1, -1]], [0, 1]])
def test_refuses_wrong_matches(matches):
    with pytest.raises(ValueError, match="matches"):
        consistency_score(torch.tensor(matches), 3)
