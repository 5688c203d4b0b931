"""What lies on another device than the indices is refused by name; a device without data is one."""

import pytest
import torch

from graphkit import ops
from graphkit.ops.dropout import no_seed

EDGES = torch.tensor([[0, 1, 2, 2], [1, 2, 0, 1]])
NODES = torch.ones(3, 2, 4)
SCORES = torch.ones(3, 2)
OPS = {
    "spmm": {"edge_index": EDGES, "edge_weight": torch.ones(4, 2), "x": NODES},
    "sddmm": {"edge_index": EDGES, "x_src": NODES, "x_dst": NODES},
    "edge_softmax": {"edge_index": EDGES, "score": torch.ones(4, 2)},
    "segment_softmax": {"score": torch.ones(4, 2), "index": EDGES[1], "num_segments": 3},
    "segment_reduce": {"x": torch.ones(4, 2), "index": EDGES[1], "num_segments": 3},
    "gather": {"x": NODES, "index": EDGES[1]},
    "gat_attention": {
        "edge_index": EDGES,
        "x": NODES,
        "score_src": SCORES,
        "score_dst": SCORES,
        "score_edge": torch.ones(4, 2),
    },
    "gatv2_attention": {
        "edge_index": EDGES,
        "x_src": NODES,
        "x_dst": NODES,
        "att": torch.ones(2, 4),
        "edge_attr": torch.ones(4, 5),
        "lin_edge": torch.ones(8, 5),
    },
    "dot_attention": {
        "edge_index": EDGES,
        "query": NODES,
        "key": NODES,
        "value": NODES,
        "edge_attr": torch.ones(4, 5),
        "lin_edge": torch.ones(8, 5),
    },
}
CASES = [
    (op, name)
    for op, given in OPS.items()
    for name, value in given.items()
    if isinstance(value, torch.Tensor) and value.is_floating_point()
]


@pytest.mark.parametrize(("op", "name"), CASES)
def test_a_value_on_another_device_is_refused_by_name(op: str, name: str) -> None:
    given = {**OPS[op], name: OPS[op][name].to("meta")}
    with pytest.raises(ValueError, match=rf"^{name} is on meta, but the indices are on cpu$"):
        getattr(ops, op)(**given)


def test_every_op_on_values_is_here() -> None:
    others = {"PathIndex", "active_backend", "backend", "clear_cache", "shortest_paths"}
    assert OPS.keys() == set(ops.__all__) - others


def test_what_stands_for_a_seed_lies_where_it_is_asked_for() -> None:
    for device in (torch.device("cpu"), torch.device("meta")):
        assert no_seed(device).device == device
    assert no_seed(torch.device("cpu")).tolist() == [0]
