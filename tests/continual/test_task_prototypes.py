"""Task prototypes against dense matrices, and what they promise about tasks."""

from __future__ import annotations

import io

import pytest
import torch

from graphkit.continual import TaskPrototypes
from tests.continual.problems import graph


def dense_profile(x: torch.Tensor, edge_index: torch.Tensor, steps: int) -> torch.Tensor:
    """The formula of the paper with matrices."""
    adjacency = torch.zeros(len(x), len(x), dtype=x.dtype)
    for source, target in edge_index.t().tolist():
        if source != target:
            adjacency[target, source] += 1.0
    adjacency += torch.eye(len(x), dtype=x.dtype)
    root = torch.diag(adjacency.sum(dim=1) ** -0.5)
    return root @ torch.linalg.matrix_power(root @ adjacency @ root, steps) @ x


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_prototype_is_the_mean_of_the_formula(steps: int) -> None:
    data, rows = graph(), torch.tensor([0, 3, 4])
    profiles = TaskPrototypes(steps)
    profiles.add(data.x, data.edge_index, rows)
    expected = dense_profile(data.x, data.edge_index, steps)
    torch.testing.assert_close(profiles.profile(data.x, data.edge_index), expected)
    torch.testing.assert_close(profiles.prototypes[0], expected[rows].mean(dim=0))


def test_the_nearest_prototype_is_named_for_a_graph_and_for_nodes() -> None:
    profiles, data = TaskPrototypes(1), graph()
    for shift in (0.0, 1.0, 5.0):
        profiles.add(data.x + shift, data.edge_index)
    profile = dense_profile(data.x + 4.0, data.edge_index, 1)
    distances = (profile[:, None] - profiles.prototypes[None]).norm(dim=2)
    nodes = profiles.predict_nodes(data.x + 4.0, data.edge_index)
    assert torch.equal(nodes, distances.argmin(dim=1))
    one = (profile[2:4].mean(dim=0) - profiles.prototypes).norm(dim=1).argmin()
    assert profiles.predict(data.x + 4.0, data.edge_index, torch.tensor([2, 3])) == int(one)
    mask = torch.zeros(12, dtype=torch.bool)
    mask[2:4] = True
    assert profiles.predict(data.x + 4.0, data.edge_index, mask) == int(one)


def test_near_tasks_are_told_apart_far_from_zero() -> None:
    """Distances by dot products lose a difference of 1e-3 at 1e3 in float32."""
    x = torch.full((4, 3), 1000.0)
    edges = torch.zeros(2, 0, dtype=torch.long)
    profiles = TaskPrototypes(2)
    for number in range(30):
        profiles.add(x + 0.01 * number, edges)
    assert [profiles.predict(x + 0.01 * number, edges) for number in range(30)] == list(range(30))


def test_the_order_of_nodes_does_not_matter() -> None:
    data = graph()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    place = order.argsort()
    profiles = TaskPrototypes()
    expected = profiles.profile(data.x, data.edge_index)[order]
    torch.testing.assert_close(profiles.profile(data.x[order], place[data.edge_index]), expected)


def test_old_prototypes_never_change_and_isolated_nodes_keep_their_features() -> None:
    profiles, x = TaskPrototypes(), torch.randn(3, 2)
    none = torch.zeros(2, 0, dtype=torch.long)
    profiles.add(x, none)
    torch.testing.assert_close(profiles.prototypes[0], x.mean(dim=0))
    before = profiles.prototypes[0].clone()
    profiles.add(x + 1, none)
    assert torch.equal(profiles.prototypes[0], before)
    assert len(profiles) == 2


def test_a_state_is_saved_weights_only_and_not_shared() -> None:
    data, profiles = graph(), TaskPrototypes()
    profiles.add(data.x, data.edge_index)
    file = io.BytesIO()
    torch.save(profiles.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    other = TaskPrototypes()
    other.load_state_dict(state)
    state["prototypes"].zero_()
    assert torch.equal(other.prototypes, profiles.prototypes)
    with pytest.raises(ValueError, match=r"steps=3.*steps=2"):
        TaskPrototypes(2).load_state_dict(state)


def test_errors_name_the_argument() -> None:
    data, profiles = graph(), TaskPrototypes()
    with pytest.raises(ValueError, match=r"'steps'.*-1"):
        TaskPrototypes(-1)
    with pytest.raises(ValueError, match="no task was added"):
        profiles.predict(data.x, data.edge_index)
    profiles.add(data.x, data.edge_index)
    for x, message in (
        (data.x[:, :2], "'x' has 2 features, those of earlier tasks 5"),
        (data.x * torch.nan, "'x' holds values that are not finite"),
        (torch.cat([data.x[:-1], data.x[-1:] / 0]), "'x' holds values that are not finite"),
        (data.x.to_sparse(), "'x' must be dense"),
        (data.x[0], "'x' must be dense"),
    ):
        with pytest.raises(ValueError, match=message):
            profiles.predict(x, data.edge_index)
    with pytest.raises(ValueError, match="'rows' names no node"):
        profiles.predict(data.x, data.edge_index, torch.tensor([], dtype=torch.long))
    with pytest.raises(IndexError):
        profiles.predict(data.x, torch.tensor([[0], [99]]))
