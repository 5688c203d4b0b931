"""Edge similarities against the direct form, and the memory they need."""

import pytest
import torch

from graphkit.distill import edge_similarity
from graphkit.testing import cost_of
from tests.distill.oracles import median_bandwidth, random_graph, score

KERNELS = ("rbf", "linear", "polynomial", "euclidean", "laplacian")


@pytest.mark.parametrize("kernel", KERNELS)
def test_direct_form(kernel):
    x, edge_index = torch.randn(15, 4, dtype=torch.double), random_graph(15, 60)
    found = edge_similarity(x, edge_index, kernel, bandwidth=0.8)
    torch.testing.assert_close(found, score(x, edge_index, kernel, 0.8))
    width = median_bandwidth(x, edge_index, kernel)
    torch.testing.assert_close(
        edge_similarity(x, edge_index, kernel), score(x, edge_index, kernel, width)
    )


def test_polynomial_options():
    x, edge_index = torch.randn(15, 4, dtype=torch.double), random_graph(15, 60)
    dot = (x[edge_index[0]] * x[edge_index[1]]).sum(-1)
    found = edge_similarity(x, edge_index, "polynomial", degree=3, offset=1.5)
    torch.testing.assert_close(found, (dot + 1.5) ** 3)


def test_far_from_the_origin_digits_are_kept():
    x, edge_index = torch.randn(15, 4, dtype=torch.double), random_graph(15, 60)
    # Every channel has an origin of its own.
    far = (x + torch.tensor([1000.0, -1000.0, 2000.0, -2000.0])).float()
    wanted = score(far.double(), edge_index, "euclidean", 1.0)
    found = edge_similarity(far, edge_index, "euclidean")
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_no_tensor_of_edges_times_channels(kernel, monkeypatch):
    monkeypatch.setattr("graphkit.distill.losses.manhattan.ENTRIES", 640)
    x, edge_index = torch.randn(50, 64, requires_grad=True), random_graph(50, 2000)
    cost = cost_of(lambda: edge_similarity(x, edge_index, kernel, bandwidth=5.0).sum().backward())
    assert x.grad.abs().sum() > 0
    assert cost.largest <= max(50 * 64, 2 * 2000)


def test_equal_points_take_bandwidth_one():
    x, edge_index = torch.ones(15, 4), random_graph(15, 60)
    assert torch.equal(edge_similarity(x, edge_index), torch.ones(60))


def test_unknown_kernel_is_named():
    with pytest.raises(ValueError, match=r"'kernel'.*'cosine'"):
        edge_similarity(torch.ones(3, 2), random_graph(3, 4), "cosine")
