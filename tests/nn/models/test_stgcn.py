"""ST-GCN: the shared contract, the published size, and one layer written out."""

import torch
import torch.nn.functional as F
from torch import nn

from graphkit.nn import STGCN, SkeletonGraph
from graphkit.nn.models.stgcn import STGCNBlock
from graphkit.testing import assert_close
from tests.nn.models.skeletons import SkeletonModelSuite, wake


class TestSTGCN(SkeletonModelSuite):
    strategy = "stgcn_spatial"
    any_persons = True

    def kind(self):
        return STGCN


def test_parameters_of_the_paper():
    """3.1 million, as published."""
    model = STGCN(3, 60, SkeletonGraph("ntu-25", "stgcn_spatial"))
    assert 3.05e6 < sum(parameter.numel() for parameter in model.parameters()) < 3.15e6
    assert [block.frames.conv.stride[1] for block in model.blocks] == [1] * 4 + [2, 1, 1, 2, 1, 1]


def test_a_layer_written_out():
    adjacency = SkeletonGraph("coco-17", "distance").adjacency
    block = wake(STGCNBlock(4, 6, adjacency, stride=2).double().eval())
    x = torch.randn(2, 4, 7, 17, dtype=torch.double)
    h = F.conv2d(x, block.conv.weight, block.conv.bias).unflatten(1, (2, 6))
    h = torch.einsum("nkctv,kvw->nctw", h, block.fixed * block.importance)
    h = block.norm(h).relu()
    conv, short = block.frames.conv, block.shortcut
    h = F.conv2d(h, conv.weight.transpose(2, 3), conv.bias, stride=(2, 1), padding=(4, 0))
    residual = F.conv2d(x, short.conv.weight, short.conv.bias, stride=(2, 1))
    expected = (block.frames.norm(h) + short.norm(residual)).relu()
    assert_close(block(x.transpose(2, 3)).transpose(2, 3), expected, "outputs")


def test_dropout_is_in_every_layer_but_the_first():
    model = STGCN(3, 4, SkeletonGraph("coco-17"), 8, (2, 1), dropout=0.25)
    assert [block.dropout for block in model.blocks] == [0.0, 0.25, 0.25]
    x = torch.randn(2, 3, 8, 17, 1)
    assert not torch.equal(model(x), model(x))
    block = STGCNBlock(4, 4, SkeletonGraph("coco-17").adjacency, dropout=1.0)
    joints = torch.randn(2, 4, 17, 5)
    assert torch.equal(block(joints), joints.relu())


def test_entries_beyond_the_skeleton_stay_silent():
    block = STGCNBlock(4, 4, SkeletonGraph("coco-17").adjacency)
    block(torch.randn(2, 4, 17, 5)).square().sum().backward()
    assert isinstance(block.importance, nn.Parameter)
    assert torch.equal(block.importance.grad != 0, block.fixed != 0)
