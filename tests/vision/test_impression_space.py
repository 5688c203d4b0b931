import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphkit.vision import ImpressionSpace
from tests.torchvision_networks import images, network


def blocks(widths=(1, 6, 8), bias=True):
    return [
        nn.Sequential(nn.Conv2d(a, b, 3, stride=s, padding=1, bias=bias), nn.ReLU())
        for a, b, s in zip(widths, widths[1:], (1, 2, 2), strict=False)
    ]


def test_orthonormal_filters_are_inverted_exactly():
    conv = nn.Conv2d(1, 4, 2, stride=2, bias=False)
    conv.weight.data = torch.linalg.qr(torch.randn(4, 4))[0].view(4, 1, 2, 2)
    space = ImpressionSpace([conv])
    x = torch.rand(3, 1, 6, 6)
    assert torch.allclose(space.decode_layerwise(space(x), x.shape, steps=3), x, atol=1e-5)
    assert torch.allclose(torch.tensor(space.rate(0, x)), torch.tensor(1.0), atol=1e-4)


def test_the_step_is_one_over_the_largest_singular_value():
    conv = nn.Conv2d(1, 3, 3, padding=1, bias=False)
    space = ImpressionSpace([conv])
    dense = torch.autograd.functional.jacobian(conv, torch.zeros(1, 1, 5, 5)).reshape(75, 25)
    expected = 1 / torch.linalg.svdvals(dense)[0] ** 2
    assert space.rate(0, torch.zeros(1, 1, 5, 5)) == pytest.approx(float(expected), rel=0.05)


def test_more_steps_never_fit_worse_and_all_layers_fit_best():
    space = ImpressionSpace(blocks())
    x = torch.rand(4, 1, 8, 8)
    maps, errors = space(x), []
    for steps in (0, 1, 5, 40):
        found = space.decode_block(0, maps[0], x.shape, steps, 0.0, 1.0)
        errors.append((space(found)[0] - maps[0]).square().sum((1, 2, 3)))
    for before, after in itertools.pairwise(errors):
        assert (after <= before).all()
    deep = space.decode_layerwise([None, maps[1]], x.shape, steps=40)
    full = space.decode_layerwise(maps, x.shape, steps=40)
    assert (full - x).square().mean() < (deep - x).square().mean()
    assert (full - x).square().mean() < 0.1 * x.var()


def test_the_true_image_is_a_fixed_point_of_the_step():
    space = ImpressionSpace(blocks())
    x = torch.rand(2, 1, 8, 8).requires_grad_()
    maps = space(x)
    loss = (space(x)[1] - maps[1].detach()).square().sum()
    assert not torch.autograd.grad(loss, x)[0].any()


def test_joint_decoding_finds_the_image():
    space = ImpressionSpace(blocks())
    x = torch.rand(2, 1, 8, 8)
    maps = space(x)
    found = space.decode_joint([maps[0], None], x.shape, steps=80)
    assert (found - x).square().mean() < 0.02 * x.var()
    assert not found.requires_grad
    assert 0 <= found.min() <= found.max() <= 1


def test_encoding_leaves_the_network_as_it_is():
    network = blocks()
    network[0].append(nn.BatchNorm2d(6))
    space = ImpressionSpace(network).train()
    before = {name: value.clone() for name, value in space.state_dict().items()}
    x = torch.rand(4, 1, 8, 8)
    first = space.vectors(x)
    assert torch.equal(first, space.vectors(x))
    space.decode_joint(space(x), x.shape, steps=3)
    assert all(torch.equal(before[name], value) for name, value in space.state_dict().items())
    assert all(p.grad is None for p in space.parameters())


def test_contrast_does_not_matter_without_biases():
    space = ImpressionSpace(blocks(bias=False))
    x = torch.rand(5, 1, 8, 8)
    assert torch.allclose(space.relation(x), space.relation(0.3 * x), atol=1e-5)
    biased = ImpressionSpace(blocks())
    assert not torch.allclose(biased.relation(x), biased.relation(0.1 * x), atol=1e-3)


def test_vectors_and_relation_are_those_of_the_formula():
    space = ImpressionSpace(blocks())
    x = torch.rand(3, 1, 8, 8)
    maps = space(x)
    expected = torch.cat([F.normalize(h.mean((2, 3)), dim=1) for h in maps], 1)
    assert torch.allclose(space.vectors(x), expected)
    assert torch.allclose(space.vectors(x, [1]), expected[:, 6:])
    flat = F.normalize(maps[0].flatten(1), dim=1)
    assert torch.allclose(space.vectors(x, [0], pool=False), flat)
    cosine = torch.cosine_similarity(expected[:, None], expected[None], dim=2)
    assert torch.allclose(space.relation(x), cosine, atol=1e-6)


def test_matched_responses_have_the_other_style():
    space = ImpressionSpace(blocks())
    maps, style = space(torch.rand(2, 1, 8, 8)), space(torch.rand(2, 1, 8, 8) ** 3)
    for found, own, other in zip(space.match(maps, style), maps, style, strict=True):
        assert torch.allclose(found.mean((2, 3)), other.mean((2, 3)), atol=1e-5)
        alive = own.std((2, 3)) > 1e-3
        spread = found.std((2, 3))
        assert torch.allclose(spread[alive], other.std((2, 3))[alive], atol=1e-4)
    same = space.match(maps, maps)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(same, maps, strict=True))


def test_wrong_responses_are_named():
    space = ImpressionSpace(blocks())
    maps = space(torch.rand(1, 1, 8, 8))
    size = torch.Size((1, 1, 8, 8))
    with pytest.raises(ValueError, match="maps"):
        space.decode_layerwise(maps[:1], size)
    with pytest.raises(ValueError, match="maps"):
        space.decode_layerwise([maps[0], None], size)
    with pytest.raises(ValueError, match="maps"):
        space.decode_layerwise([None, maps[1][:, :, :2]], size)
    with pytest.raises(ValueError, match="maps"):
        space.decode_joint([None, None], size)
    with pytest.raises(ValueError, match="blocks"):
        ImpressionSpace([])


@pytest.mark.parametrize("count", [1, 2])
def test_blocks_that_write_in_place_leave_images_and_responses_alone(count):
    parts = [nn.ReLU(inplace=True), nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True)]
    plain = [nn.ReLU(), parts[1], nn.ReLU()]
    x = torch.randn(count, 1, 6, 6)
    given = x.clone()
    maps, expected = ImpressionSpace(parts)(x), ImpressionSpace(plain)(x)
    assert torch.equal(x, given)
    for found, wanted in zip(maps, expected, strict=True):
        assert torch.equal(found, wanted)
    decoded = ImpressionSpace(parts).decode_layerwise(maps, x.shape, steps=3)
    assert torch.equal(decoded, ImpressionSpace(plain).decode_layerwise(maps, x.shape, steps=3))
    decoded = ImpressionSpace(parts).decode_joint(maps, x.shape, steps=3)
    assert torch.equal(decoded, ImpressionSpace(plain).decode_joint(maps, x.shape, steps=3))


@pytest.mark.vision
def test_the_blocks_of_a_torchvision_network_respond_as_its_feature_extractor_says():
    from torchvision.models.feature_extraction import create_feature_extractor

    model, x = network("resnet"), images()
    names = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2"]
    expected = create_feature_extractor(copy.deepcopy(model), names)(x)
    expected["bn1"] = model.bn1(model.conv1(x))
    space = ImpressionSpace([getattr(model, name) for name in names])
    for name, found in zip(names, space(x), strict=True):
        assert torch.equal(found, expected[name]), name
    relation = space.relation(x)
    assert torch.allclose(relation, relation.T)
    assert torch.allclose(relation.diagonal(), torch.ones(3).double())


def test_responses_that_would_be_broadcast_are_refused():
    space = ImpressionSpace([nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)])
    x = torch.rand(2, 1, 6, 6)
    first, last = space(x)
    for decode in (space.decode_layerwise, space.decode_joint):
        with pytest.raises(ValueError, match=r"'maps' 0 is \[1, 4, 6, 6\], not \[2, 4, 6, 6\]"):
            decode([first[:1], last], x.shape, steps=1)


def test_maps_of_one_cell_take_the_mean_of_the_style():
    one, style = torch.randn(2, 3, 1, 1), torch.randn(2, 3, 4, 4)
    (matched,) = ImpressionSpace(blocks()).match([one], [style])
    torch.testing.assert_close(matched, style.mean((2, 3), keepdim=True))
    (matched,) = ImpressionSpace(blocks()).match([style], [one])
    torch.testing.assert_close(matched, one.expand_as(style), rtol=1e-4, atol=1e-4)
