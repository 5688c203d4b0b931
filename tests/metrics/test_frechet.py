"""The Fréchet distance: SciPy's matrix root as oracle, and what is known of it."""

import pytest
import torch
from scipy.linalg import sqrtm

from graphkit.metrics import frechet_distance
from tests.spoiled import spoiled


def samples(seed, count=40, width=5):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator)
    return torch.randn(count, width, generator=generator) @ mixing + seed


def test_against_a_matrix_root():
    first, second = samples(1).double(), samples(2, 60).double()
    spread = [x.t().cov().numpy() for x in (first, second)]
    root = torch.from_numpy(sqrtm(spread[0] @ spread[1]).real)
    means = (first.mean(0) - second.mean(0)).square().sum()
    expected = means + spread[0].trace() + spread[1].trace() - 2 * root.trace()
    torch.testing.assert_close(frechet_distance(first, second), expected)
    torch.testing.assert_close(frechet_distance(second, first), expected)


def test_equal_shifted_and_singular_samples():
    x = samples(1)
    assert frechet_distance(x, x) < 1e-9
    torch.testing.assert_close(
        frechet_distance(x, x + 2), torch.tensor(20.0).double(), rtol=1e-5, atol=0
    )
    flat = torch.cat([x[:, :1], x[:, :1]], 1)
    assert frechet_distance(flat, flat) < 1e-6
    wide = samples(3, 3, 8)
    assert frechet_distance(wide, wide + 1).isfinite()


def test_wrong_samples_are_named():
    x = samples(1)
    for first, second, match in (
        (x[:1], x, "'first' must have"),
        (x, x[:, :3], "'second' must have"),
        (x, x[0], "'second' must have"),
        (x, spoiled(x), "'second' holds NaN"),
    ):
        with pytest.raises(ValueError, match=match):
            frechet_distance(first, second)
