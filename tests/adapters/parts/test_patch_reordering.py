import pytest
import torch
import torch.nn.functional as F
from torch_geometric.nn import SortAggregation

from graphkit.adapters import PatchGraphAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import PatchReorder


class TestPatchGraphAdapter(AdapterSuite):
    def make(self):
        return PatchGraphAdapter(PatchReorder(n=2, levels=2))

    def example(self):
        return torch.rand(3, 5, 8, 12), torch.tensor([2, 0, 1])

    def degenerate(self):
        label = torch.zeros(1, dtype=torch.long)
        return {
            "no image": (torch.rand(0, 5, 8, 8), label[:0]),
            "one image, one cell per block": (torch.rand(1, 5, 4, 4), label),
            "equal energies": (torch.zeros(1, 5, 9, 9), label),
        }

    not_claimed = {"no_edge": "an image always has blocks"}

    def recovered(self, graph, maps, y):
        """The reordered map, cell by cell of its finest blocks, from the nodes alone."""
        block = graph["block"]
        finest = block.level == 2
        built = torch.zeros(len(maps), 16, 5)
        built[block.image[finest], block.moved_to[finest]] = block.x[finest, :5]
        expected = F.avg_pool2d(PatchReorder(2, 2)(maps), (2, 3))
        chain = graph["next_in_rank"]
        drop = block.x[chain.edge_index[0], -1] - block.x[chain.edge_index[1], -1]
        return {
            "reordered map": (built.transpose(1, 2).reshape(expected.shape), expected),
            "classes": (graph["image"].y, y),
            "means": (graph["image"].x, maps.mean((2, 3))),
            "gaps": (chain.edge_weight, drop),
        }


def test_edges_are_those_of_a_quadtree():
    graph = PatchGraphAdapter(PatchReorder(n=2, levels=2))(torch.rand(2, 1, 8, 8))
    block = graph["block"]
    high = torch.where(block.level == 1, 4.0, 2.0)
    same = (block.image[:, None] == block.image) & (block.level[:, None] == block.level)
    step = (block.pos[:, None] - block.pos).abs().sum(2)
    assert torch.equal(graph["adjacent"].edge_index, (same & (step == high)).nonzero().t())
    inside = (block.pos[:, None] - block.pos).abs().amax(2) < 2
    deeper = (block.image[:, None] == block.image) & (block.level[:, None] + 1 == block.level)
    assert torch.equal(graph["contains"].edge_index, (inside & deeper).nonzero().t())
    assert (graph["next_in_rank"].edge_weight >= 0).all()
    source, target = graph["next_in_rank"].edge_index
    assert torch.equal(block.rank[target], block.rank[source] + 1)
    assert torch.equal(graph["has"].edge_index[0], block.image[block.level == 1])


def test_the_energy_of_a_block_is_the_mean_of_those_inside_it():
    graph = PatchGraphAdapter(PatchReorder(n=2, levels=2))(torch.rand(3, 2, 8, 8))
    whole, part = graph["contains"].edge_index
    energy = graph["block"].x[:, -1]
    inside = torch.zeros_like(energy).index_add(0, whole, energy[part] / 4)
    torch.testing.assert_close(inside[whole], energy[whole])
    assert energy[whole].std() > 0


def test_patch_reordering_is_a_sort_pooling():
    maps = torch.rand(4, 3, 6, 6)
    reorder = PatchReorder(n=3)
    block = PatchGraphAdapter(reorder)(maps)["block"]
    pooled = SortAggregation(k=9)(torch.cat([block.moved_to[:, None], block.x], 1), block.image)
    assert torch.equal(pooled.view(4, 9, -1)[..., 0], torch.arange(9.0).expand(4, 9))
    cells = torch.cat([reorder.blocks(maps).transpose(1, 2).flatten(2), maps.new_empty(4, 9, 0)], 2)
    nodes = torch.cat([cells.flatten(0, 1), block.x[:, -1:]], 1)
    sorted_cells = SortAggregation(k=9)(nodes, block.image).view(4, 9, -1)[..., :-1]
    expected = reorder.blocks(reorder(maps)).transpose(1, 2).flatten(2)
    assert torch.equal(sorted_cells, expected)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="reorder"):
        PatchGraphAdapter(PatchReorder(consistent=False))
    with pytest.raises(ValueError, match="reorder"):
        PatchGraphAdapter(PatchReorder(levels=0))
    with pytest.raises(ValueError, match="'y'"):
        PatchGraphAdapter(PatchReorder())(torch.rand(2, 1, 4, 4), torch.zeros(3).long())
    assert PatchGraphAdapter(PatchReorder())(torch.rand(2, 1, 4, 4))["image"].y.tolist() == [-1, -1]
