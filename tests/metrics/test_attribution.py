"""Metrics of attribution maps, against loops and known answers."""

from __future__ import annotations

import pytest
import torch

from graphkit.metrics import deletion_area, energy_in_region, insertion_area, pointing_game


def model(x: torch.Tensor) -> torch.Tensor:
    evidence = x[:, 0].flatten(1) @ torch.linspace(0, 3, 16)
    return torch.stack([evidence, 0 * evidence], dim=1)


def test_areas_are_the_loop() -> None:
    x, maps, target = torch.rand(3, 2, 4, 4), torch.randn(3, 1, 4, 4), torch.tensor([0, 1, 0])
    blank = torch.rand(2, 4, 4)
    for insert, area in ((True, insertion_area), (False, deletion_area)):
        found = area(model, x, maps, target, steps=16, baseline=blank)
        for row in range(3):
            image, points = (blank if insert else x[row]).clone(), []
            order = maps[row, 0].flatten().argsort(descending=True).tolist()
            for pixel in [None, *order]:
                if pixel is not None:
                    source = x[row] if insert else blank
                    image[:, pixel // 4, pixel % 4] = source[:, pixel // 4, pixel % 4]
                points.append(model(image[None]).softmax(1)[0, target[row]])
            expected = torch.trapezoid(torch.stack(points)) / 16
            torch.testing.assert_close(found[row], expected)


def test_the_true_order_is_the_best() -> None:
    x, target = torch.ones(1, 1, 4, 4), torch.tensor([0])
    true = torch.linspace(0, 3, 16).view(1, 1, 4, 4)
    inserted = insertion_area(model, x, true, target, 8)
    deleted = deletion_area(model, x, true, target, 8)
    for other in torch.randn(10, 1, 1, 4, 4):
        assert inserted > insertion_area(model, x, other, target, 8)
        assert deleted < deletion_area(model, x, other, target, 8)
    torch.testing.assert_close(inserted, insertion_area(model, x, true[:, 0], target, 8))


def test_where_maps_point() -> None:
    maps = torch.tensor([[[2.0, 1.0], [0.0, -1.0]], [[0.0, 0.0], [0.0, 0.0]], [[1, 1], [0, 0]]])
    region = torch.tensor([[[True, False], [False, True]]]).expand(3, 2, 2)
    assert energy_in_region(maps, region).tolist() == [0.75, 0.0, 0.5]
    assert pointing_game(maps, region).tolist() == [1.0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, m, t: insertion_area(model, x, m[:, :, :3], t), "'maps' must have shape"),
        (lambda x, m, t: deletion_area(model, x, m / 0, t), "'maps' holds values"),
        (lambda x, m, t: insertion_area(model, x, m, t, steps=17), "'steps' must lie between"),
        (lambda x, m, t: deletion_area(model, x, m, t[:1]), r"'target' must have shape \[2\]"),
        (lambda x, m, t: energy_in_region(m, m[:, 0] > 0), "'region' must have the maps' shape"),
        (lambda x, m, t: pointing_game(m / 0, m > 0), "'maps' holds values"),
    ],
)
def test_faults_are_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.rand(2, 1, 4, 4), torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]))
