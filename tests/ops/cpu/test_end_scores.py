"""Scores of both ends: chunks of rows, batches, and dtypes."""

from __future__ import annotations

import pytest
import torch

from graphkit.ops.cpu import end_scores as code
from graphkit.ops.cpu.kernels.self_attention import ROWS_PER_CHUNK


def numbers(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.float16])
def test_scores_stay_wide(kind):
    x, src, dst = (numbers(*s).to(kind) for s in ((2, 7, 3, 5), (1, 3, 5), (1, 3, 5)))
    found = code.end_scores(x.transpose(0, 1), src, dst)
    wide = torch.float64 if kind == torch.float64 else torch.float32
    for score, vector in zip(found, (src, dst), strict=True):
        assert score.dtype == wide
        wanted = (x.transpose(0, 1).to(wide) * vector.to(wide)).sum(-1)
        torch.testing.assert_close(score, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
@pytest.mark.parametrize("count", [1, ROWS_PER_CHUNK // 2, ROWS_PER_CHUNK // 2 + 1])
def test_gradients_come_on_top(count, kind):
    """Two graphs: their rows fill a chunk, or go two beyond it."""
    x, src, dst = numbers(2, count, 1, 3), numbers(1, 1, 3), numbers(1, 1, 3) + 1
    grads, before = (numbers(2, count, 1), numbers(2, count, 1) + 1), numbers(2, count, 1, 4)
    values = [v.to(kind) for v in (x, src, dst)]
    given = [g.to(torch.float32 if kind == torch.float16 else kind) for g in grads]
    before = before[..., :3].to(kind)
    found = code.end_scores_backward(*values, *given, before.clone())
    wide = [v.double() for v in (*values, *given)]
    wanted = before.double() + wide[3].unsqueeze(-1) * wide[1] + wide[4].unsqueeze(-1) * wide[2]
    sums = [torch.einsum("bnh,bnhc->hc", grad, wide[0]).unsqueeze(0) for grad in wide[3:]]
    for one, other in zip(found, (wanted, *sums), strict=True):
        assert one.dtype == kind
        limit = 1e-10 if kind == torch.float64 else 2e-3
        assert (one.double() - other).abs().max() <= limit * other.abs().max()
    assert found[1].untyped_storage().data_ptr() != found[2].untyped_storage().data_ptr()
