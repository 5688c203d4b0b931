import pytest
import torch

from graphkit.vision import (
    UDOR,
    anchor_clusters,
    modularity,
    removal_matrix,
    visual_integrity,
)


def test_single_objects_are_found_and_grouped_wherever_they_are():
    x = torch.zeros(40, 1, 12, 12)
    kind = torch.arange(40) % 2
    for i in range(40):
        row, col = i % 9, (3 * i) % 9
        x[i, 0, row : row + 3, col] = 1.0
        if kind[i]:
            x[i, 0, row, col : col + 3] = 1.0
    x[5] = 0
    x[6, 0, 0, 0] = x[6, 0, 11, 11] = 1.0
    found = anchor_clusters(x, 2, extent=3)
    assert (found < 0).nonzero().flatten().tolist() == [5, 6]
    known = found >= 0
    agreement = (found[known] == kind[known]).float().mean()
    assert agreement in (0.0, 1.0)
    with pytest.raises(ValueError, match="extent"):
        anchor_clusters(x, 2, extent=1)


def test_an_ideal_model_has_a_permutation_as_removal_matrix():
    """Part k holds what lies in cell 1 - k."""

    class Cells(UDOR):
        def encode(self, x):
            return x.view(len(x), 2, 8).flip(1)

        def decode(self, parts):
            return parts.flip(1).reshape(len(parts), 1, 4, 4)

    model = Cells(1, 4, num_parts=2, part_channels=8)
    masks = torch.zeros(3, 2, 4, 4, dtype=torch.bool)
    masks[:2, 0, :2], masks[1:, 1, 2:] = True, True
    x = torch.rand(3, 1, 4, 4) + 0.1
    removal = removal_matrix(model, x, masks)
    assert torch.allclose(removal, torch.tensor([[0.0, 1.0], [1.0, 0.0]]), atol=1e-6)


def test_the_metrics_of_disassembling():
    parts = torch.rand(4, 6, 3, 5)
    changed = torch.tensor([0, 1, 2, 0])
    value = modularity(parts, changed)
    assert torch.allclose(modularity(parts[:, torch.randperm(6)], changed), value)
    constant = parts[:, :1].expand(4, 6, 3, 5).clone()
    assert modularity(constant, changed) < 1e-6
    own = constant.clone()
    own[torch.arange(4), :, changed] = torch.rand(4, 6, 5)
    assert modularity(own, changed) < 1e-6
    x = torch.rand(2, 1, 4, 4)
    kept = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    kept[0, 0, 1, 1] = True
    other = x.clone()
    other[0, 0, 1, 1] += 0.5
    other[1] = 0
    assert visual_integrity(x, x, kept) == 0
    assert torch.allclose(visual_integrity(x, other, kept), torch.tensor(0.5))


def test_integrity_is_a_mean_over_what_is_kept():
    x, edited, kept = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4), torch.rand(2, 1, 4, 4) > 0.5
    wanted = torch.stack([(x - edited)[:, c][kept[:, 0]].abs().mean() for c in range(3)]).mean()
    torch.testing.assert_close(visual_integrity(x, edited, kept), wanted)
    assert visual_integrity(x, edited, kept & False) == 0


def test_half_images_of_many_pixels():
    x, kept = torch.rand(64, 3, 32, 32), torch.ones(64, 1, 32, 32, dtype=torch.bool)
    integrity = visual_integrity(x.half(), (x + 0.125).half(), kept)
    assert integrity.dtype == torch.float16
    assert integrity.item() == pytest.approx(0.125, rel=1e-2)
