import torch

from graphkit.ops.paths.path_graph import PathGraph


def test_rows_are_sorted_by_cost_then_target_without_loops_and_parallel_edges():
    edges = [(1, 0, 5.0), (0, 2, 1.0), (0, 0, 0.0), (0, 1, 1.0), (0, 2, 3.0), (0, 3, 0.5)]
    edge_index = torch.tensor([[u, v] for u, v, _ in edges]).t()
    graph = PathGraph(edge_index, torch.tensor([cost for *_, cost in edges]), num_nodes=5)
    assert graph.rowptr.tolist() == [0, 3, 4, 4, 4, 4]
    assert graph.degree.tolist() == [3, 1, 0, 0, 0]
    assert graph.col.tolist() == [3, 1, 2, 0]
    assert graph.cost.tolist() == [0.5, 1.0, 1.0, 5.0]
    assert graph.cost.dtype == torch.float64


def test_a_graph_without_nodes():
    graph = PathGraph(torch.empty(2, 0, dtype=torch.long), torch.empty(0), num_nodes=0)
    assert graph.rowptr.tolist() == [0]
    assert graph.col.numel() == 0
