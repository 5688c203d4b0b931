"""The inception block against the published order: mix, convolve, normalise, branch by branch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from graphkit.nn import SkeletonGraph, STInceptionBlock
from graphkit.nn.skeletons.motion import motion
from graphkit.nn.skeletons.st_inception_block import polynomials
from graphkit.testing import assert_close
from tests.golden_checks.st_inception_block import check
from tests.nn.models.skeletons import wake

GRAPH = SkeletonGraph("ntu-25")


@pytest.fixture(params=[("chebyshev", 6), ("released", 8)], ids=lambda p: p[0])
def block(request):
    poly, width = request.param
    return wake(STInceptionBlock(width, 8, GRAPH, poly=poly).double())


def normal(norm, x, rows=slice(None), training=False):
    mean, variance = norm.running_mean[rows], norm.running_var[rows]
    if training:
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    shape = (1, -1, 1, 1)
    x = (x - mean.view(shape)) / (variance + norm.eps).sqrt().view(shape)
    return x * norm.weight[rows].view(shape) + norm.bias[rows].view(shape)


def conv(x, weight, bias=None):
    """On ``[N, C, T, V]``, with weights ``[C', C, 1, K]`` over frames."""
    return F.conv2d(x, weight.transpose(2, 3), bias, padding=(weight.size(3) // 2, 0))


def published(block, x, training=False):
    """Four products and four convolutions, one after another."""
    (theta, phi), (b, c) = block.project.weight.chunk(2), block.project.bias.chunk(2)
    theta, phi = conv(x, theta, b), conv(x, phi, c)
    score = torch.einsum("nctv,nctw->nvw", theta, phi) / (theta.size(1) * x.size(2))
    attention = score.softmax(dim=1)
    outs = []
    for k, weight in enumerate(block.branches.weight.chunk(4)):
        mixing = block.static[k] + block.gain * attention + block.offset[k]
        h = conv(torch.einsum("nctv,nvw->nctw", x, mixing), weight)
        rows = slice(k * len(weight), (k + 1) * len(weight))
        outs.append(normal(block.branch_norm, h, rows, training).relu())
    merge = block.merge_joints
    spatial = normal(merge.norm, conv(torch.cat(outs, 1), merge.conv.weight), training=training)
    moved = torch.cat([x[:, :, 1:], x[:, :, -1:]], dim=2) - x
    h = torch.cat([conv(x, block.position.weight), conv(moved, block.motion.weight)], 1)
    h, merge = normal(block.frame_norm, h, training=training).relu(), block.merge_frames
    temporal = normal(merge.norm, conv(h, merge.conv.weight), training=training)
    short = x
    if block.shortcut is not None:
        short = conv(x, block.shortcut.conv.weight)
        short = normal(block.shortcut.norm, short, training=training)
    return (spatial + temporal + short).relu()


@pytest.mark.parametrize("training", [False, True])
def test_values_and_gradients_are_those_of_the_published_order(block, training):
    block.train(training)
    x = torch.randn(3, block.in_channels, 5, 25, dtype=torch.double, requires_grad=True)
    leaves = [x, *block.parameters()]
    outs = [published(block, x, training), block(x)]
    weight = torch.randn_like(outs[0])
    expected, found = (torch.autograd.grad((out * weight).sum(), leaves) for out in outs)
    assert_close(outs[1], outs[0], "outputs")
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(ours, theirs, "gradients")


def test_float32_equals_the_published_order(block):
    block.float().eval()
    x = torch.randn(3, block.in_channels, 5, 25)
    assert_close(block(x), published(block, x), "outputs", rtol=1e-5, atol=1e-5)


def test_folded_block_gives_the_same(block):
    block.eval()
    x = torch.randn(3, block.in_channels, 5, 25, dtype=torch.double)
    before = block(x)
    for module in list(block.modules()):
        if hasattr(module, "fold"):
            module.fold()
    assert_close(block(x), before, "outputs")
    block.fold()
    assert_close(block(x), before, "outputs")


def test_motion():
    x = torch.randn(2, 3, 4, 5, dtype=torch.double, requires_grad=True)
    assert torch.equal(motion(x), torch.diff(x, append=x[..., -1:]))
    assert torch.autograd.gradcheck(motion, x)
    assert torch.autograd.gradcheck(motion, x[..., :1].detach().requires_grad_())
    assert not motion(torch.ones(2, 3, 4, 5)).any()


def test_chebyshev_polynomials_are_matrix_polynomials():
    """By eigenvalues: the averages over neighbours have real ones in [-1, 1]."""
    first, bone, third, fourth = polynomials(GRAPH.adjacency.double(), "chebyshev").numpy()
    step = (GRAPH.adjacency[1] + GRAPH.adjacency[2] > 0).double().numpy()
    values, vectors = np.linalg.eig(step / step.sum(axis=0))
    assert np.abs(values).max() < 1 + 1e-9
    for order, found in ((3, third), (4, fourth)):
        curve = np.cos(order * np.arccos(np.clip(values.real, -1, 1)))
        wanted = (vectors * curve) @ np.linalg.inv(vectors)
        assert np.abs(found - wanted).max() < 1e-6
    assert np.array_equal(first, np.eye(25))
    assert np.array_equal(first - bone, GRAPH.adjacency[1].numpy())


def test_released_polynomials_have_the_known_oddities():
    *_, third, fourth = polynomials(GRAPH.adjacency, "released")
    assert torch.equal(third.diagonal(), torch.full((25,), -2.0))
    assert torch.allclose(fourth.sum(dim=0), torch.ones(25))
    assert fourth.min() > 0.0364
    assert fourth.max() < 0.0419


def test_golden_check_of_a_published_block():
    """The checker's mapping on arrays of another size, from the published order above."""
    torch.manual_seed(1)
    block = wake(STInceptionBlock(8, 8, GRAPH, poly="released").double().eval())
    x = torch.randn(2, 8, 4, 25, dtype=torch.double)
    arrays = as_published(block) | {"x": x, "A": GRAPH.adjacency.double()}
    arrays["out"] = published(block, x)
    joints = x.transpose(2, 3)
    arrays["spatial"] = block.spatial(joints).transpose(2, 3)
    arrays["temporal"] = block.temporal(joints).transpose(2, 3)
    arrays = {name: value.detach().numpy() for name, value in arrays.items()}
    assert max(check(arrays).values()) < 1e-12
    arrays["param.spatial.branches.2.conv.weight"] = (
        1.01 * arrays["param.spatial.branches.2.conv.weight"]
    )
    errors = check(arrays)
    assert errors["temporal"] < 1e-12
    assert errors["spatial"] > 1e-6


def as_published(block):
    """The parameters under the authors' names."""
    found = {f"spatial.PA{k + 1}": offset for k, offset in enumerate(block.offset)}
    found["spatial.PCA"] = block.gain
    for k in range(2):
        found[f"spatial.CA.proj{k + 1}.weight"] = block.project.weight.chunk(2)[k]
        found[f"spatial.CA.proj{k + 1}.bias"] = block.project.bias.chunk(2)[k]
        half = (block.position, block.motion)[k]
        found[f"temporal.branches.{k}.conv.weight"] = half.weight.transpose(2, 3)
    for k, weight in enumerate(block.branches.weight.chunk(4)):
        found[f"spatial.branches.{k}.conv.weight"] = weight
    for name in ("joints", "frames"):
        path = {"joints": "spatial", "frames": "temporal"}[name]
        found[f"{path}.fusion.conv.weight"] = getattr(block, f"merge_{name}").conv.weight
    for name, value in block.state_dict().items():
        stem, _, last = name.rpartition(".")
        for ours, path, parts in (
            ("branch_norm", "spatial.branches.{}.bn", 4),
            ("frame_norm", "temporal.branches.{}.bn", 2),
            ("merge_joints.norm", "spatial.fusion.bn", 1),
            ("merge_frames.norm", "temporal.fusion.bn", 1),
        ):
            if stem == ours:
                pieces = value.chunk(parts) if value.dim() else [value] * parts
                found |= {f"{path.format(k)}.{last}": piece for k, piece in enumerate(pieces)}
    return {f"param.{name}": value for name, value in found.items()}


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'out_channels' must be a multiple of 4, got 6"):
        STInceptionBlock(3, 6, GRAPH)
    with pytest.raises(ValueError, match="'graph' must have three subsets"):
        STInceptionBlock(3, 8, SkeletonGraph("ntu-25", "uniform"))
    with pytest.raises(ValueError, match="'poly' must be"):
        STInceptionBlock(3, 8, GRAPH, poly="paper")
    block = STInceptionBlock(3, 8, GRAPH)
    for size in ((2, 3, 5), (2, 4, 5, 25), (2, 3, 5, 20)):
        with pytest.raises(ValueError, match=r"'x' must be \[N, 3, T, 25\]"):
            block(torch.rand(size))
