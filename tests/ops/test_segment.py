import pytest
import torch

from graphkit import ops
from tests.ops.oracles import dense_reduce

REDUCES = ["sum", "mean", "max", "logsumexp"]
INDEX = torch.tensor([4, 0, 2, 2, 4, 4, 0])


@pytest.mark.parametrize("name", ["numba", "torch", "reference"])
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 2, 3), (7, 0)])
def test_values_and_gradients_in_every_shape(shape, reduce, name):
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x.requires_grad_()
    with ops.backend(name):
        out = ops.segment_reduce(x, INDEX, 6, reduce)
    assert tuple(out.shape) == (6, *shape[1:])
    empty = torch.tensor([1, 3, 5])
    assert (out[empty] == (-torch.inf if reduce == "logsumexp" else 0)).all()
    filled = torch.tensor([0, 2, 4])
    if not x.numel():
        return
    wanted = dense_reduce(INDEX, x.view(7, -1), 6, reduce).view(out.shape)
    torch.testing.assert_close(out[filled], wanted[filled])
    toward = torch.linspace(1, 2, out[filled].numel()).double().view(out[filled].shape)
    grads = [torch.autograd.grad(v[filled], x, toward)[0] for v in (out, wanted)]
    torch.testing.assert_close(*grads)


def test_the_sum_is_what_is_meant_without_a_word():
    x = torch.arange(7.0)
    assert ops.segment_reduce(x, INDEX, 6).tolist() == [7, 0, 5, 0, 9, 0]
    assert not isinstance(ops.segment_reduce(x, INDEX, 6, "max"), tuple)


def test_positions_are_those_of_the_first_winner():
    x = torch.tensor([[1.0, -2], [3, 4], [-5, 0], [-5, 1], [1, -2], [0, -2], [2, 4]])
    value, arg = ops.segment_reduce(x, INDEX, 6, "max", return_arg=True)
    assert value.tolist() == [[3, 4], [0, 0], [-5, 1], [0, 0], [1, -2], [0, 0]]
    assert arg.tolist() == [[1, 1], [7, 7], [2, 3], [7, 7], [0, 0], [7, 7]]
    assert arg.dtype == torch.int64


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_means_of_many_entries_in_low_precision(kind):
    """Counted in the dtype itself, 3,001 entries of half precision would be 3,000."""
    out = ops.segment_reduce(torch.ones(3001, dtype=kind), torch.zeros(3001).long(), 2, "mean")
    assert out.dtype == kind
    assert out.tolist() == [1, 0]


def test_what_does_not_fit_is_refused_by_name():
    x = torch.ones(7)
    with pytest.raises(ValueError, match=r"reduce must be sum, mean, max or .*, got 'min'"):
        ops.segment_reduce(x, INDEX, 6, "min")
    for reduce in ("sum", "mean", "logsumexp"):
        with pytest.raises(ValueError, match=rf"needs reduce='max', got '{reduce}'"):
            ops.segment_reduce(x, INDEX, 6, reduce, True)
    with pytest.raises(ValueError, match="x has 6 entries in dimension 0, but there are 7"):
        ops.segment_reduce(x[:6], INDEX, 6)
    with pytest.raises(ValueError, match="num_segments must not be negative, got -1"):
        ops.segment_reduce(x, INDEX, -1)
    with pytest.raises(IndexError, match=r"index holds 4, but only 0\.\.3"):
        ops.segment_reduce(x, INDEX, 4)
    with pytest.raises(TypeError, match="x must be floating point"):
        ops.segment_reduce(INDEX, INDEX, 6)


@pytest.mark.parametrize(("count", "value"), [(70_000, 0.5), (1_000, 100.0)])
def test_a_half_mean_is_right_where_sum_or_count_overflow(count: int, value: float) -> None:
    x = torch.full((count, 1), value, dtype=torch.float16)
    mean = ops.segment_reduce(x, torch.zeros(count, dtype=torch.long), 1, "mean")
    assert mean.dtype == torch.float16
    assert mean.item() == value
