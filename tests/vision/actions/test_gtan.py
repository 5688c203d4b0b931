"""GTAN: kernels, anchors and groups against their definitions."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from graphkit.vision import GTAN, segment_iou
from graphkit.vision.actions.gtan import gaussian_pool, suppress


def network(**options):
    torch.manual_seed(0)
    return GTAN(**{"in_channels": 6, "num_classes": 3, "channels": 8, "num_levels": 3, **options})


def places(cells, batch=1):
    return ((torch.arange(cells) + 0.5) / cells).double().expand(batch, cells)


def test_a_narrow_kernel_picks_its_cell_and_a_wide_one_takes_the_mean():
    feature = torch.rand(2, 3, 8).double()
    narrow = torch.full((2, 8), 1e-3).double()
    assert torch.allclose(gaussian_pool(feature, places(8, 2), narrow), feature)
    wide = gaussian_pool(feature, places(8, 2), 1e6 * narrow)
    assert torch.allclose(wide, feature.mean(2, keepdim=True).expand_as(wide), atol=1e-5)


def test_pooling_is_the_sum_of_its_formula():
    feature, sigma = torch.rand(1, 2, 5).double(), torch.rand(1, 5).double() + 0.05
    apart = places(5)[0][None, :] - places(5)[0][:, None]
    weight = torch.exp(-(apart**2) / (2 * sigma[0][:, None] ** 2))
    weight = weight / weight.sum(1, keepdim=True)
    expected = torch.einsum("ti,fi->ft", weight, feature[0])
    assert torch.allclose(gaussian_pool(feature, places(5), sigma)[0], expected)
    middle = weight[2]
    assert torch.allclose(middle, middle.flip(0)), "symmetric about its centre"


def test_gradients_reach_feature_and_sigma():
    feature, sigma = torch.rand(1, 2, 4).double(), torch.rand(1, 4).double() + 0.1
    leaves = feature.requires_grad_(), sigma.requires_grad_()
    assert gradcheck(lambda f, s: gaussian_pool(f, places(4), s), leaves)
    (grad,) = torch.autograd.grad(gaussian_pool(feature, places(4), sigma).square().sum(), sigma)
    assert (grad.abs() > 1e-6).all()


def test_anchors_begin_one_cell_wide_at_the_cells_centres():
    found = network(group_threshold=1.0)(torch.rand(2, 6, 16))
    for level, cells in enumerate((4, 2, 1)):
        mine = found.level == level
        assert torch.allclose(found.centre[0, mine][::3].double(), places(cells)[0])
        width = found.width[0, mine].view(cells, 3)
        ratios = torch.tensor([1.0, 2 ** (1 / 3), 2 ** (2 / 3)])
        assert torch.allclose(width * cells, ratios.expand(cells, 3), rtol=0.2)
    assert found.valid.all()


@pytest.mark.parametrize("bias", [-20.0, -1000.0])
def test_tiny_kernels_are_the_fixed_scale_network(bias):
    free, fixed = network(group_threshold=1.0), network(fixed_scale=True)
    fixed.load_state_dict(free.state_dict())
    for conv in free.scale:
        torch.nn.init.zeros_(conv.weight)
        torch.nn.init.constant_(conv.bias, bias)
    x = torch.rand(2, 6, 16)
    one, two = free(x), fixed(x)
    for name in ("logits", "offsets", "overlap", "feature"):
        assert torch.allclose(getattr(one, name), getattr(two, name), atol=1e-5), name


def test_groups_are_proposed_once_each():
    model = network(group_threshold=0.2)
    for conv in model.scale:
        torch.nn.init.constant_(conv.bias, 2.0)
    found = model(torch.rand(1, 6, 32))
    cells = 3 * (8 + 4 + 2)
    assert found.centre.shape == (1, 2 * cells)
    assert int(found.valid.sum()) == cells + 3 * 3, "one group of all cells per level"
    spans = torch.stack([found.centre - found.sigma, found.centre + found.sigma], -1)[0]
    groups = spans[24:48][found.valid[0, 24:48]]
    whole = torch.tensor([[0.0, 1.0]])
    assert (segment_iou(groups.clamp(0, 1), whole) > 0.99).all()


def test_a_shift_of_the_video_shifts_the_finest_level():
    model = network(fixed_scale=True, num_levels=2)
    x = torch.rand(1, 6, 64)
    one, two = model(x), model(x.roll(8, 2))
    mine = one.level == 0
    for name in ("logits", "offsets", "overlap"):
        shifted = getattr(one, name)[0, mine].view(16, -1).roll(2, 0)
        same = getattr(two, name)[0, mine].view(16, -1)
        assert torch.allclose(shifted[6:-4], same[6:-4], atol=1e-5), name


def test_detections_are_sorted_out_per_action():
    model = network().eval()
    detections = model.detect(torch.rand(2, 6, 16), threshold=0.3)
    assert len(detections) == 2
    for segments, actions, scores in detections:
        assert ((scores >= 0) & (scores <= 1)).all()
        for action in range(3):
            mine = segments[actions == action]
            overlap = segment_iou(mine, mine) - torch.eye(len(mine))
            assert overlap.max() <= 0.3


def test_lazy_width_and_bad_input():
    lazy = network(in_channels=-1)
    assert lazy(torch.rand(1, 11, 16)).logits.shape[2] == 4
    for shape in ((1, 6, 24), (6, 16), (1, 6, 0)):
        with pytest.raises(ValueError, match="'x'"):
            network()(torch.rand(shape))
    with pytest.raises(ValueError, match="num_levels"):
        network(num_levels=0)


def test_the_pyramid_layer_by_layer():
    model, x = network(), torch.rand(2, 6, 16)
    w = dict(model.named_parameters())

    def conv(h, name, stride=1):
        return F.conv1d(h, w[f"{name}.weight"], w[f"{name}.bias"], stride, padding=1)

    h = F.max_pool1d(conv(conv(x, "stem.0").relu(), "stem.2").relu(), 2)
    for level, found in enumerate(model.pyramid(x)):
        h = conv(h, f"levels.{level}.0", 2).relu()
        assert torch.allclose(found, h, atol=1e-6)
        half = 0.5 / h.size(2)
        logit = conv(h, f"scale.{level}")[:, 0] + math.log(half / (1 - half))
        assert torch.allclose(model.sigma(h, level), logit.sigmoid().clamp(min=0.1 * half))
    assert w["head.weight"].shape == (3 * 7, 8, 3)
    assert model.ratios == pytest.approx((1.0, 2 ** (1 / 3), 2 ** (2 / 3)))
    assert (model.group_threshold, len(GTAN(2, 1).levels)) == (0.7, 5)


def test_scales_begin_at_half_a_cell_and_are_never_tiny():
    model = network()
    for conv in model.scale:
        assert not conv.bias.any()
        assert 0.002 < conv.weight.std() < 0.02
        torch.nn.init.constant_(conv.bias, -100.0)
    feature = torch.rand(1, 8, 4)
    assert torch.allclose(model.sigma(feature, 0), torch.full((1, 4), 0.1 * 0.5 / 4))
    assert torch.allclose(network(fixed_scale=True).sigma(feature, 0), torch.full((1, 4), 0.125))
    before = model.head.weight.clone()
    model.reset_parameters()
    assert not torch.equal(model.head.weight, before)


def test_suppression_by_hand():
    segments = torch.tensor([[0.0, 0.4], [0.0, 0.3], [0.5, 1.0], [0.6, 1.0]])
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    kept, actions, values = suppress(segments, scores, 0.5, 4)
    # Overlaps of the pairs are 0.75 and 0.8: of each the better one stays, action by action.
    assert actions.tolist() == [0, 0, 1, 1]
    assert values.tolist() == pytest.approx([0.9, 0.4, 0.7, 0.2])
    assert torch.equal(kept, segments[[0, 3, 2, 1]])
    few = suppress(segments, scores, 0.5, 1)
    assert few[2].tolist() == pytest.approx([0.9, 0.7])
    assert len(suppress(segments, scores, 0.99, 9)[0]) == 8


def test_columns_of_the_head_are_logits_offsets_and_overlap():
    model = network(group_threshold=1.0)
    found = model(x := torch.rand(1, 6, 16))
    pooled = gaussian_pool(
        model.pyramid(x)[0], places(4).float(), model.sigma(model.pyramid(x)[0], 0)
    )
    out = model.head(pooled)[0].t().reshape(4, 3, 7)
    cell, ratio = 2, 1
    row = 3 * cell + ratio
    assert torch.allclose(found.logits[0, row], out[cell, ratio, :4], atol=1e-6)
    assert torch.allclose(found.offsets[0, row], out[cell, ratio, 4:6], atol=1e-6)
    assert torch.allclose(found.overlap[0, row], out[cell, ratio, 6], atol=1e-6)
    assert torch.allclose(found.feature[0, row], pooled[0, :, cell], atol=1e-6)
    assert (found.cell[row], found.level[row]) == (2, 0)
    assert found.sigma[0, row] == model.sigma(model.pyramid(x)[0], 0)[0, cell]
