"""Rank metrics: scipy as oracle, ties, candidates left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from graphkit.metrics import (
    kendall,
    mean_reciprocal_rank,
    precision_at_k,
    recall_at_k,
    regret,
    spearman,
)


def tied(rows: int = 8, columns: int = 11) -> tuple[torch.Tensor, torch.Tensor]:
    scores, truth = (torch.randint(0, 5, (rows, columns)).double() for _ in range(2))
    scores[torch.arange(rows), torch.arange(rows)] = torch.nan
    return scores, truth


def test_scipy_agrees_with_ties_and_gaps() -> None:
    scores, truth = tied()
    for row, (a, b) in enumerate(zip(scores, truth, strict=True)):
        there = ~a.isnan()
        expected = stats.spearmanr(a[there], b[there]).statistic
        assert spearman(scores, truth)[row].item() == pytest.approx(expected, abs=1e-10)
        expected = stats.kendalltau(a[there], b[there]).statistic
        assert kendall(scores, truth)[row].item() == pytest.approx(expected, abs=1e-10)


def test_constant_scores_agree_with_nothing() -> None:
    constant, truth = torch.ones(3, 6), torch.rand(3, 6)
    assert spearman(constant, truth).tolist() == [0, 0, 0]
    assert kendall(constant, truth).tolist() == [0, 0, 0]
    assert precision_at_k(constant, truth, 2, relevant=3).tolist() == [0.5] * 3


def test_ties_are_broken_at_random_in_expectation() -> None:
    scores, truth = tied(1, 9)
    scores[0, 0] = 2.0
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(4000):
        noise = torch.from_numpy(generator.random((2, 9))) * 1e-6
        drawn.append(float(precision_at_k(scores + noise[:1], truth + noise[1:], 4, 3)))
    found = float(precision_at_k(scores, truth, 4, 3))
    assert found == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 4000**0.5)


def test_oracle_and_random_on_nineteen_candidates() -> None:
    truth = torch.rand(18, 20)
    truth[:, 0] = torch.nan
    assert float(precision_at_k(truth, truth, 5).mean()) == 1
    assert float(recall_at_k(truth, truth, 5).mean()) == 1
    assert float(precision_at_k(truth, truth, 19).mean()) == pytest.approx(0.2632, abs=1e-4)
    assert float(mean_reciprocal_rank(truth, truth)) == 1
    found = [float(precision_at_k(torch.rand(18, 20), truth, 5).mean()) for _ in range(50)]
    assert np.mean(found) == pytest.approx(0.2632, abs=0.03)
    for k in (1, 3, 7):
        scores = torch.rand(18, 20)
        expected = k * precision_at_k(scores, truth, k) / 5
        torch.testing.assert_close(recall_at_k(scores, truth, k), expected)


def test_reciprocal_ranks() -> None:
    truth = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    assert float(mean_reciprocal_rank(-truth, truth)) == pytest.approx(1 / 3)
    assert float(mean_reciprocal_rank(torch.ones(2, 3), truth)) == pytest.approx(1 / 2)
    several = torch.tensor([[5.0, 5.0, 1.0]])
    assert float(mean_reciprocal_rank(torch.tensor([[1.0, 2.0, 3.0]]), several)) == 1 / 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spearman(torch.rand(3), torch.rand(4)), "the same shape"),
        (lambda: spearman(torch.tensor(1.0), torch.tensor(1.0)), "the same shape"),
        (lambda: kendall(torch.tensor([1.0, torch.nan]), torch.rand(2)), "at least two"),
        (
            lambda: precision_at_k(torch.rand(4), torch.rand(4), 5, 2),
            "'k' must lie between 1 and 4",
        ),
        (lambda: recall_at_k(torch.rand(4), torch.rand(4), 2), "'relevant' must lie between"),
    ],
)
def test_faults_are_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_regret_is_what_a_loop_says() -> None:
    scores, truth = tied()
    for row, (a, b) in enumerate(zip(scores, truth, strict=True)):
        there = ~a.isnan()
        a, b = a[there], b[there]
        lost = b.max() - b[a == a.max()].mean()
        assert regret(scores, truth)[row].item() == pytest.approx(float(lost), abs=1e-12)
    truth = torch.rand(4, 6, dtype=torch.double)
    assert regret(truth, truth).tolist() == [0] * 4
    by_chance = truth.max(1).values - truth.mean(1)
    torch.testing.assert_close(regret(torch.zeros(4, 6), truth), by_chance)
    with pytest.raises(ValueError, match="need the same shape"):
        regret(truth, truth[:2])
