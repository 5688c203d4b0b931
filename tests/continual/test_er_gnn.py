"""ER-GNN's choices of nodes against loops."""

from __future__ import annotations

import pytest
import torch

from graphkit.continual import ERGNN
from graphkit.continual.er_gnn import crowd, from_mean
from tests.continual.problems import backbone, graph, losses_of_task, see


def test_scores_spelled_out() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, 3, generator=generator, dtype=torch.float64)
    y = torch.arange(9) % 3 + 4
    distance = torch.stack([(x - x[i]).norm(dim=1) for i in range(9)])
    limit = 0.9 * sum(distance[i, j] for i in range(9) for j in range(9)) / 81
    for i in range(9):
        mean = x[y == y[i]].mean(dim=0)
        torch.testing.assert_close(from_mean(x, y)[i], (x[i] - mean).norm())
        near = sum(bool(distance[i, j] <= limit and y[i] != y[j]) for j in range(9))
        assert int(crowd(x, y, 0.9)[i]) == near


@pytest.mark.parametrize("select", ["mean", "coverage"])
def test_the_best_nodes_of_each_class_are_kept(select: str) -> None:
    data = graph(40)
    replay = ERGNN(backbone("GCN"), memories=4, select=select)
    see(replay, data, 0)
    task = replay.present
    x, y = data.x[task["rows"]], task["y"]
    score = from_mean(x, y) if select == "mean" else crowd(x, y, 1.0)
    replay.finish_task(losses_of_task(data, 0))
    memory = replay.kept[0]
    for label in (0, 1):
        wanted = score[y == label].sort().values[:4]
        nodes = memory["x"][memory["rows"][memory["y"] == label]]
        places = [int((x == node).all(dim=1).nonzero()) for node in nodes]
        torch.testing.assert_close(score[places].sort().values, wanted)


def test_ties_are_broken_by_the_seed() -> None:
    data, kept = graph(40), []
    data.x[:] = 0
    data.x[:, 0] = torch.arange(40)
    for seed in (0, 0, 1):
        replay = ERGNN(backbone("GCN"), memories=3, radius=0.0, seed=seed)
        see(replay, data, 0)
        replay.finish_task(losses_of_task(data, 0))
        kept.append(replay.kept[0]["x"])
    assert torch.equal(kept[0], kept[1])
    assert not torch.equal(kept[0], kept[2])


def test_errors_name_the_argument() -> None:
    with pytest.raises(ValueError, match=r"'select'.*'influence'"):
        ERGNN(backbone("GCN"), select="influence")
    with pytest.raises(ValueError, match="'radius'"):
        ERGNN(backbone("GCN"), radius=-1.0)
    # Nothing but the same place is near.
    assert ERGNN(backbone("GCN"), radius=0.0).radius == 0.0
    assert crowd(torch.tensor([[0.0], [0.0], [3.0]]), torch.tensor([0, 1, 1]), 0.0).tolist() == [
        *(1, 1, 0)
    ]


def test_a_sample_at_the_radius_itself_is_near() -> None:
    # Distances 0, 1, 1, 2 and so on: their mean over all pairs is 8 / 9.
    x, y = torch.tensor([[0.0], [1.0], [2.0]]).double(), torch.tensor([0, 1, 0])
    mean = torch.cdist(x, x).mean()
    assert crowd(x, y, float(1 / mean)).tolist() == [1, 2, 1]
    assert crowd(x, y, float(0.99 / mean)).tolist() == [0, 0, 0]


def test_another_task_breaks_ties_in_another_way() -> None:
    data, kept = graph(40), []
    data.x[:] = 0
    data.x[:, 0] = torch.arange(40)
    replay = ERGNN(backbone("GCN"), memories=3, radius=0.0)
    for _ in range(2):
        see(replay, data, 0)
        replay.finish_task(losses_of_task(data, 0))
        kept.append(replay.kept[-1]["x"])
    assert not torch.equal(kept[0], kept[1])
    assert (replay.select, ERGNN(backbone("GCN")).radius) == ("coverage", 1.0)


def test_samples_far_from_the_origin_are_as_crowded() -> None:
    generator = torch.Generator().manual_seed(0)
    # So few binary digits that an offset rounds nothing.
    x = torch.randint(0, 4096, (60, 4), generator=generator).float() / 1024
    y = torch.arange(60) % 3
    assert torch.equal(crowd(x + 2048, y, 0.5), crowd(x, y, 0.5))
