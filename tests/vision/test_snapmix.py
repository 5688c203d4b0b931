import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphkit.testing import assert_no_trace
from graphkit.vision import Mixed, SnapMix, percent_of, semantic_percent
from tests.spoiled import spoiled


def network(classes=5):
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, classes),
    )


def make(seed=0, model=None, **options):
    generator = torch.Generator().manual_seed(seed)
    return SnapMix(network() if model is None else model, "2", "5", generator=generator, **options)


def batch(count=6, side=12):
    return torch.rand(count, 1, side, side + 2), torch.arange(count) % 5


def inside(box, shape):
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[box[0] : box[2], box[1] : box[3]] = True
    return mask


def test_maps_are_shares_and_follow_the_batch():
    features, weight, y = torch.rand(4, 8, 3, 5), torch.randn(6, 8), torch.tensor([0, 5, 2, 2])
    maps = semantic_percent(features, weight, y, (9, 10))
    assert maps.min() >= 0
    assert torch.allclose(maps.sum((1, 2)), torch.ones(4))
    order = torch.tensor([2, 0, 3, 1])
    permuted = semantic_percent(features[order], weight, y[order], (9, 10))
    assert torch.allclose(permuted, maps[order], atol=1e-7)
    assert torch.allclose(semantic_percent(features, 7 * weight, y, (9, 10)), maps, atol=1e-6)
    # Map by map, in the words of the paper; a bias would cancel.
    for i in range(4):
        cam = (weight[y[i]].view(8, 1, 1) * features[i]).sum(0) + 3.0
        cam = F.interpolate(cam[None, None], (9, 10), mode="bilinear")[0, 0]
        assert torch.allclose(maps[i], (cam - cam.min()) / (cam - cam.min()).sum(), atol=1e-5)


def test_a_constant_map_is_uniform():
    maps = semantic_percent(torch.ones(2, 3, 4, 4), torch.randn(2, 3), torch.tensor([0, 1]))
    assert torch.allclose(maps, torch.full((2, 4, 4), 1 / 16))
    assert torch.equal(percent_of(torch.zeros(1, 4)), torch.full((1, 4), 0.25))


@pytest.mark.parametrize("seed", range(6))
def test_boxes_are_replaced_and_nothing_else(seed):
    x, y = batch()
    given = x.clone()
    mixed = make(seed).mix(x, y)
    assert torch.equal(x, given)
    mask = inside(mixed.box_a, x.shape[2:])
    assert mask.any()
    assert torch.equal(mixed.x[..., ~mask], x[..., ~mask])
    (top, left, bottom, right), taken = mixed.box_a, mixed.box_b
    patch = x[mixed.donor][:, :, taken[0] : taken[2], taken[1] : taken[3]]
    size = (bottom - top, right - left)
    patch = F.interpolate(patch, size, mode="bilinear", align_corners=True)
    assert torch.allclose(mixed.x[:, :, top:bottom, left:right], patch, atol=1e-6)
    assert sorted(mixed.donor.tolist()) == list(range(6))
    assert torch.equal(mixed.y_b, y[mixed.donor])


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_the_shares_in_the_boxes(seed):
    x, y = batch()
    snapmix = make(seed)
    mixed = snapmix.mix(x, y)
    model = snapmix.model.eval()
    maps = semantic_percent(model[:3](x), model[5].weight, y, (12, 14))
    a, b = (inside(box, (12, 14)) for box in (mixed.box_a, mixed.box_b))
    assert torch.allclose(mixed.weight_a, 1 - maps[:, a].sum(1), atol=1e-6)
    assert torch.allclose(mixed.weight_b, maps[mixed.donor][:, b].sum(1), atol=1e-6)


def test_boxes_differ_and_have_the_size_of_their_law():
    snapmix, areas = make(beta=5.0), []
    for _ in range(300):
        (a, b), _, _ = snapmix.draw(4, 100, 100)
        for box in (a, b):
            assert 0 <= box[0] <= box[2] <= 100
            assert 0 <= box[1] <= box[3] <= 100
        areas.append([(r - p) * (s - q) / 1e4 for p, q, r, s in (a, b)])
    first, second = torch.tensor(areas).t()
    assert (first != second).float().mean() > 0.95
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 0.2
    # Side s of a random centre keeps s - s^2 / 4 of the image's; Beta(5, 5) is about 1/2.
    share = torch.distributions.Beta(5.0, 5.0).sample((20000,)).sqrt()
    expected = (share - share.square() / 4).square().mean()
    assert first.mean() == pytest.approx(float(expected), abs=0.02)


def test_boxes_of_all_and_of_nothing(monkeypatch):
    x, y = batch()
    snapmix = make()
    whole, none = (0, 0, 12, 14), (3, 3, 3, 9)
    corner = (0, 0, 4, 4)

    def drawing(*boxes):
        return lambda *_: (boxes, torch.arange(6).roll(1), True)

    monkeypatch.setattr(snapmix, "draw", drawing(whole, corner))
    mixed = snapmix.mix(x, y)
    maps = snapmix.maps(x, y)
    assert torch.allclose(mixed.weight_a, torch.zeros(6), atol=1e-6)
    assert torch.allclose(mixed.weight_b, maps.roll(1, 0)[:, :4, :4].sum((1, 2)))
    for boxes in ((none, corner), (corner, none)):
        monkeypatch.setattr(snapmix, "draw", drawing(*boxes))
        mixed = snapmix.mix(x, y)
        assert torch.equal(mixed.x, x)
        assert torch.equal(mixed.weight_a, torch.ones(6))
        assert torch.equal(mixed.weight_b, torch.zeros(6))
    # Uniform maps and equal boxes: CutMix.
    with torch.no_grad():
        snapmix.model[5].weight.zero_()
    monkeypatch.setattr(snapmix, "draw", drawing(corner, corner))
    mixed = snapmix.mix(x, y)
    assert torch.allclose(mixed.weight_a, torch.full((6,), 1 - 16 / 168))
    assert torch.allclose(mixed.weight_a + mixed.weight_b, torch.ones(6))
    cut = x.clone()
    cut[..., :4, :4] = x.roll(1, 0)[..., :4, :4]
    assert torch.equal(mixed.x, cut)


def test_loss_is_that_of_soft_labels_and_same_classes_count_once():
    x, y = batch()
    snapmix = make(3)
    mixed = snapmix.mix(x, y)
    logits = torch.randn(6, 5, dtype=torch.double)
    mixed.weight_a, mixed.weight_b = mixed.weight_a.double(), mixed.weight_b.double()
    assert torch.allclose(mixed.loss(logits), F.cross_entropy(logits, mixed.targets(5)))
    same = torch.zeros(6, dtype=torch.long)
    paper, released = (
        make(3, snapmix.model, variant=v).mix(x, same) for v in ("paper", "released")
    )
    plain = F.cross_entropy(logits, same, reduction="none").float()
    total = paper.weight_a + paper.weight_b
    assert torch.allclose(paper.loss(logits.float()), (total * plain).mean())
    assert torch.allclose(released.loss(logits.float()), 2 * (total * plain).mean())
    released = make(3, snapmix.model, variant="released").mix(x, y)
    apart = released.y_a != released.y_b
    assert torch.allclose(released.weight_a[apart], mixed.weight_a.float()[apart])


def test_seeds_probability_and_a_single_image():
    x, y = batch()
    model = network()
    first, second = (make(7, model).mix(x, y) for _ in range(2))
    assert torch.equal(first.x, second.x)
    assert torch.equal(first.weight_b, second.weight_b)
    mixes = [make(0, model, p=0.3).draw(2, 8, 8)[2] for _ in range(1)]
    rare = make(0, model, p=0.3)
    mixes += [rare.draw(2, 8, 8)[2] for _ in range(2000)]
    assert sum(mixes) / len(mixes) == pytest.approx(0.3, abs=3 * (0.21 / 2000) ** 0.5)
    assert torch.equal(make(0, model, p=0.0).mix(x, y).x, x)
    assert make(0, model).mix(x[:1], y[:1]).weight_b.shape == (1,)
    assert make(0, model).mix(x[:0], y[:0]).x.shape == (0, 1, 12, 14)


def test_mixing_leaves_the_model_alone_and_the_loss_trains_it():
    x, y = batch()
    snapmix = make().train()
    with assert_no_trace(snapmix.model):
        snapmix.mix(x, y)
    snapmix.loss(x, y).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in snapmix.parameters())
    assert snapmix.model[1].num_batches_tracked == 1
    assert torch.equal(snapmix.eval()(x), snapmix.model(x))
    for other in (copy.deepcopy(snapmix), pickle.loads(pickle.dumps(SnapMix(network(), "2", "5")))):
        assert other.mix(x, y).x.shape == x.shape
    half = make().to(torch.bfloat16)
    assert half.mix(x.bfloat16(), y).x.dtype == torch.bfloat16


def test_wrong_arguments_are_named():
    x, y = batch()
    for options, named in (
        ({"beta": 0.0}, "beta"),
        ({"p": 2.0}, "'p'"),
        ({"variant": "x"}, "vari"),
    ):
        with pytest.raises(ValueError, match=named):
            make(**options)
    for wrong, named in (
        ((x[0], y), "'x'"),
        ((x, y[:2]), "'y'"),
        ((x, y + 3), "'y'"),
        ((x, y.float()), "'y'"),
    ):
        with pytest.raises(ValueError, match=named):
            make().mix(*wrong)
    with pytest.raises(ValueError, match="head"):
        SnapMix(network(), "2", "4").mix(x, y)
    with pytest.raises(ValueError, match="'features'"):
        SnapMix(network(), "4", "5").mix(x, y)
    with pytest.raises(ValueError, match="NaN"):
        make().mix(spoiled(x), y)
    assert isinstance(make().mix(x, y), Mixed)


def test_classes_that_index_as_a_mask_are_refused():
    maps, weight = torch.rand(3, 4, 5, 5), torch.randn(3, 4)
    with pytest.raises(ValueError, match=r"'y' is torch\.uint8, which selects as a mask"):
        semantic_percent(maps, weight, torch.tensor([2, 1, 1], dtype=torch.uint8))
