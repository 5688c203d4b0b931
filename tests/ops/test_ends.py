import pytest
import torch

from graphkit.ops import ends

INDEX = torch.tensor([[0, 1, 2], [1, 1, 0]])
X = torch.ones(3, 2, 4)


def test_ends_may_differ_in_their_nodes_alone():
    ends.check_ends(INDEX, x_src=X, x_dst=X[:2])
    ends.check_ends(INDEX, x_src=torch.ones(5, 3, 2, 4), x_dst=torch.ones(5, 7, 2, 4))
    for left, right in (
        *(((3, 2, 4), (3, 2, 5)), ((3, 2, 4), (3, 1, 4)), ((3, 2, 4), (1, 3, 2, 4))),
        ((5, 3, 2, 4), (1, 3, 2, 4)),
    ):
        with pytest.raises(ValueError, match=r"^query \[.*\] and key \[.*\] must agree but for"):
            ends.check_ends(INDEX, query=torch.ones(left), key=torch.ones(right))
    for wrong in (torch.ones(3, 4), torch.ones(1, 1, 3, 2, 4)):
        with pytest.raises(ValueError, match="key must have 3 or 4 dimensions"):
            ends.check_ends(INDEX, query=X, key=wrong)
    with pytest.raises(TypeError, match="query must be floating point"):
        ends.check_ends(INDEX, query=X.long(), key=X)
    with pytest.raises(ValueError, match="key is on meta"):
        ends.check_ends(INDEX, query=X, key=X.to("meta"))


def test_shapes_are_named_with_the_reason():
    ends.check_shape(INDEX, "att", X[0], [2, 4], "x")
    with pytest.raises(ValueError, match=r"att must have shape \[2, 3\] to fit x, got \[2, 4\]"):
        ends.check_shape(INDEX, "att", X[0], [2, 3], "x")
    with pytest.raises(ValueError, match="att must have 2 dimensions"):
        ends.check_shape(INDEX, "att", X, [2, 4], "x")
    with pytest.raises(ValueError, match="att is on meta"):
        ends.check_shape(INDEX, "att", X[0].to("meta"), [2, 4], "x")


def test_features_of_edges_and_their_matrix():
    attr, matrix = torch.randn(3, 5), torch.randn(8, 5)
    features, lin = ends.edge_features(INDEX, attr, matrix, X)
    assert torch.equal(features, attr.unsqueeze(0))
    for d in range(5):
        for h in range(2):
            assert torch.equal(lin[d, h], matrix[4 * h : 4 * h + 4, d])
    features, lin = ends.edge_features(INDEX, None, None, X.half())
    assert (features.shape, lin.shape) == ((1, 3, 0), (0, 2, 4))
    assert features.dtype == lin.dtype == torch.half


def test_features_that_do_not_fit_are_refused_by_name():
    attr, matrix = torch.ones(3, 5), torch.ones(8, 5)
    for given, words in (
        ((attr, None), "edge_attr was given without lin_edge"),
        ((None, matrix), "lin_edge was given without edge_attr"),
        ((attr[:2], matrix), "edge_attr has 2 entries in dimension 0, but there are 3 edges"),
        ((attr[0], matrix), "edge_attr must have 2 dimensions"),
        ((attr, matrix.t()), r"lin_edge must have shape \[8, 5\] to fit edge_attr \[3, 5\]"),
        ((attr, torch.ones(8, 4)), r"lin_edge must have shape \[8, 5\]"),
        ((attr.to("meta"), matrix), "edge_attr is on meta"),
    ):
        with pytest.raises(ValueError, match=words):
            ends.edge_features(INDEX, *given, X)


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_probabilities(value):
    for right in (0, 0.0, 0.5, 1, 1.0):
        ends.check_probability(right, "dropout")
    with pytest.raises(ValueError, match="dropout must be a probability, got"):
        ends.check_probability(value, "dropout")


def test_values_meet_in_one_dtype_and_seeds_are_drawn_only_to_drop():
    values = [X.half(), X, X.double()]
    state = torch.get_rng_state()
    prepared, seed = ends.prepared(INDEX, 0.0, *values)
    assert torch.equal(torch.get_rng_state(), state)
    assert {value.dtype for value in prepared} == {torch.float64}
    assert (seed.tolist(), seed.dtype) == ([0], torch.int64)
    assert ends.prepared(INDEX.int(), 0.0, X)[1].dtype == torch.int64
    assert ends.prepared(INDEX, 0.0, X.half())[0][0].dtype == torch.half
    torch.manual_seed(1)
    _, first = ends.prepared(INDEX, 0.1, X)
    _, second = ends.prepared(INDEX, 0.1, X)
    assert first != second
    torch.manual_seed(1)
    assert ends.prepared(INDEX, 1.0, X)[1] == first
