import pytest
import torch

from graphkit.vision import gaussian_rows, render_density


def test_a_density_is_the_sum_of_gaussians():
    points = torch.tensor([[3.0, 4.0], [5.2, 6.1]], dtype=torch.double)
    maps = render_density(points, torch.tensor([1, 1]), (2, 11, 12))
    cells = torch.cartesian_prod(torch.arange(11), torch.arange(12)).double()
    square = torch.cdist(cells, points).square()
    expected = torch.exp(-square / (2 * 1.5**2))
    expected = (expected / expected.sum(0)).sum(1).view(11, 12)
    assert torch.allclose(maps[1], expected)
    assert not maps[0].any()


def test_mass_stays_inside_at_the_border():
    rows = gaussian_rows(torch.tensor([-1.0, 0.0, 4.0, 9.0]), 5, 1.0)
    assert torch.allclose(rows.sum(1), torch.ones(4))


def test_noise_comes_from_the_generator():
    points, frame = torch.rand(50, 2) * 20, torch.zeros(50, dtype=torch.long)
    draw = [
        render_density(points, frame, (1, 20, 20), 1.5, 0.2, 0.01, torch.Generator().manual_seed(s))
        for s in (1, 1, 2)
    ]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])
    assert (draw[0] >= 0).all()
    masses = [
        float(
            render_density(
                points[:1],
                frame[:1],
                (1, 20, 20),
                1.5,
                0.2,
                generator=torch.Generator().manual_seed(s),
            ).sum()
        )
        for s in range(40)
    ]
    assert 0.8 <= min(masses) < 0.9
    assert 1.1 < max(masses) <= 1.2


@pytest.mark.parametrize(
    ("points", "frame", "name"),
    [
        (torch.zeros(2, 3), torch.zeros(2).long(), "points"),
        (torch.zeros(2, 2), torch.zeros(1).long(), "frame"),
        (torch.zeros(1, 2), torch.tensor([3]), "frame"),
    ],
)
def test_wrong_arguments_are_named(points, frame, name):
    with pytest.raises(ValueError, match=name):
        render_density(points, frame, (3, 5, 5))
    with pytest.raises(ValueError, match="sigma"):
        gaussian_rows(torch.zeros(1), 4, 0.0)
