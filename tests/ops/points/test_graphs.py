"""Neighbours against a dense oracle, against scikit-learn, and what is refused."""

import inspect
import sys
import types

import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg
from sklearn.neighbors import NearestNeighbors

from graphkit.nn import knn, knn_graph, radius, radius_graph
from graphkit.ops.points import searching
from tests.spoiled import spoiled

BACKENDS = ("tree", "exhaustive")


def oracle(x, k=None, batch=None, loop=False, cosine=False, r=None):
    """All distances at once; a stable sort puts the lower of equal ones first."""
    x = x.double()
    x = torch.nn.functional.normalize(x, dim=1) if cosine else x
    apart = (x.unsqueeze(1) - x).square().sum(2)
    if cosine:
        blank = ~x.any(1)
        apart[blank | blank.unsqueeze(1)] = 2
    if batch is not None:
        apart[batch.unsqueeze(1) != batch] = torch.inf
    apart.fill_diagonal_(-1 if loop else torch.inf)
    apart[apart > (torch.inf if r is None else r**2)] = torch.inf
    near, source = apart.sort(dim=1, stable=True)
    taken = near[:, :k].isfinite()
    target = torch.arange(len(x)).unsqueeze(1).expand_as(taken)
    return torch.stack([source[:, :k][taken], target[taken]])


def clouds():
    """Random points, ties on a lattice, far from zero in single precision, copies, zeros."""
    draw = torch.Generator().manual_seed(3)
    lattice = torch.randint(0, 3, (60, 3), generator=draw).float()
    normal = torch.randn(60, 3, generator=draw)
    return {
        "normal": normal,
        "wide": torch.randn(60, 16, generator=draw),
        "lattice": lattice,
        "binary": torch.randint(0, 2, (60, 20), generator=draw).float(),
        "far": lattice * 0.1 + 1000,
        "copies": normal[torch.randint(0, 9, (60,), generator=draw)],
        "zeros": normal * torch.randint(0, 2, (60, 1), generator=draw),
        "line": normal[:, 0],
        "half": normal.half(),
        "whole": lattice.long(),
        "tiny": normal.double() * 1e-200,
        "huge": normal.double() * 1e200,
    }


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", list(clouds()))
def test_against_all_distances(name, backend):
    x = clouds()[name]
    rows = (
        x.unsqueeze(1)
        if x.dim() == 1
        else x.double() * {"tiny": 1e200, "huge": 1e-200}.get(name, 1)
    )
    batch = torch.randint(0, 4, (60,), generator=torch.Generator().manual_seed(1))
    for sets in (None, batch, batch.sort().values):
        for k, loop in ((1, False), (1, True), (5, False), (40, True)):
            for cosine in (False, name != "far"):  # Angles of far points are rounding alone.
                edges = knn_graph(x, k, sets, loop, cosine=cosine, backend=backend)
                assert torch.equal(edges, oracle(rows, k, sets, loop, cosine))
    for most, loop in ((None, False), (3, True)) if name not in ("tiny", "huge") else ():
        edges = radius_graph(x, 1.0, batch, loop, most, backend=backend)
        assert torch.equal(edges, oracle(rows, most, batch, loop, r=1.0))


@pytest.mark.parametrize("dims", [2, 30])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_against_scikit_learn(dims, metric):
    x = torch.randn(300, dims)
    x[200:] = x[:100]
    edges = knn_graph(x, 7, cosine=metric == "cosine")
    wanted = NearestNeighbors(n_neighbors=7, metric=metric, algorithm="brute").fit(
        x.double().numpy()
    )
    apart = wanted.kneighbors()[0]
    source, target = x.double()[edges]
    ours = (source - target).norm(dim=1)
    if metric == "cosine":
        ours = 1 - torch.cosine_similarity(source, target)
    # Copies swap places, so distances are compared; angles lose half the digits near zero.
    assert np.allclose(ours.view(300, 7).numpy(), apart, atol=1e-6)
    everywhere = NearestNeighbors(radius=1.0).fit(x.double().numpy())
    lists = everywhere.radius_neighbors(return_distance=False)
    edges = radius_graph(x, 1.0, max_num_neighbors=None)
    assert edges[1].bincount(minlength=300).tolist() == [len(each) for each in lists]
    assert set(map(tuple, edges.t().tolist())) == {
        (int(j), i) for i, each in enumerate(lists) for j in each
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_sets_of_points(backend):
    x, y = torch.rand(50, 3), torch.rand(20, 3)
    batch_x, batch_y = torch.randint(0, 3, (50,)), torch.randint(0, 4, (20,))
    apart = (y.double().unsqueeze(1) - x.double()).square().sum(2)
    apart[batch_y.unsqueeze(1) != batch_x] = torch.inf
    near, column = apart.sort(dim=1, stable=True)
    for edges, taken in (
        (knn(x, y, 4, batch_x, batch_y, backend=backend), near[:, :4].isfinite()),
        (radius(x, y, 0.5, batch_x, batch_y, 4, backend=backend), near[:, :4] <= 0.25),
    ):
        row = torch.arange(20).unsqueeze(1).expand_as(taken)
        assert torch.equal(edges, torch.stack([row[taken], column[:, :4][taken]]))


def test_blocks_do_not_show(monkeypatch):
    x, batch = torch.randint(0, 4, (80, 3)).float(), torch.randint(0, 9, (80,))
    whole = [knn_graph(x, 4, batch, backend=each) for each in BACKENDS]
    for module in ("query", "candidates", "exhaustive"):
        monkeypatch.setattr(f"graphkit.ops.points.{module}.BUDGET", 40)
    monkeypatch.setattr("graphkit.ops.points.exhaustive.TOGETHER", 4)
    for each, edges in zip(BACKENDS, whole, strict=True):
        assert torch.equal(knn_graph(x, 4, batch, backend=each), edges)


def test_equal_points_cost_no_more_than_others():
    """Without the first copies standing for all, this would take the square of 30,000."""
    edges = knn_graph(torch.zeros(30000, 12), 2)
    assert edges.view(2, -1, 2)[0, 5:].unique().tolist() == [0, 1]
    assert edges[0, :6].tolist() == [1, 2, 0, 2, 0, 1]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(f, getattr(pyg, f.__name__)) for f in (knn, knn_graph, radius, radius_graph)],
)
def test_signatures_are_pygs(ours, theirs):
    parameters = [(p.name, p.default) for p in inspect.signature(ours).parameters.values()]
    wanted = [(p.name, p.default) for p in inspect.signature(theirs).parameters.values()]
    assert parameters == [*wanted, ("backend", None)]


def test_small_and_empty_sets():
    assert knn_graph(torch.rand(0, 3), 2).shape == (2, 0)
    assert knn_graph(torch.rand(1, 3), 2).shape == (2, 0)
    assert knn_graph(torch.rand(1, 3), 2, loop=True).tolist() == [[0], [0]]
    assert knn_graph(torch.rand(3, 0), 2).tolist() == [[1, 2, 0, 2, 0, 1], [0, 0, 1, 1, 2, 2]]
    assert radius_graph(torch.rand(0, 3), 1.0).shape == (2, 0)
    assert radius_graph(torch.zeros(2, 3), 0.0).tolist() == [[1, 0], [0, 1]]
    assert radius_graph(torch.rand(4, 3), torch.inf).size(1) == 12
    assert knn(torch.rand(0, 3), torch.rand(4, 3), 2).shape == (2, 0)


def test_flow_and_gradient():
    x = torch.rand(9, 2, requires_grad=True)
    edges = knn_graph(x, 2)
    assert not edges.requires_grad
    assert torch.equal(knn_graph(x, 2, flow="target_to_source"), edges.flip(0))
    assert torch.equal(radius_graph(x, 0.3, flow="target_to_source"), radius_graph(x, 0.3).flip(0))


X = torch.rand(5, 2)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: knn_graph(spoiled((3, 2)), 1), "'x' holds NaN"),
        (lambda: radius_graph(spoiled((3, 2), torch.inf), 1.0), "'x' holds NaN"),
        (lambda: knn(X, X / 0, 1), "'y' holds NaN"),
        (lambda: knn(X, X[:, :1], 1), "'x' has 2 coordinates, 'y' 1"),
        (lambda: knn_graph(X[None], 1), r"'x' must.*\[1, 5, 2\]"),
        (lambda: knn_graph(X.cfloat(), 1), "'x' must hold real"),
        (lambda: knn_graph(X, 0), "'k' must be at least 1, got 0"),
        (lambda: knn_graph(X, 1, torch.zeros(4).long()), "'batch' has 4 entries for 5"),
        (lambda: knn_graph(X, 1, torch.zeros(5)), "'batch' must hold integers"),
        (lambda: knn_graph(X, 1, torch.arange(5) - 1), "'batch' must be in"),
        (lambda: knn_graph(X, 1, torch.arange(5), batch_size=4), r"'batch' must be in \[0, 4\)"),
        (lambda: knn(X, X, 1, batch_y=torch.zeros(4).long()), "'batch_y' has 4"),
        (lambda: knn_graph(X, 1, flow="up"), "'flow'"),
        (lambda: knn_graph(X, 1, num_workers=0), "'num_workers'"),
        (lambda: knn_graph(X, 1, backend="kd"), "'backend' must be one of"),
        (lambda: radius_graph(X, -1.0), "'r' must be at least 0"),
        (lambda: radius_graph(X, torch.nan), "'r' must be at least 0"),
        (lambda: radius_graph(X, 1.0, max_num_neighbors=0), "'max_num_neighbors'"),
        (lambda: radius_graph(X, 1.0, backend="approximate"), "not all within"),
    ],
)
def test_wrong_input_is_named(call, word):
    with pytest.raises(ValueError, match=word):
        call()


def test_missing_packages_are_named(monkeypatch):
    with pytest.raises(TypeError, match="'k' must be a whole number"):
        knn_graph(X, 1.5)
    monkeypatch.setattr(searching, "APPROXIMATE_FROM", 0)
    monkeypatch.setitem(sys.modules, "pynndescent", None)
    with pytest.raises(ImportError, match=r"graphkit\[neighbours\]"):
        knn_graph(X, 1, backend="approximate")
    monkeypatch.setattr("torch_geometric.typing.WITH_KNN", False)
    with pytest.raises(ImportError, match="pyg-lib"):
        knn_graph(X, 1, backend="pyg-lib")


def test_pyg_lib_gets_every_argument(monkeypatch):
    calls = []
    for name in ("knn", "knn_graph", "radius", "radius_graph"):
        monkeypatch.setattr(pyg, name, lambda *args: calls.append(args))
    zero = torch.zeros(5).long()
    knn(X, X, 1, zero, zero, True, 2, 1, backend="pyg-lib")
    knn_graph(X, 1, zero, True, "target_to_source", True, 2, 1, backend="pyg-lib")
    radius(X, X, 1.0, zero, zero, 3, 2, 1, backend="pyg-lib")
    radius_graph(X, 1.0, zero, True, 3, "target_to_source", 2, 1, backend="pyg-lib")
    assert [call[2:] for call in calls] == [
        (1, zero, zero, True, 2, 1),
        (zero, True, "target_to_source", True, 2, 1),
        (1.0, zero, zero, 3, 2, 1),
        (zero, True, 3, "target_to_source", 2, 1),
    ]


class Descent:
    """What pynndescent gives, from all distances: it takes a minute to compile."""

    def __init__(self, data, n_neighbors, random_state, n_jobs, compressed):
        assert data.dtype == np.float32
        assert (random_state, n_jobs, compressed) == (0, 1, False)
        self.search = NearestNeighbors(n_neighbors=n_neighbors).fit(data)
        near = self.search.kneighbors(data, return_distance=False)
        near[0, 2:] = -1  # It says so where it saw no more.
        self.neighbor_graph = near, None

    def query(self, data, k):
        return self.search.kneighbors(data, k, return_distance=False), None


def test_approximate_candidates_are_measured_and_sorted(monkeypatch):
    monkeypatch.setattr(searching, "APPROXIMATE_FROM", 0)
    monkeypatch.setitem(sys.modules, "pynndescent", types.SimpleNamespace(NNDescent=Descent))
    x, batch = torch.randn(60, 12), torch.arange(2).repeat_interleave(30)
    edges, wanted = knn_graph(x, 5, batch, backend="approximate"), knn_graph(x, 5, batch)
    assert edges[1].bincount().tolist() == [1, *[5] * 59]
    assert torch.equal(edges[:, 1:], wanted[:, 5:])
    both = [knn(x, x[:7], 3, backend=each) for each in ("approximate", "exhaustive")]
    assert torch.equal(*both)


@pytest.mark.gpu
def test_on_a_gpu_as_on_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    for x in clouds().values():
        for graph, most in ((knn_graph, 5), (radius_graph, 1.0)):
            edges = graph(x.cuda(), most)
            assert edges.is_cuda
            assert torch.equal(edges.cpu(), graph(x, most))
