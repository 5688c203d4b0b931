import pytest
import torch

from graphkit.ops.layout import rows as code

EDGES = torch.tensor([[3, 0, 1, 1, 2], [1, 0, 2, 2, 0]])


def test_a_row_knows_its_groups():
    rows = code.Rows(EDGES[1], 4)
    assert (rows.size, rows.num_entries) == (4, 5)
    assert rows.counts.tolist() == [2, 1, 2, 0]
    assert rows.order is rows.order
    assert rows.order.perm.tolist() == [1, 4, 0, 2, 3]


def test_what_is_derived_is_made_once_for_each_key():
    rows, made = code.Rows(EDGES[1], 4), []
    for key in ("a", "b", "a", None, "b", None):
        assert rows.derive(key, lambda key=key: made.append(key) or f"of {key}") == f"of {key}"
    assert made == ["a", "b", None]
    nothing = []
    for _ in range(2):
        rows.derive("nothing", lambda: nothing.append(1))
    assert nothing == [1]


@pytest.mark.parametrize("ordered", [False, True])
def test_both_ways_through_a_graph(ordered):
    edges = EDGES[:, EDGES[1].argsort(stable=True)] if ordered else EDGES
    graph = code.graph_of(edges, 4, 3)
    assert graph.num_edges == 5
    for transposed, near, far in ((False, 1, 0), (True, 0, 1)):
        order, others = graph.sorted_by(transposed)
        wanted = edges[near].argsort(stable=True)
        assert others.tolist() == edges[far][wanted].tolist()
        assert others.dtype == torch.int32
        assert others.is_contiguous()
        assert order is (graph.source if transposed else graph.target).order
        assert order.perm is None or order.perm.tolist() == wanted.tolist()
    assert graph.by_target is graph.sorted_by(False)
    assert graph.by_source is graph.sorted_by(True)
    if ordered:
        # In memory of their own: a later write to the edges does not reach them.
        edges[0] = 0
        assert graph.by_target[1].tolist() == [0, 2, 3, 1, 1]


def test_rows_are_kept_by_row_and_by_size():
    edges = EDGES.clone()
    first = code.rows_of(edges, 0, 4)
    assert code.rows_of(edges, 0, 4) is first
    assert code.rows_of(edges, 0, 5) is not first
    assert code.rows_of(edges, 1, 4) is not first
    assert code.rows_of(edges[0], -1, 4) is first
    assert first.values.tolist() == EDGES[0].tolist()
    assert code.rows_of(edges[1], -1, 4).values.tolist() == EDGES[1].tolist()
    graph = code.graph_of(edges, 4, 3)
    assert code.graph_of(edges, 4, 3) is graph
    assert graph.source is first
    assert (graph.source.size, graph.target.size) == (4, 3)
    assert code.graph_of(edges, 4, 4) is not graph
    assert code.graph_of(edges, 5, 3) is not graph


@pytest.mark.parametrize(
    ("values", "size", "words"),
    [
        ([0, 3, 1], 3, r"holds 3, but only 0\.\.2 are valid \(size 3\)"),
        ([0, -1, 7], 3, r"holds -1, but only 0\.\.2"),
        ([0], 0, r"holds 0, but only 0\.\.-1"),
    ],
)
def test_indices_outside_are_refused_by_name(values, size, words):
    row = torch.tensor(values)
    with pytest.raises(IndexError, match=f"^index {words}"):
        code.rows_of(row, -1, size)
    for place in (0, 1):
        edges = torch.zeros(2, len(values), dtype=torch.long)
        edges[place] = row
        with pytest.raises(IndexError, match=rf"^edge_index\[{place}\] {words}"):
            code.graph_of(edges, *((size, 9) if place == 0 else (9, size)))


def test_bounds_themselves_are_valid():
    assert code.rows_of(torch.tensor([0, 2]), -1, 3).counts.tolist() == [1, 0, 1]
    assert code.rows_of(torch.empty(0, dtype=torch.long), -1, 0).counts.tolist() == []


PARALLEL = torch.tensor([[2, 0, 1, 0, 2, 1], [1, 2, 0, 0, 0, 1]])


@pytest.mark.parametrize("row", [None, 0, 1])
def test_positions_of_the_edges_by_source_among_those_by_target(row):
    edges = PARALLEL if row is None else PARALLEL[:, PARALLEL[row].argsort(stable=True)]
    positions = code.graph_of(edges, 3, 3).terms_of_sources
    by_target = edges[:, edges[1].argsort(stable=True)]
    assert (
        by_target[:, positions.long()].tolist() == edges[:, edges[0].argsort(stable=True)].tolist()
    )
    assert sorted(positions.tolist()) == list(range(6))
    assert positions.dtype == torch.int32


def test_a_graph_without_edges_has_no_positions():
    assert code.graph_of(PARALLEL[:, :0], 3, 3).terms_of_sources.tolist() == []
