import copy
import pickle

import pytest
import torch
import torch.nn.functional as F

from graphkit.nn import ContinuousDropout
from graphkit.transforms.mask_noise import mask_noise

NOISES = {
    "uniform": {},
    "uniform in an interval": {"low": 0.25, "high": 0.75},
    "gaussian": {},
    "gaussian off the middle": {"mean": 0.3, "std": 0.5},
    "gaussian without clipping": {"std": 0.5, "clip": False},
    "bernoulli": {"p": 0.3},
}


def make(name, **options):
    return ContinuousDropout(name.split()[0], **NOISES[name], **options)


@pytest.mark.parametrize("name", NOISES)
def test_evaluation_is_the_identity_itself(name):
    x = torch.randn(4, 3)
    assert make(name).eval()(x) is x


@pytest.mark.parametrize("name", NOISES)
def test_mean_is_one_and_variance_is_rho(name):
    """Within four standard errors, and to two percent."""
    count = 400_000
    drop = make(name, generator=torch.Generator().manual_seed(0))
    out = drop(torch.ones(count, dtype=torch.float64))
    rho = drop.noise.relative_variance
    assert abs(out.mean() - 1) < 4 * (rho / count) ** 0.5
    assert out.var().item() == pytest.approx(rho, rel=0.02)
    assert drop.noise.clip is False or 0 <= out.min() <= out.max() <= drop.noise.scale + 1e-12


def test_published_strengths():
    assert mask_noise("bernoulli").relative_variance == 1
    assert mask_noise("uniform").relative_variance == pytest.approx(1 / 3)
    assert mask_noise("gaussian", clip=False).relative_variance == pytest.approx(4 * 0.25**2)


def test_clipped_moments_are_those_of_an_integral():
    grid = torch.linspace(-12, 12, 2_000_001, dtype=torch.float64)
    density = torch.exp(-(grid**2) / 2)
    density /= density.sum()
    mask = (0.3 + 0.5 * grid).clamp(0, 1)
    mean = (density * mask).sum()
    variance = (density * (mask - mean) ** 2).sum()
    assert mask_noise("gaussian", mean=0.3, std=0.5).moments == pytest.approx(
        (float(mean), float(variance)), rel=1e-6
    )


def test_released_code_scales_by_the_mean_before_clipping():
    seed = torch.Generator().manual_seed
    paper = make("gaussian off the middle", generator=seed(1))(torch.ones(100))
    released = make("gaussian off the middle", generator=seed(1), variant="released")
    first = mask_noise("gaussian", mean=0.3, std=0.5).moments[0]
    assert torch.allclose(released(torch.ones(100)), paper * first / 0.3)
    assert first > 0.34


def test_bernoulli_is_dropout_given_the_same_draws():
    x, seed = torch.randn(50, 20), torch.Generator().manual_seed
    out = ContinuousDropout("bernoulli", p=0.4, generator=seed(3))(x)
    keep = torch.rand(50, 20, generator=seed(3)) >= 0.4
    assert torch.allclose(out, torch.where(keep, x / 0.6, 0.0))
    assert abs((out == 0).float().mean() - (F.dropout(x, 0.4) == 0).float().mean()) < 0.06


def test_gradient_is_the_scaled_mask():
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)

    def call(x):
        return ContinuousDropout("gaussian", generator=torch.Generator().manual_seed(0))(x)

    assert torch.autograd.gradcheck(call, x)


def test_axes_share_masks():
    x = torch.ones(3, 4, 5, 5)
    maps = ContinuousDropout(axes=2)(x)
    assert torch.equal(maps, maps[..., :1, :1].expand_as(x))
    assert maps[..., 0, 0].unique().numel() == 12
    assert ContinuousDropout(axes=1)(x).unique().numel() == 3
    assert ContinuousDropout(axes=0)(x).unique().numel() == 1
    assert ContinuousDropout()(x).unique().numel() > 290


def test_no_noise_changes_nothing():
    x = torch.randn(5)
    for drop in (ContinuousDropout("gaussian", std=0.0), ContinuousDropout("bernoulli", p=0.0)):
        assert torch.allclose(drop(x), x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_draws_many_values(dtype):
    out = ContinuousDropout(generator=torch.Generator().manual_seed(0))(
        torch.ones(100_000, dtype=dtype)
    )
    assert out.dtype == dtype
    assert abs(out.double().mean() - 1) < 0.01


def test_generator_copies_and_compile():
    first, second = (
        ContinuousDropout(generator=torch.Generator().manual_seed(5))(torch.ones(9))
        for _ in range(2)
    )
    assert torch.equal(first, second)
    drop = ContinuousDropout("gaussian", std=0.1)
    for other in (copy.deepcopy(drop), pickle.loads(pickle.dumps(drop))):
        assert other.noise == drop.noise
    compiled = torch.compile(drop, fullgraph=True, backend="eager")(torch.ones(1000))
    assert 0 <= compiled.min() < 0.7 < 1.3 < compiled.max() <= 2
    assert "std=0.1" in repr(drop)
    assert drop(torch.empty(0, 3)).shape == (0, 3)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"noise": "normal"}, "noise"),
        ({"noise": "uniform", "std": 0.1}, "std"),
        ({"noise": "gaussian", "p": 0.1}, "'p'"),
        ({"noise": "bernoulli", "clip": False}, "clip"),
        ({"noise": "uniform", "low": 0.9, "high": 0.1}, "low"),
        ({"noise": "gaussian", "std": -1.0}, "std"),
        ({"noise": "gaussian", "mean": float("nan")}, "mean"),
        ({"noise": "bernoulli", "p": 1.0}, "'p'"),
        ({"axes": -1}, "axes"),
        ({"variant": "code"}, "variant"),
    ],
)
def test_refuses_wrong_options(options, named):
    with pytest.raises(ValueError, match=named):
        ContinuousDropout(**options)


def test_refuses_wrong_input():
    with pytest.raises(ValueError, match="axes"):
        ContinuousDropout(axes=3)(torch.ones(2, 2))
    with pytest.raises(TypeError, match="floating"):
        ContinuousDropout()(torch.ones(2, dtype=torch.long))
