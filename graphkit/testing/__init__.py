"""Public contract suites for graph layers, adapters, objectives, datasets and tasks, and tools.

pytest and hypothesis (``pip install "graphkit[test]"``) are needed here and nowhere else.
"""

from graphkit.testing.adapter import AdapterSuite
from graphkit.testing.asserts import (
    assert_close,
    assert_edge_order_invariant,
    assert_no_trace,
    assert_not_mutated,
    assert_permutation_equivariant,
    assert_raises_naming,
    assert_same_signature,
    count_hooks,
    jacobian_support,
    reachable,
)
from graphkit.testing.cost import Cost, assert_grows_linearly, cost_of
from graphkit.testing.dataset import DatasetSuite
from graphkit.testing.decorators import needs_cuda, needs_package
from graphkit.testing.drop_in import DropInSuite
from graphkit.testing.graphs import (
    dense_adjacency,
    disjoint_union,
    example_graph,
)
from graphkit.testing.layer import LayerSuite
from graphkit.testing.objective import ObjectiveSuite
from graphkit.testing.suite import Suite, seed_everything
from graphkit.testing.task import TaskSuite
from graphkit.testing.weighted import WeightedSuite

__all__ = [
    "AdapterSuite",
    "Cost",
    "DatasetSuite",
    "DropInSuite",
    "LayerSuite",
    "ObjectiveSuite",
    "Suite",
    "TaskSuite",
    "WeightedSuite",
    "assert_close",
    "assert_edge_order_invariant",
    "assert_grows_linearly",
    "assert_no_trace",
    "assert_not_mutated",
    "assert_permutation_equivariant",
    "assert_raises_naming",
    "assert_same_signature",
    "cost_of",
    "count_hooks",
    "dense_adjacency",
    "disjoint_union",
    "example_graph",
    "jacobian_support",
    "needs_cuda",
    "needs_package",
    "reachable",
    "seed_everything",
]
