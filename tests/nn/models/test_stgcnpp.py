"""ST-GCN++: the shared contract, the published size, and one layer branch by branch."""

import pytest
import torch
import torch.nn.functional as F

from graphkit.nn import SkeletonGraph, STGCNpp
from graphkit.nn.models.stgcnpp import STGCNppBlock
from graphkit.nn.skeletons.frame_branches import FrameBranches
from graphkit.testing import assert_close
from tests.nn.models.skeletons import SkeletonModelSuite, wake


class TestSTGCNpp(SkeletonModelSuite):
    any_persons = True

    def kind(self):
        return STGCNpp


def test_parameters_of_the_paper():
    """1.39 million in front of the classifier, as published."""
    model = STGCNpp(3, 60, SkeletonGraph("ntu-25"))
    classifier = sum(parameter.numel() for parameter in model.lin.parameters())
    total = sum(parameter.numel() for parameter in model.parameters())
    assert 1.385e6 < total - classifier < 1.395e6


def branch_by_branch(module, x, kernel_size, dilations):
    """Six (or four) branches, each with a convolution and a normalisation of its own."""
    reduce, norm, start, outs = module.reduce.conv, module.reduce.norm, 0, []
    for number, width in enumerate(module.widths):
        rows = slice(start, start + width)
        h = F.conv2d(x, reduce.weight[rows], reduce.bias[rows])
        statistics = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        h = F.batch_norm(h, *(value[rows] for value in statistics)).relu()
        if number < len(dilations):
            conv, dilation = module.convs[number], dilations[number]
            pad = dilation * (kernel_size - 1) // 2
            options = {"stride": (module.stride, 1), "dilation": (dilation, 1)}
            h = F.conv2d(h, conv.weight.transpose(2, 3), conv.bias, padding=(pad, 0), **options)
        else:
            h = F.max_pool2d(h, (3, 1), (module.stride, 1), (1, 0))
        outs.append(h)
        start += width
    outs.append(F.conv2d(x, module.point.weight, module.point.bias, stride=(module.stride, 1)))
    return module.norm(torch.cat(outs, dim=1))


@pytest.mark.parametrize(("kernel_size", "dilations"), [(3, (1, 2, 3, 4)), (5, (1, 2))])
def test_branches_written_out(kernel_size, dilations):
    for stride in (1, 2):
        module = wake(FrameBranches(16, kernel_size, dilations, stride).double().eval())
        x = torch.randn(2, 16, 9, 4, dtype=torch.double)
        expected = branch_by_branch(module, x, kernel_size, dilations)
        assert_close(module(x.transpose(2, 3)).transpose(2, 3), expected, "outputs")
    assert FrameBranches(16, 3, (1, 2, 3, 4)).widths == [6, 2, 2, 2, 2]
    with pytest.raises(ValueError, match="3 channels are too few for 4 branches"):
        FrameBranches(3, 5, (1, 2))


def test_a_layer_written_out():
    adjacency = SkeletonGraph("coco-17").adjacency
    block = wake(STGCNppBlock(4, 6, adjacency, stride=2).double().eval())
    x = torch.randn(2, 4, 7, 17, dtype=torch.double)
    h = F.conv2d(x, block.conv.weight, block.conv.bias).unflatten(1, (3, 6))
    h = block.norm(torch.einsum("nkctv,kvw->nctw", h, block.adjacency))
    down = F.conv2d(x, block.down.conv.weight, block.down.conv.bias)
    h = (h + block.down.norm(down)).relu()
    h = branch_by_branch(block.branches, h, 3, (1, 2, 3, 4)).relu()
    h = block.merge.norm(F.conv2d(h, block.merge.conv.weight, block.merge.conv.bias))
    short = block.shortcut
    residual = F.conv2d(x, short.conv.weight, short.conv.bias, stride=(2, 1))
    expected = (h + short.norm(residual)).relu()
    assert_close(block(x.transpose(2, 3)).transpose(2, 3), expected, "outputs")


def test_every_entry_of_the_graph_is_learned():
    block = STGCNppBlock(4, 6, SkeletonGraph("coco-17").adjacency)
    block(torch.randn(2, 4, 17, 5)).square().sum().backward()
    assert (block.adjacency.grad != 0).all()
    assert torch.equal(block.adjacency, SkeletonGraph("coco-17").adjacency)


def test_large_half_clips_are_finite() -> None:
    model = STGCNpp(3, 4, SkeletonGraph("coco-17"), hidden_channels=8, num_layers=(1,)).half()
    clips = torch.full((2, 3, 64, 17, 1), 500.0, dtype=torch.float16)
    assert clips.sum().isinf()
    assert model.eval()(clips).isfinite().all()
