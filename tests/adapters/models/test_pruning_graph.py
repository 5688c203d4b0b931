import pytest
import torch
from torch import nn
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE, SAGEConv
from torch_geometric.utils import subgraph

from benchmarks.problems.canvas import classifier
from benchmarks.problems.residual import ResidualNet
from graphkit.adapters import PruningGraphAdapter
from graphkit.compress import ChannelDependency
from graphkit.testing import AdapterSuite

torch.manual_seed(0)
X, EDGES = torch.randn(9, 6), torch.randint(9, (2, 30))


class TestPruningGraphAdapter(AdapterSuite):
    not_claimed = {
        "no_node": "a network has channels",
        "single_node": "the number of channels is the network's",
        "no_edge": "the edges are the network's kernels",
    }

    def make(self):
        model = classifier(3, 4)
        nn.init.uniform_(model[1].weight, 0.5, 2.0)
        dependency = ChannelDependency(model, (torch.randn(2, 1, 8, 8),))
        return PruningGraphAdapter(dependency, torch.arange(21) % 3 > 0)

    def example(self):
        return (torch.randn(4, 1, 8, 8),)

    def degenerate(self):
        x = torch.randn(1, 1, 8, 8)
        return {"no image": (x[:0],), "one image": (x,)}

    def recovered(self, graph, x):
        """Kernels, norms, responses, scales and the mask."""
        model = self.build()[0].dependency.model.eval()
        source, target = graph.edge_index
        second = torch.zeros(6, 3)
        inside = (target >= 4) & (target < 10)
        second[target[inside] - 4, source[inside] - 1] = graph.edge_weight[inside]
        first = model[0](x)
        return {
            "kernels": (second, model[3].weight.norm(dim=(2, 3))),
            "norms": (graph.x[4:10, 1], model[3].weight.abs().sum((1, 2, 3))),
            "lengths": (graph.x[1:4, 2], model[0].weight.flatten(1).norm(dim=1)),
            "responses": (graph.x[1:4, 3], first.abs().mean((0, 2, 3))),
            "input": (graph.x[:1, 3], x.abs().mean((0, 2, 3))),
            "scales": (graph.x[1:4, 4], model[1].weight),
            "mask": (graph.y[1:22], (torch.arange(21) % 3 > 0).long()),
        }


def kernels(model):
    """Pairs of channels that a weight leads from and to, layer by layer."""
    return sum(
        module.weight.size(0) * module.weight.size(1)
        for module in model.modules()
        if isinstance(module, nn.Conv2d | nn.Linear) or type(module).__name__ == "Linear"
    )


CASES = {
    "chain": (lambda: classifier(4), (torch.randn(2, 1, 8, 8),)),
    "residual": (lambda: ResidualNet(4), (torch.randn(2, 3, 8, 8),)),
    "gcn": (lambda: GCN(6, 8, 3, 4), (X, EDGES)),
    "sage": (lambda: GraphSAGE(6, 8, 3, 4), (X, EDGES)),
    "gin": (lambda: GIN(6, 8, 2, 4), (X, EDGES)),
    "gat": (lambda: GAT(6, 8, 3, 4), (X, EDGES)),
}


@pytest.mark.parametrize("kind", CASES)
def test_kept_channels_induce_the_kernels_of_the_small_network(kind):
    make, args = CASES[kind]
    dependency = ChannelDependency(make(), args)
    generator = torch.Generator().manual_seed(2)
    mask = dependency.repaired(torch.rand(dependency.num_groups, generator=generator) < 0.6)
    small = dependency.cut(mask)
    graph = PruningGraphAdapter(dependency, mask)(*args)
    induced, weight = subgraph(graph.y.bool(), graph.edge_index, graph.edge_weight)
    assert induced.size(1) == kernels(small) < graph.num_edges == kernels(dependency.model)
    own = PruningGraphAdapter(ChannelDependency(small, args))(*args)
    assert own.num_nodes == int(graph.y.sum())
    relabelled, weight = subgraph(
        graph.y.bool(), graph.edge_index, graph.edge_weight, relabel_nodes=True
    )
    assert torch.equal(own.edge_index, relabelled)
    assert torch.allclose(own.edge_weight, weight)


def test_a_gnn_reads_which_filters_stay():
    dependency = ChannelDependency(GCN(6, 8, 3, 4), (X, EDGES))
    mask = dependency.norms() > dependency.norms().median()
    graph = PruningGraphAdapter(dependency, mask)(X, EDGES)
    free = graph.group >= 0
    # Norms differ from layer to layer: what a node is compared with is its own layer.
    assert torch.equal(graph.y[free].bool(), mask[graph.group[free]])
    assert (graph.y[~free] == 1).all()
    assert SAGEConv(5, 2)(graph.x, graph.edge_index).shape == (graph.num_nodes, 2)
    assert graph.layer.tolist() == [0] * 6 + [1] * 8 + [2] * 8 + [3] * 4


def test_a_wrong_mask_is_named():
    dependency = ChannelDependency(GCN(6, 8, 2, 4), (X, EDGES))
    with pytest.raises(ValueError, match="'mask' must be bool"):
        PruningGraphAdapter(dependency, torch.ones(3).bool())
