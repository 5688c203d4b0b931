"""STIGCN: the shared contract, the published size, and the plain structure written out."""

import pytest
import torch
from torch import nn

from graphkit.nn import STIGCN, SkeletonGraph
from tests.nn.models.skeletons import SkeletonModelSuite


class TestSTIGCN(SkeletonModelSuite):
    def kind(self):
        return STIGCN


def test_parameters_of_the_paper():
    for poly in ("chebyshev", "released"):
        model = STIGCN(3, 60, SkeletonGraph("ntu-25"), poly=poly)
        assert sum(parameter.numel() for parameter in model.parameters()) == 1_596_474
    kinetics = STIGCN(3, 400, SkeletonGraph("openpose-18"))
    assert 1.66e6 < sum(parameter.numel() for parameter in kinetics.parameters()) < 1.68e6


def test_frames_are_halved_in_front_of_each_stage():
    model = STIGCN(3, 4, SkeletonGraph("coco-17"), 4, (4, 3, 3), 1).eval()
    frames = []
    for block in model.blocks:
        block.spatial = lambda x, run=block.spatial: (frames.append(x.size(3)), run(x))[1]
    model(torch.rand(1, 3, 300, 17, 1))
    assert frames == [300, *[150] * 3, *[75] * 3, *[37] * 3]
    assert [block.residual for block in model.blocks] == [False, *[True] * 9]
    with pytest.raises(ValueError, match="clips of 8 or more frames"):
        model(torch.rand(1, 3, 7, 17, 1))


def test_residual_blocks_start_as_their_shortcut():
    model = STIGCN(3, 4, SkeletonGraph("coco-17"), 8, (3,), 1)
    x = torch.randn(2, 8, 6, 17)
    for block in model.blocks[1:]:
        assert torch.allclose(block(x), x.relu(), atol=1e-4)
    assert not torch.allclose(model.blocks[0](torch.randn(2, 3, 6, 17)), x.relu(), atol=1e-1)


def test_dropout_is_in_front_of_the_classifier():
    model = STIGCN(3, 4, SkeletonGraph("coco-17"), 4, (1,), 1, dropout=1.0)
    assert torch.equal(model(torch.rand(2, 3, 4, 17, 1)), model.lin.bias.expand(2, 4))
    assert isinstance(model.dropout, nn.Dropout)
