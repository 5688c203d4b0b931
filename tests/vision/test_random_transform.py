import copy
import pickle

import pytest
import torch

from graphkit.vision import RandomTransform2d, transform2d


def one(angle=0.0, scale=1.0, right=0.0, down=0.0, count=1):
    return torch.tensor([[angle, scale, right, down]], dtype=torch.double).repeat(count, 1)


def by_hand(x, angle, scale, right, down):
    """Bilinear sampling with zeros outside, cell by cell, in pixels about the centre."""
    high, wide = x.shape
    out = torch.zeros_like(x)
    turn = torch.deg2rad(torch.tensor(angle, dtype=torch.double))
    for i in range(high):
        for j in range(wide):
            # Rows point down, so a counterclockwise turn is [[cos, sin], [-sin, cos]]; undone here.
            a, b = j - (wide - 1) / 2, i - (high - 1) / 2
            col = (turn.cos() * a - turn.sin() * b) / scale - right * wide + (wide - 1) / 2
            row = (turn.sin() * a + turn.cos() * b) / scale - down * high + (high - 1) / 2
            for m in range(high):
                for n in range(wide):
                    weight = (1 - (row - m).abs()).clamp(min=0) * (1 - (col - n).abs()).clamp(min=0)
                    out[i, j] += weight * x[m, n]
    return out


@pytest.mark.parametrize("given", [(30.0, 1.3, 0.1, -0.2), (-75.0, 0.6, 0.0, 0.3)])
@pytest.mark.parametrize("shape", [(5, 5), (4, 7), (1, 6)])
def test_every_cell_is_sampled_where_it_came_from(given, shape):
    x = torch.randn(shape, dtype=torch.double)
    out = transform2d(x[None, None], one(*given))[0, 0]
    assert torch.allclose(out, by_hand(x, *given), atol=1e-12)


def test_quarter_turns_and_whole_cells():
    x = torch.randn(2, 3, 6, 6)
    for k in range(4):
        out = transform2d(x, one(90.0 * k, count=2))
        assert torch.allclose(out, x.rot90(k, (2, 3)), atol=1e-5)
    wide = torch.randn(1, 1, 4, 8)
    out = transform2d(wide, one(right=2 / 8, down=-1 / 4))
    assert torch.allclose(out[..., :3, 2:], wide[..., 1:, :6], atol=1e-6)
    assert out[..., 3, :].abs().max() < 1e-6
    assert out[..., :2].abs().max() < 1e-6


def test_scaling_back_restores_a_smooth_map_and_keeps_the_centre():
    line = torch.linspace(-1, 1, 33, dtype=torch.double)
    x = torch.exp(-20 * (line[:, None] ** 2 + line**2))[None, None]
    there = transform2d(x, one(scale=1.5))
    assert there[0, 0, 16, 16] == pytest.approx(float(x[0, 0, 16, 16]))
    assert there.sum() > 1.8 * x.sum()
    assert torch.allclose(transform2d(there, one(scale=1 / 1.5)), x, atol=0.04)


def test_what_lies_outside():
    x = torch.full((1, 1, 4, 4), 2.0)
    zeros, border, reflection = (
        transform2d(x, one(right=0.9), padding) for padding in ("zeros", "border", "reflection")
    )
    assert zeros.sum() < 0.2 * x.sum()
    assert torch.equal(border, x)
    assert torch.allclose(reflection, x)
    ramp = torch.arange(16.0).view(1, 1, 4, 4)
    # Clamped along both: the upper left corner everywhere.
    corner = transform2d(ramp, one(right=1.0, down=1.0), "border")
    assert torch.equal(corner, torch.zeros_like(corner))


def test_evaluation_and_no_range_change_nothing():
    x = torch.randn(4, 2, 5, 5)
    layer = RandomTransform2d(p=1.0)
    assert layer.eval()(x) is x
    none = RandomTransform2d(0.0, 0.0, 0.0, p=1.0)
    assert torch.equal(none(x), x)
    out, transforms = layer(x, return_transforms=True)
    assert out is x
    assert torch.equal(transforms, one(count=4).float())


def test_transforms_that_are_told_are_those_that_were_done():
    x = torch.randn(16, 2, 9, 9)
    layer = RandomTransform2d(generator=torch.Generator().manual_seed(0))
    out, transforms = layer(x, return_transforms=True)
    still = (transforms == one().float()).all(1)
    assert 2 < still.sum() < 14
    assert torch.equal(out[still], x[still])
    assert torch.allclose(out, transform2d(x, transforms), atol=1e-5)
    assert transforms.unique(dim=0).size(0) == 17 - still.sum()
    shared = RandomTransform2d(p=1.0, per_sample=False)(x, return_transforms=True)[1]
    assert shared.unique(dim=0).size(0) == 1


@pytest.mark.parametrize("law", ["uniform", "gaussian"])
def test_rates_and_ranges_within_three_standard_errors(law):
    count = 20_000
    layer = RandomTransform2d(
        30.0, 0.3, (0.1, 0.4), p=0.3, law=law, generator=torch.Generator().manual_seed(1)
    )
    drawn, moved = layer.draw(count)
    assert abs(moved.float().mean() - 0.3) < 3 * (0.21 / count) ** 0.5
    values = drawn[moved]
    limit = torch.tensor([30.0, 0.3, 0.1, 0.4])
    # An interval of half width a has the deviation a / sqrt(3).
    deviation = limit / 3**0.5 if law == "uniform" else limit
    centred = values - torch.tensor([0.0, 1.0, 0.0, 0.0])
    assert (centred.mean(0).abs() < 3 * deviation / len(values) ** 0.5).all()
    assert torch.allclose(values.std(0), deviation, rtol=0.05)
    outside = centred.abs() > limit
    assert not outside.any() if law == "uniform" else outside.any()


def test_gaussian_laws_are_clipped():
    layer = RandomTransform2d(500.0, 20.0, 9.0, p=1.0, law="gaussian")
    drawn = layer.draw(500)[0]
    assert drawn.amin(0).tolist() == pytest.approx([-180, 0.1, -0.9, -0.9])
    assert drawn.amax(0).tolist() == pytest.approx([180, 10, 0.9, 0.9])


def test_alternation_flips_a_coin_for_each_kind():
    count = 20_000
    layer = RandomTransform2d(p=1.0, alternate=True, generator=torch.Generator().manual_seed(2))
    drawn, moved = layer.draw(count)
    rate = (drawn != one().float()).float().mean(0)
    assert (rate - 0.5).abs().max() < 3 * (0.25 / count) ** 0.5
    assert torch.equal(drawn[:, 2] != 0, drawn[:, 3] != 0)
    assert abs(moved.float().mean() - 7 / 8) < 3 * (7 / 64 / count) ** 0.5


def test_gradients_reach_maps_and_not_transforms():
    x = torch.randn(2, 1, 4, 5, dtype=torch.double, requires_grad=True)

    def call(x):
        layer = RandomTransform2d(p=1.0, generator=torch.Generator().manual_seed(0))
        return layer(x)

    assert torch.autograd.gradcheck(call, x)
    given = one(10.0, count=2).requires_grad_()
    transform2d(x, given).sum().backward()
    assert given.grad is None


def test_seeds_copies_types_and_compile():
    x = torch.randn(6, 2, 5, 5)
    first, second = (
        RandomTransform2d(generator=torch.Generator().manual_seed(5))(x) for _ in range(2)
    )
    assert torch.equal(first, second)
    layer = RandomTransform2d(p=1.0)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(other) == repr(layer)
    for dtype in (torch.bfloat16, torch.float16):
        out = transform2d(x.to(dtype), one(20.0, count=6))
        assert out.dtype == dtype
        assert torch.allclose(out.float(), transform2d(x, one(20.0, count=6)), atol=0.03)
    assert layer(torch.empty(0, 2, 5, 5)).shape == (0, 2, 5, 5)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert not torch.allclose(compiled(x), x)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"angle": (10.0, -10.0)}, "angle"),
        ({"angle": -1.0}, "angle"),
        ({"angle": float("nan")}, "angle"),
        ({"scale": 1.0}, "scale"),
        ({"scale": (0.0, 1.0)}, "scale"),
        ({"scale": (0.5, 1.0), "law": "gaussian"}, "scale"),
        ({"shift": (0.1, -0.1)}, "shift"),
        ({"shift": float("inf")}, "shift"),
        ({"p": 1.5}, "'p'"),
        ({"padding": "wrap"}, "padding"),
        ({"interpolation": "cubic"}, "interpolation"),
        ({"law": "normal"}, "law"),
    ],
)
def test_wrong_options_are_named(options, named):
    with pytest.raises(ValueError, match=named):
        RandomTransform2d(**options)


def test_wrong_input_is_named():
    for layer in (RandomTransform2d(), RandomTransform2d().eval()):
        with pytest.raises(ValueError, match="'x'"):
            layer(torch.rand(3, 4, 4))
        with pytest.raises(ValueError, match="'x'"):
            layer(torch.ones(1, 3, 4, 4, dtype=torch.long))
    x = torch.rand(2, 1, 4, 4)
    for wrong in (one(), one(scale=0.0, count=2), one(angle=float("nan"), count=2)):
        with pytest.raises(ValueError, match="'transforms'"):
            transform2d(x, wrong)
    with pytest.raises(ValueError, match="padding"):
        transform2d(x, one(count=2), "wrap")
    with pytest.raises(ValueError, match="interpolation"):
        transform2d(x, one(count=2), interpolation="cubic")
