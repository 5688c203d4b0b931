"""SSM's draws: bounded, in proportion to degree, and along edges."""

from __future__ import annotations

import pytest
import torch

from graphkit.continual import SSM
from graphkit.continual.ssm import drawn
from tests.continual.problems import backbone, graph, losses_of_task, see


def star(leaves: int = 200) -> torch.Tensor:
    """Edges from many leaves to node 0."""
    return torch.stack([torch.arange(1, leaves + 1), torch.zeros(leaves, dtype=torch.long)])


@pytest.mark.parametrize("neighbors", [(3,), (2, 2), (0,), ()])
def test_memory_is_bounded_whatever_the_degree(neighbors: tuple[int, ...]) -> None:
    edges = star()
    replay = SSM(backbone("GCN"), memories=1, neighbors=neighbors)
    x = torch.randn(201, 5, dtype=torch.float64)
    replay.see_task(x, edges, torch.tensor([0]), torch.tensor([0]))
    replay.finish_task(lambda model: model(x, edges).sum())
    expected = 1 + (neighbors[0] if neighbors else 0)
    assert len(replay.kept[0]["x"]) == expected
    assert replay.kept[0]["edge_index"].size(1) == expected - 1


def test_what_is_drawn_lies_along_the_edges_and_all_of_few_is_taken() -> None:
    data = graph(20)
    targets = torch.tensor([3, 7])
    near = [set(data.edge_index[0][data.edge_index[1] == t].tolist()) for t in targets.tolist()]
    generator = torch.Generator().manual_seed(0)
    everything = drawn(targets, data.edge_index, 20, 20, generator)
    assert set(everything.tolist()) == near[0] | near[1]
    some = set(drawn(targets, data.edge_index, 20, 2, generator).tolist())
    assert some <= near[0] | near[1]
    assert all(len(some & one) >= min(2, len(one)) for one in near)


def test_draws_are_in_proportion_to_degree() -> None:
    """Leaf 1 has nine edges of its own, leaf 2 three: it should come three times as often."""
    own = torch.tensor([[3] * 12, [1] * 9 + [2] * 3])
    edges = torch.cat([torch.tensor([[1, 2], [0, 0]]), own], dim=1)
    generator = torch.Generator().manual_seed(0)
    times = [int(drawn(torch.tensor([0]), edges, 4, 1, generator)) for _ in range(2000)]
    assert abs(times.count(1) / 2000 - 0.75) < 0.04


def test_a_seed_draws_the_same_and_another_does_not() -> None:
    data, kept = graph(40), []
    for seed in (0, 0, 1):
        replay = SSM(backbone("GCN"), memories=3, neighbors=(2,), seed=seed)
        see(replay, data, 0)
        replay.finish_task(losses_of_task(data, 0))
        kept.append(replay.kept[0]["x"])
    assert torch.equal(kept[0], kept[1])
    assert kept[0].shape != kept[2].shape or not torch.equal(kept[0], kept[2])


def test_errors_name_the_argument() -> None:
    with pytest.raises(ValueError, match=r"'neighbors'.*-1"):
        SSM(backbone("GCN"), neighbors=(5, -1))


def test_another_task_draws_other_neighbours() -> None:
    edges, x = star(), torch.arange(201.0).view(-1, 1).repeat(1, 5).double()
    replay = SSM(backbone("GCN"), memories=1, neighbors=(3,))
    for _ in range(2):
        replay.see_task(x, edges, torch.tensor([0]), torch.tensor([0]))
        replay.finish_task(lambda model: model(x, edges).sum())
    first, second = (memory["x"][:, 0].tolist() for memory in replay.kept)
    assert first != second


def test_what_is_drawn_comes_once_and_in_order_and_the_second_step_starts_from_the_first() -> None:
    # 2 and 3 lead to both 0 and 1; 4 leads to 2 and 5 to 3.
    edges = torch.tensor([[3, 2, 3, 2, 4, 5], [0, 0, 1, 1, 2, 3]])
    generator = torch.Generator().manual_seed(0)
    assert drawn(torch.tensor([0, 1]), edges, 6, 5, generator).tolist() == [2, 3]
    assert drawn(torch.tensor([4]), edges, 6, 5, generator).tolist() == []
    x = torch.arange(6.0).view(-1, 1).repeat(1, 5).double()
    replay = SSM(backbone("GCN"), memories=1)
    replay.see_task(x, edges, torch.tensor([0]), torch.tensor([0]))
    replay.finish_task(lambda model: model(x, edges).sum())
    assert replay.kept[0]["x"][:, 0].tolist() == [0, 2, 3, 4, 5]
    assert replay.neighbors == (5, 5)
