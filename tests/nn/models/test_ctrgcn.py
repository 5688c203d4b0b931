"""CTR-GCN: the shared contract, the published size, and the refined graphs written out."""

import torch
import torch.nn.functional as F

from graphkit.nn import CTRGCN, SkeletonGraph
from graphkit.nn.models.ctrgcn import CTRGCNBlock
from graphkit.testing import assert_close
from tests.nn.models.skeletons import SkeletonModelSuite, wake


class TestCTRGCN(SkeletonModelSuite):
    def kind(self):
        return CTRGCN


def test_parameters_of_the_paper():
    """1.46 million with the 120 classes of the larger set, as published."""
    model = CTRGCN(3, 120, SkeletonGraph("ntu-25"))
    assert 1.455e6 < sum(parameter.numel() for parameter in model.parameters()) < 1.465e6


def test_refined_graphs_written_out():
    """Subset by subset; relations of all frames first, their mean afterwards."""
    block = wake(CTRGCNBlock(4, 6, SkeletonGraph("coco-17").adjacency).double().eval())
    x = torch.randn(2, 4, 7, 17, dtype=torch.double)
    expected = 0
    convs = (block.query, block.key, block.value, block.refine)
    parts = [zip(c.weight.chunk(3), c.bias.chunk(3), strict=True) for c in convs]
    for shared, query, key, value, refine in zip(block.shared, *parts, strict=True):
        left, right = (F.conv2d(x, *part).mean(2) for part in (query, key))
        apart = (left.unsqueeze(-1) - right.unsqueeze(-2)).tanh()
        graphs = F.conv2d(apart, *refine) * block.alpha + shared
        expected = expected + torch.einsum("ncuv,nctv->nctu", graphs, F.conv2d(x, *value))
    found = block.spatial(x.transpose(2, 3).contiguous(memory_format=torch.channels_last))
    assert_close(found.transpose(2, 3), expected, "outputs")


def test_a_new_layer_hears_nothing_and_starts_at_the_skeleton():
    adjacency = SkeletonGraph("coco-17").adjacency
    block = CTRGCNBlock(8, 8, adjacency)
    assert torch.equal(block.shared, adjacency.transpose(1, 2))
    assert not block.alpha
    x = torch.randn(2, 8, 17, 5)
    branches = block.branches(x.relu())
    assert torch.allclose(block(x), (branches + x).relu(), atol=1e-4)
