import numpy as np
import pytest

from graphkit.ops.cpu.kernels import ends


@pytest.mark.parametrize(("heads", "width"), [(3, 5), (8, 8)])
def test_scores_of_some_rows(heads, width):
    draw = np.random.default_rng(0)
    x = draw.standard_normal((6, heads, width))
    src, dst = draw.standard_normal((2, heads, width))
    found = np.full((2, 6, heads), 9.0)
    arrays = (x.ravel(), src.ravel(), dst.ravel())
    ends.score_ends(1, 4, *arrays, heads, width, found[0].ravel(), found[1].ravel())
    for scores, vector in zip(found, (src, dst), strict=True):
        np.testing.assert_allclose(scores[1:4], np.einsum("nhc,hc->nh", x[1:4], vector))
        assert (scores[[0, 4, 5]] == 9).all()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("summed", [2, 3])
@pytest.mark.parametrize(("heads", "width"), [(3, 5), (8, 8)])
def test_gradients_chunk_by_chunk(heads, width, summed, kind):
    """Chunks of four rows; the last one has three, and the first is somebody else's."""
    draw = np.random.default_rng(0)
    x, grad_x = draw.standard_normal((2, 11, heads, width)).astype(kind)
    src, dst = draw.standard_normal((2, heads, width)).astype(kind)
    grads = draw.standard_normal((2, 11, heads)).astype(kind)
    tables = np.full((3, summed, heads, width), 9.0, kind)
    toward = draw.standard_normal((11 if summed == 3 else 0, heads, width)).astype(kind)
    near = {"rtol": 1e-4, "atol": 1e-5} if kind == np.float32 else {"rtol": 1e-7}
    before, total = grad_x.copy(), grad_x.reshape(-1)
    given = (x.ravel(), src.ravel(), dst.ravel(), grads[0].ravel(), grads[1].ravel())
    ends.score_ends_back(
        1, 3, 4, 11, *given, heads, width, total, toward.ravel(), tables.reshape(-1)
    )
    wanted = before + grads[0][..., None] * src + grads[1][..., None] * dst
    wanted[:4] = before[:4]
    np.testing.assert_allclose(total.reshape(x.shape), wanted, **near)
    assert (tables[0] == 9).all()
    for chunk, rows in ((1, slice(4, 8)), (2, slice(8, 11))):
        for end in range(2):
            sums = np.einsum("nh,nhc->hc", grads[end][rows], x[rows])
            np.testing.assert_allclose(tables[chunk, end], sums, **near)
        if summed == 3:
            np.testing.assert_allclose(tables[chunk, 2], toward[rows].sum(0), **near)
