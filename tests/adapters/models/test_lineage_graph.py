import dataclasses

import networkx as nx
import pytest
import torch
from torch_geometric.nn import GCN
from torch_geometric.utils import to_networkx

from graphkit.adapters import LineageGraphAdapter
from graphkit.compress import EvolutionaryPruning, Lineage
from graphkit.testing import AdapterSuite


def lineage(generations=3, population=4, bits=5):
    generator = torch.Generator().manual_seed(0)
    shape = (generations, population)
    operator = torch.randint(4, shape, generator=generator)
    parents = torch.randint(max(population, 1), (*shape, 2), generator=generator)
    parents[..., 1][operator != 2] = -1
    parents[:1], operator[:1] = -1, -1
    strings = torch.rand(*shape, bits, generator=generator) < 0.5
    return Lineage(strings, torch.rand(shape, generator=generator), parents, operator)


class TestLineageGraphAdapter(AdapterSuite):
    def make(self):
        return LineageGraphAdapter()

    def example(self):
        return (lineage(),)

    def degenerate(self):
        return {
            "one individual": (lineage(1, 1),),
            "nobody": (lineage(1, 0),),
            "one generation": (lineage(1, 3),),
        }

    def recovered(self, graph, found):
        """Bits, fitness, and the operators that made each child."""
        kinds = torch.full((12,), -1)
        kinds[graph.edge_index[1]] = graph.edge_attr.argmax(1)
        return {
            "bits": (graph.x, found.bits.flatten(0, 1).float()),
            "fitness": (graph.y, found.fitness.flatten()),
            "operators": (kinds, found.operator.flatten()),
            "generation": (graph.generation, torch.arange(12) // 4),
        }


def test_a_search_is_a_graph_without_cycles():
    torch.manual_seed(0)
    args = (torch.randn(5, 4), torch.randint(5, (2, 9)))
    search = EvolutionaryPruning(
        GCN(4, 6, 2, 3), args, lambda small: 1.0, population=6, generations=5
    )
    search.run()
    graph = LineageGraphAdapter()(search.lineage)
    assert nx.is_directed_acyclic_graph(to_networkx(graph))
    source, target = graph.edge_index
    assert (graph.generation[target] - graph.generation[source] == 1).all()
    degree = target.bincount(minlength=30)
    assert (degree[:6] == 0).all()
    assert (degree[6:] >= 1).all()
    # Who was selected is who the parent was.
    same = graph.edge_attr[:, :2].sum(1) > 0
    assert same.any()
    assert torch.equal(graph.x[source[same]], graph.x[target[same]])


def test_parts_that_do_not_fit_are_named():
    for name in ("fitness", "parents", "operator"):
        wrong = dataclasses.replace(lineage(), **{name: getattr(lineage(), name)[:2]})
        with pytest.raises(ValueError, match=f"'{name}' must have shape"):
            LineageGraphAdapter()(wrong)
