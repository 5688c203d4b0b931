"""Rivals of DEPARA against closed forms, brute force and their own limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from graphkit.transfer import cka, h_score, leep, log_me, rsa


def test_rsa_is_scipys() -> None:
    a, b = torch.randn(9, 6), torch.randn(9, 4)
    upper = np.triu_indices(9, 1)
    expected = stats.spearmanr(
        1 - np.corrcoef(a.numpy())[upper], 1 - np.corrcoef(b.numpy())[upper]
    ).statistic
    assert rsa(a, b) == pytest.approx(expected, abs=1e-5)
    assert rsa(a, 3 * a - 1) == pytest.approx(1, abs=1e-5)


def test_cka_is_the_formula_of_features_and_ignores_rotation() -> None:
    a, b = torch.randn(9, 6).double(), torch.randn(9, 4).double()
    x, y = a - a.mean(0), b - b.mean(0)
    expected = (y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())
    assert cka(a, b) == pytest.approx(float(expected))
    rotation = torch.linalg.qr(torch.randn(6, 6).double()).Q
    assert cka(a, 5 * a @ rotation + 2) == pytest.approx(1)
    assert cka(a, torch.ones(9, 2)) == 0


def gaussian_evidence(f: np.ndarray, t: np.ndarray) -> float:
    """The largest log density of the labels under their marginal distribution, per sample."""

    def negative(logs: np.ndarray) -> float:
        alpha, beta = np.exp(np.clip(logs, -15, 15))
        covariance = np.eye(len(t)) / beta + f @ f.T / alpha
        return -stats.multivariate_normal(np.zeros(len(t)), covariance).logpdf(t) / len(t)

    starts = [np.array([a, b]) for a in (-2.0, 2.0) for b in (0.0, 3.0)]
    return -min(optimize.minimize(negative, s, method="Nelder-Mead").fun for s in starts)


@pytest.mark.parametrize("width", [3, 30])
def test_log_me_is_the_largest_evidence(width: int) -> None:
    torch.manual_seed(1)
    y = torch.arange(20) % 3
    f = torch.randn(20, width) + 2 * torch.nn.functional.one_hot(y, width)
    expected = [gaussian_evidence(f.numpy(), (y == c).numpy().astype(float)) for c in range(3)]
    found = log_me(f, y, iterations=2000, tolerance=1e-9)
    assert found == pytest.approx(np.mean(expected), abs=2e-3)
    assert log_me(f, y) > log_me(f[torch.randperm(20)], y)


def test_leep() -> None:
    theta, y = torch.rand(12, 4).softmax(1), torch.arange(12) % 3
    joint = np.zeros((3, 4))
    for row, label in zip(theta.numpy(), y.tolist(), strict=True):
        joint[label] += row / 12
    given = joint / joint.sum(0)
    expected = np.mean([np.log(given[c] @ row) for row, c in zip(theta.numpy(), y, strict=True)])
    assert leep(theta, y) == pytest.approx(expected)
    assert leep(torch.eye(3)[y], y) == pytest.approx(0)
    assert leep(torch.full((12, 4), 0.25), y) == pytest.approx(np.log(1 / 3))
    with pytest.raises(ValueError, match="'probabilities' must hold rows"):
        leep(theta * 2, y)


def test_h_score() -> None:
    y = torch.arange(30) % 3
    separate = torch.nn.functional.one_hot(y).double()[:, :2]
    assert h_score(separate, y) == pytest.approx(2)
    f = torch.randn(30, 5).double()
    matrix = torch.randn(5, 5).double()
    assert h_score(f @ matrix, y) == pytest.approx(h_score(f, y))
    assert h_score(f + 3 * separate[:, :1], y) > h_score(f, y)
    assert h_score(f, y, shrinkage=0.5) < h_score(f, y)
    with pytest.raises(ValueError, match="'shrinkage' must lie between"):
        h_score(f, y, shrinkage=2)


@pytest.mark.parametrize("score", [log_me, leep, h_score])
def test_labels_that_do_not_fit_are_refused(score) -> None:
    with pytest.raises(ValueError, match="'y' must hold a class for each of 4 samples"):
        score(torch.full((4, 2), 0.5), torch.zeros(3))
    with pytest.raises(ValueError, match="not finite"):
        score(torch.full((4, 2), torch.nan), torch.zeros(4))


@pytest.mark.parametrize("score", [rsa, cka])
def test_features_that_do_not_fit_are_refused(score) -> None:
    with pytest.raises(ValueError, match="the same samples, got 4 and 3"):
        score(torch.rand(4, 2), torch.rand(3, 2))
    with pytest.raises(ValueError, match="'b' holds values"):
        score(torch.rand(4, 2), torch.rand(4, 2) / 0)


@pytest.mark.parametrize("score", [log_me, h_score])
def test_arrays_and_lists_are_taken(score) -> None:
    """``'numpy.ndarray' object has no attribute 'detach'``."""
    features, y = torch.randn(12, 3, dtype=torch.float64), torch.arange(12) % 3
    expected = score(features, y)
    assert score(features.numpy(), y.numpy()) == pytest.approx(expected)
    assert score(features.tolist(), y.tolist()) == pytest.approx(expected)
    with pytest.raises(TypeError, match="'features' must be a tensor or an array"):
        score("features", y)
    with pytest.raises(ValueError, match=r"'features' must hold a row per sample.*\[12\]"):
        score(features[:, 0], y)
    with pytest.raises(ValueError, match="'y' holds values that are not finite"):
        score(features, torch.full((12,), torch.nan))


def test_arrays_are_compared_like_tensors() -> None:
    a, b = torch.randn(8, 3, dtype=torch.float64), torch.randn(8, 5, dtype=torch.float64)
    for similarity in (cka, rsa):
        assert similarity(a.numpy(), b.numpy()) == pytest.approx(similarity(a, b))
        with pytest.raises(TypeError, match="'b' must be a tensor or an array"):
            similarity(a, None)
    theta = torch.rand(8, 3).softmax(1)
    y = torch.arange(8) % 2
    assert leep(theta.numpy(), y.numpy()) == pytest.approx(leep(theta, y))


def test_a_source_class_that_nobody_has_is_no_nan() -> None:
    theta, y = torch.tensor([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]]), torch.tensor([0, 1])
    assert leep(theta, y) == pytest.approx(leep(theta[:, :2], y))


def test_h_score_shrinks_towards_the_mean_variance() -> None:
    f, y = torch.randn(30, 4).double(), torch.arange(30) % 3
    centred = f - f.mean(0)
    covariance = centred.T @ centred / 30
    means = torch.stack([centred[y == c].mean(0) for c in range(3)])
    between = means.T @ means / 3
    for share in (0.0, 0.25, 1.0):
        shrunk = (1 - share) * covariance + share * covariance.trace() / 4 * torch.eye(4)
        wanted = (torch.linalg.inv(shrunk) @ between).trace()
        assert h_score(f, y, share) == pytest.approx(float(wanted))


def test_samples_with_more_than_one_dimension_are_rows() -> None:
    a, b = torch.randn(9, 3, 2), torch.randn(9, 2, 2)
    assert cka(a, b) == pytest.approx(cka(a.flatten(1), b.flatten(1)))
    y = torch.arange(9) % 3
    assert log_me(a, y) == pytest.approx(log_me(a.flatten(1), y))


def test_evidence_stops_where_it_no_longer_changes() -> None:
    f, y = torch.randn(20, 3), torch.arange(20) % 2
    settled = log_me(f, y, iterations=5000, tolerance=0.0)
    assert log_me(f, y) == pytest.approx(settled, abs=1e-6)
    assert abs(log_me(f, y, iterations=1) - settled) > 1e-6
    # A change as large as all of it ends after one step.
    assert log_me(f, y, tolerance=1e9) == log_me(f, y, iterations=1)


def test_features_of_zeros_have_no_evidence() -> None:
    with pytest.raises(ValueError, match="'features' is zero everywhere"):
        log_me(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]))


@pytest.mark.parametrize("scale", [1e-150, 1e-13, 1e6, 1e150])
def test_the_scale_of_features_does_not_matter(scale: float) -> None:
    a, b = torch.randn(12, 5).double(), torch.randn(12, 4).double()
    y = torch.arange(12) % 3
    assert log_me(scale * a, y) == pytest.approx(log_me(a, y), abs=1e-4)
    assert rsa(scale * a, b) == pytest.approx(rsa(a, b), abs=1e-6)
    assert rsa(a, scale * b) == pytest.approx(rsa(a, b), abs=1e-6)


def test_rsa_of_what_has_no_correlation() -> None:
    x = torch.randn(5, 3)
    with pytest.raises(ValueError, match=r"'b' has 1 features per sample.*at least 2"):
        rsa(x, x[:, :1])
    constant = torch.tensor([0.1, 0.7, 0.3, 1e9, 1 / 3]).double().view(5, 1).expand(5, 3)
    assert rsa(x, constant) == 0
