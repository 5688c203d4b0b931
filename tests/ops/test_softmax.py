import pytest
import torch

from graphkit import ops
from tests.ops.oracles import dense_softmax

EDGES = torch.tensor([[5, 0, 1, 1, 2, 2], [3, 0, 2, 2, 3, 3]])


def scores(*shape):
    generator = torch.Generator().manual_seed(len(shape))
    return torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()


@pytest.mark.parametrize("name", ["numba", "torch", "reference"])
@pytest.mark.parametrize("shape", [(6,), (6, 3), (2, 6, 3), (6, 1)])
@pytest.mark.parametrize("nodes", [None, 4, 9])
def test_edges_of_a_target_share_one(nodes, shape, name):
    score = scores(*shape)
    with ops.backend(name):
        found = ops.edge_softmax(EDGES, score, nodes)
    assert found.shape == score.shape
    table = score.view(6, 1) if score.dim() == 1 else score
    if score.dim() == 3:
        wanted = torch.stack([dense_softmax(EDGES[1], each, 4) for each in score])
    else:
        wanted = dense_softmax(EDGES[1], table, 4).view(shape)
    torch.testing.assert_close(found, wanted)
    toward = torch.arange(score.numel()).double().view(shape)
    grads = [torch.autograd.grad(out, score, toward)[0] for out in (found, wanted)]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 2, 2)])
def test_groups_share_one_column_by_column(shape):
    score, index = scores(*shape), EDGES[1]
    found = ops.segment_softmax(score, index, 5)
    wanted = dense_softmax(index, score.view(6, -1), 5).view(shape)
    torch.testing.assert_close(found, wanted)
    toward = torch.arange(score.numel()).double().view(shape)
    grads = [torch.autograd.grad(out, score, toward)[0] for out in (found, wanted)]
    torch.testing.assert_close(*grads)


def test_no_edges():
    none = torch.empty(2, 0, dtype=torch.long)
    for shape in ((0,), (0, 3), (2, 0, 3)):
        assert ops.edge_softmax(none, torch.empty(shape)).shape == shape
        assert ops.edge_softmax(none, torch.empty(shape), 0).shape == shape
    assert ops.segment_softmax(torch.empty(0, 2), none[0], 0).shape == (0, 2)


def test_what_does_not_fit_is_refused_by_name():
    score = torch.ones(6, 3)
    with pytest.raises(ValueError, match="num_nodes must not be negative, got -1"):
        ops.edge_softmax(EDGES, score, -1)
    with pytest.raises(IndexError, match=r"edge_index\[1\] holds 3, but only 0\.\.2"):
        ops.edge_softmax(EDGES, score, 3)
    with pytest.raises(ValueError, match=r"score has 5 entries in dimension -2, .* 6 edges"):
        ops.edge_softmax(EDGES, score[:5])
    with pytest.raises(ValueError, match=r"score has 5 entries in dimension -1, .* 6 edges"):
        ops.edge_softmax(EDGES, score[:5, 0])
    with pytest.raises(ValueError, match=r"dimension -2"):
        ops.edge_softmax(EDGES, torch.ones(6, 5, 6))
    for shape in ((), (1, 2, 6, 3)):
        with pytest.raises(ValueError, match="score must have 1 or 2 or 3 dimensions"):
            ops.edge_softmax(EDGES, torch.ones(shape))
    with pytest.raises(TypeError, match="score must be floating point"):
        ops.edge_softmax(EDGES, EDGES[0])
    with pytest.raises(ValueError, match="num_segments must not be negative"):
        ops.segment_softmax(score, EDGES[1], -1)
    with pytest.raises(ValueError, match="score has 4 entries"):
        ops.segment_softmax(score[:4], EDGES[1], 4)
