"""Laws of masks: their moments against draws, and what is no law."""

from __future__ import annotations

import pytest
import torch

from graphkit.transforms.mask_noise import MaskNoise, mask_noise

LAWS = [
    MaskNoise("uniform"),
    MaskNoise("uniform", low=0.25, high=0.75),
    MaskNoise("bernoulli", p=0.25),
    MaskNoise("gaussian"),
    MaskNoise("gaussian", mean=0.75, std=0.5),
    MaskNoise("gaussian", mean=0.75, std=0.5, clip=False),
    MaskNoise("gaussian", mean=0.25, std=0.0),
]


@pytest.mark.parametrize("noise", LAWS, ids=str)
def test_moments_are_those_of_draws(noise: MaskNoise) -> None:
    generator = torch.Generator().manual_seed(0)
    mask = noise.draw((400_000,), torch.zeros((), dtype=torch.double), generator)
    mean, variance = noise.moments
    assert noise.scale == pytest.approx(1 / mean)
    assert float(mask.mean()) == pytest.approx(1.0, abs=0.005)
    assert float(mask.var()) == pytest.approx(noise.relative_variance, abs=0.01)
    assert noise.relative_variance == pytest.approx(variance / mean**2)
    if noise.kind != "gaussian" or noise.clip:
        assert float(mask.min()) >= 0
        assert float(mask.max()) <= noise.scale + 1e-12
    again = noise.draw((400_000,), torch.zeros((), dtype=torch.double), generator.manual_seed(0))
    assert torch.equal(mask, again)


@pytest.mark.parametrize(
    ("noise", "moments"),
    [
        (MaskNoise("uniform", low=0.5, high=1.0), (0.75, 0.25 / 12)),
        (MaskNoise("bernoulli", p=0.25), (0.75, 0.1875)),
        (MaskNoise("gaussian", mean=0.5, std=2.0, clip=False), (0.5, 4.0)),
        (MaskNoise("gaussian", mean=0.5, std=0.0), (0.5, 0.0)),
    ],
    ids=str,
)
def test_moments_by_hand(noise: MaskNoise, moments: tuple[float, float]) -> None:
    assert noise.moments == pytest.approx(moments)


def test_the_mean_before_clipping_may_scale() -> None:
    assert MaskNoise("gaussian", mean=0.75, std=0.5, exact=False).scale == 1 / 0.75
    assert MaskNoise("gaussian", mean=0.75, std=0.5).scale != pytest.approx(1 / 0.75)
    assert MaskNoise("uniform", exact=False).scale == 2.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_draws_have_the_type_of_what_they_mask(dtype: torch.dtype) -> None:
    for noise in LAWS:
        mask = noise.draw((3, 2), torch.zeros((), dtype=dtype))
        assert mask.dtype == dtype
        assert mask.shape == (3, 2)
    # A uniform law on the few values of bfloat16 would repeat itself.
    torch.manual_seed(0)
    full = MaskNoise("uniform").draw((3000,), torch.zeros(())).unique().numel()
    assert full > 2900


def test_laws_at_their_bounds() -> None:
    MaskNoise("uniform", low=0.5, high=0.5)
    MaskNoise("uniform", low=1.0, high=1.0)
    MaskNoise("bernoulli", p=0.0)
    MaskNoise("gaussian", mean=1.0, std=0.0)
    for options in (
        {"low": -0.1},
        {"low": 0.6, "high": 0.5},
        {"high": 1.1},
        {"low": 0.0, "high": 0.0},
        {"low": float("nan")},
    ):
        with pytest.raises(ValueError, match="low"):
            MaskNoise("uniform", **options)
    for options in ({"mean": 0.0}, {"mean": 1.1}, {"std": -0.1}, {"std": float("inf")}):
        with pytest.raises(ValueError, match=next(iter(options))):
            MaskNoise("gaussian", **options)
    for p in (-0.1, 1.0):
        with pytest.raises(ValueError, match=r"'p' must be in \[0, 1\)"):
            MaskNoise("bernoulli", p=p)
    with pytest.raises(ValueError, match=r"'noise' must be one of .*, got 'laplace'"):
        MaskNoise("laplace")


def test_options_belong_to_their_kind() -> None:
    assert mask_noise("bernoulli", p=0.25, low=None) == MaskNoise("bernoulli", p=0.25)
    assert mask_noise("gaussian", exact=False) == MaskNoise("gaussian", exact=False)
    assert mask_noise("uniform").exact
    with pytest.raises(ValueError, match="'p' has no meaning for noise 'uniform'"):
        mask_noise("uniform", p=0.5)
    with pytest.raises(ValueError, match="'noise' must be one of"):
        mask_noise("laplace", p=0.5)
    assert str(mask_noise("uniform", low=0.25)) == "uniform, low=0.25, high=1.0"
