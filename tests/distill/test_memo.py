"""What counts as unchanged."""

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import Data

from graphkit.distill.memo import Memo


def test_same_objects_only():
    memo, calls = Memo(), []

    def count():
        calls.append(1)
        return len(calls)

    x, y = torch.ones(2), torch.ones(2)
    assert [memo((x, y), count), memo((x, y), count)] == [1, 1]
    assert memo((x, y.clone()), count) == 2
    assert memo((x, y), count) == 3
    y.add_(1)
    assert memo((x, y), count) == 4
    assert memo((x,), count) == 5
    assert [memo((), count), memo((), count)] == [6, 7]
    assert memo.hits == 1


def test_inference_tensors_are_never_kept():
    with torch.inference_mode():
        x = torch.ones(2)
        memo = Memo()
        assert [memo((x,), lambda: 1), memo((x,), lambda: 2)] == [1, 2]


UNSEEN = {
    "Data": lambda x: Data(x=x),
    "dict": lambda x: {"x": x},
    "list": lambda x: [x],
    "tuple": lambda x: (x, [x]),
    "array": lambda x: x.numpy(),
    "sparse": lambda x: torch.eye(2).to_sparse(),
    "SparseTensor-like": lambda x: object(),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_may_change_unseen_is_never_kept(name):
    memo, x = Memo(), torch.ones(2)
    item = UNSEEN[name](x)
    assert [memo((x, item), lambda: 1), memo((x, item), lambda: 2)] == [1, 2]
    assert memo.hits == 0
    assert memo.inputs == ()


def test_constants_count_by_value_and_type():
    memo, x = Memo(), torch.ones(2)
    assert memo((x, 1000, "a", None), lambda: 1) == memo((x, 10**3, "a", None), lambda: 2) == 1
    assert memo((x, 1000.0, "a", None), lambda: 3) == 3
    assert memo((x, 1001, "a", None), lambda: 4) == 4


def test_writes_to_an_edge_index_are_seen_inside_and_outside():
    inner = torch.tensor([[0, 1], [1, 0]])
    edges, memo = EdgeIndex(inner), Memo()
    assert [memo((edges,), lambda: 1), memo((edges,), lambda: 2)] == [1, 1]
    inner[0, 0] = 1
    assert memo((edges,), lambda: 3) == 3
    edges[0, 1] = 0
    assert memo((edges,), lambda: 4) == 4


def test_storage_that_was_exchanged_and_views_that_were_written_are_seen():
    memo, x = Memo(), torch.ones(4)
    view = x[:2]
    assert [memo((view,), lambda: 1), memo((view,), lambda: 2)] == [1, 1]
    x.mul_(2)
    assert memo((view,), lambda: 3) == 3
    view.data = torch.zeros(2)
    assert memo((view,), lambda: 4) == 4


def test_weights_that_are_watched_count_too():
    memo, x, model = Memo(), torch.ones(2), torch.nn.Linear(2, 2)
    watched = [model, *model.parameters()]
    assert [memo((x,), lambda: 1, watched), memo((x,), lambda: 2, watched)] == [1, 1]
    with torch.no_grad():
        model.bias.add_(1)
    assert memo((x,), lambda: 3, watched) == 3
    assert memo((x,), lambda: 4, [torch.nn.Linear(2, 2), *model.parameters()]) == 4


def test_under_torch_func_nothing_is_kept():
    memo, calls = Memo(), []

    def square(x):
        return memo((x,), lambda: calls.append(1) or x.square())

    x = torch.arange(3.0)
    for _ in range(2):
        assert torch.equal(torch.func.vmap(square)(x), x.square())
    assert len(calls) == 2
