import pytest
import torch
from torch_geometric import EdgeIndex

from graphkit.ops import checks

EDGES = torch.tensor([[0, 1, 2], [1, 1, 0]])


def test_edges_are_two_rows_of_integers():
    assert checks.as_edge_index(EDGES) is EDGES
    assert checks.as_edge_index(EDGES.int()).dtype == torch.int32
    with pytest.raises(TypeError, match="edge_index must be a tensor, got list"):
        checks.as_edge_index([[0], [1]])
    for wrong in (EDGES.t(), EDGES[0], EDGES.unsqueeze(0)):
        with pytest.raises(ValueError, match=r"edge_index must have shape \[2, E\], got \["):
            checks.as_edge_index(wrong)
    for kind in (torch.float32, torch.int16, torch.uint8, torch.bool):
        with pytest.raises(TypeError, match="edge_index must hold int64 or int32 indices, got"):
            checks.as_edge_index(EDGES.to(kind))


def test_a_wrapper_gives_the_tensor_inside_and_the_writes_it_counted():
    wrapped = EdgeIndex(EDGES.clone(), sparse_size=(3, 3))
    plain = checks.as_edge_index(wrapped)
    assert type(plain) is torch.Tensor
    assert torch.equal(plain, EDGES)
    before = plain._version
    assert checks.as_edge_index(wrapped)._version == before
    wrapped[0, 0] = 2
    written = checks.as_edge_index(wrapped)
    assert written[0, 0] == 2
    assert written._version > before
    with torch.inference_mode():
        made = EdgeIndex(EDGES.clone(), sparse_size=(3, 3))
        assert torch.equal(checks.as_edge_index(made), EDGES)


def test_an_index_is_one_row_of_integers():
    assert checks.as_index(EDGES[0]) is not None
    with pytest.raises(TypeError, match=r"^index must be a tensor, got int"):
        checks.as_index(3)
    for wrong in (EDGES, torch.tensor(1)):
        with pytest.raises(ValueError, match=r"^index must have shape \[E\], got \["):
            checks.as_index(wrong)
    with pytest.raises(TypeError, match=r"^index must hold int64 or int32"):
        checks.as_index(EDGES[0].double())


def test_a_transform_over_indices_is_refused_by_name():
    for call, value, name in (
        (checks.as_edge_index, EDGES.expand(2, -1, -1), "edge_index"),
        (checks.as_index, EDGES, "index"),
    ):
        with pytest.raises(ValueError, match=rf"^{name} is batched by torch\.func\.vmap"):
            torch.func.vmap(lambda each, call=call: call(each) + 0.0)(value)


def test_numbers_and_their_ranks():
    checks.check_floating(torch.ones(2, 2).half(), "x", (2, 3))
    with pytest.raises(TypeError, match=r"^x must be a tensor, got float"):
        checks.check_floating(1.0, "x", (0,))
    with pytest.raises(TypeError, match=r"^x must be floating point, got torch\.int64"):
        checks.check_floating(EDGES, "x", (2,))
    with pytest.raises(ValueError, match=r"^x must have 1 or 3 dimensions, got shape \[2, 2\]"):
        checks.check_floating(torch.ones(2, 2), "x", (1, 3))


def test_devices_sizes_and_counts():
    checks.check_device(EDGES, x=None, y=torch.ones(1))
    with pytest.raises(ValueError, match=r"^y is on meta, but the indices are on cpu"):
        checks.check_device(EDGES, x=None, y=torch.ones(1, device="meta"))
    checks.check_size(torch.ones(2, 3), 1, 3, "x", "edges")
    words = r"^x has 3 entries in dimension 1, but there are 4 edges \(shape \[2, 3\]\)"
    with pytest.raises(ValueError, match=words):
        checks.check_size(torch.ones(2, 3), 1, 4, "x", "edges")
    checks.check_count(0, "num_nodes")
    with pytest.raises(ValueError, match=r"^num_nodes must not be negative, got -1"):
        checks.check_count(-1, "num_nodes")


def test_entries_are_one_table_of_rows():
    assert [checks.width(torch.ones(s)) for s in ((4,), (4, 3), (4, 3, 2), (4, 0))] == [1, 3, 6, 0]
    x = torch.arange(12.0).view(3, 2, 2)
    table = checks.as_entries(x, "x", EDGES[0], 0)
    assert torch.equal(table, x.view(1, 3, 4))
    with pytest.raises(ValueError, match=r"^x has 3 entries in dimension 0, but there are 2 ind"):
        checks.as_entries(x, "x", EDGES[0, :2], 3)
    with pytest.raises(ValueError, match=r"^num_segments must not be negative"):
        checks.as_entries(x, "x", EDGES[0], -1)
    with pytest.raises(ValueError, match=r"^x is on meta"):
        checks.as_entries(x.to("meta"), "x", EDGES[0], 3)
    with pytest.raises(TypeError, match=r"^x must be a tensor, got list"):
        checks.as_entries([1.0], "x", EDGES[0], 3)
    with pytest.raises(TypeError, match=r"^x must be floating point"):
        checks.as_entries(EDGES, "x", EDGES[0], 3)
    with pytest.raises(ValueError, match=r"^x must have at least one dimension, got a scalar"):
        checks.as_entries(torch.tensor(1.0), "x", EDGES[0], 3)
