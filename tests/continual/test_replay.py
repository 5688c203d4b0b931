"""What replay strategies share: the loss spelled out, what competes, what is stored."""

from __future__ import annotations

import io

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphkit.continual import ERGNN, SSM
from graphkit.continual.replay import GraphReplay
from tests.continual.problems import backbone, graph, losses_of_task, see, wander


@pytest.mark.parametrize("make", [ERGNN, SSM])
def test_the_penalty_is_the_weighted_sum_spelled_out(make: type[GraphReplay]) -> None:
    data, model = graph(), backbone("GCN").eval()
    replay = make(model, memories=2)
    see(replay, data, 0)
    replay.finish_task(losses_of_task(data, 0))
    see(replay, data, 1)
    loss = losses_of_task(data, 1)(model).mean()
    memory = replay.kept[0]
    out = model(memory["x"], memory["edge_index"])[memory["rows"]][:, :2]
    old = F.cross_entropy(out, memory["y"])
    expected = 4 / (4 + 6) * loss + 6 / (4 + 6) * old
    torch.testing.assert_close(loss + replay.penalty(loss), expected)


def test_memories_are_separate_parts_of_one_graph() -> None:
    data, model = graph(), backbone("GIN").eval()
    replay = SSM(model, memories=1)
    for task in (0, 1):
        see(replay, data, task)
        replay.finish_task(losses_of_task(data, task))
    losses = []
    for memory in replay.kept:
        out = model(memory["x"], memory["edge_index"])[memory["rows"]]
        columns = memory["columns"]
        losses.append(F.cross_entropy(out[:, columns], memory["y"] - columns[0], reduction="none"))
    torch.testing.assert_close(replay.memory_loss(), torch.cat(losses).mean())


def test_old_classes_compete_with_new_ones_where_the_present_columns_hold_them() -> None:
    data, model = graph(), backbone("GCN").eval()
    replay = ERGNN(model, memories=1)
    see(replay, data, 0)
    replay.finish_task(losses_of_task(data, 0))
    memory = replay.kept[0]
    out = model(memory["x"], memory["edge_index"])[memory["rows"]]
    for columns, expected in (
        (torch.arange(4), F.cross_entropy(out, memory["y"])),
        (torch.tensor([2, 3]), F.cross_entropy(out[:, :2], memory["y"])),
        (torch.tensor([3, 2, 1, 0]), F.cross_entropy(out, memory["y"])),
    ):
        see(replay, data, 1, columns)
        torch.testing.assert_close(replay.memory_loss(), expected)


@pytest.mark.parametrize("make", [ERGNN, SSM])
def test_what_is_kept_is_a_part_of_the_graph_with_its_labels(make: type[GraphReplay]) -> None:
    data = graph(30)
    data.x[:, 0] = torch.arange(30.0)
    replay = make(backbone("GCN"), memories=3)
    see(replay, data, 1)
    replay.finish_task(losses_of_task(data, 1))
    memory = replay.kept[0]
    names = memory["x"][:, 0].long()
    assert torch.equal(memory["x"], data.x[names])
    assert torch.equal(memory["y"], data.y[names[memory["rows"]]])
    assert memory["y"].bincount().tolist() == [0, 0, 3, 3]
    inside = {(s, t) for s, t in data.edge_index.t().tolist() if s in names.tolist() and t in names}
    assert {tuple(edge) for edge in names[memory["edge_index"]].t().tolist()} == inside


@pytest.mark.parametrize("make", [ERGNN, SSM])
def test_a_saved_state_replays_the_same(make: type[GraphReplay]) -> None:
    data, model = graph(), backbone("GCN").eval()
    replay = make(model, memories=2)
    see(replay, data, 0)
    replay.finish_task(losses_of_task(data, 0))
    file = io.BytesIO()
    torch.save(replay.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    other = make(model, memories=2)
    other.load_state_dict(state)
    expected = replay.memory_loss()
    for memory in state["kept"]:
        memory["x"].zero_()
    assert torch.equal(other.memory_loss(), expected)
    assert other.tasks == 1
    wander(model)
    assert replay.memory_loss() != expected


def test_errors_say_what_is_missing() -> None:
    data, model = graph(), backbone("GCN")
    losses = losses_of_task(data, 0)
    with pytest.raises(ValueError, match=r"'memories'.*0"):
        ERGNN(model, memories=0)
    replay = ERGNN(model, memories=1)
    with pytest.raises(ValueError, match=r"ERGNN keeps graphs: call see_task"):
        replay.finish_task(losses)
    assert replay.tasks == 0
    for rows, y, message in (
        (torch.tensor([0]), torch.tensor([0, 1]), "'rows' and 'y'"),
        (torch.tensor([], dtype=torch.long), torch.tensor([], dtype=torch.long), "at least one"),
        (data.y < 2, data.y < 2, "torch.bool"),
        (torch.tensor([0]), torch.tensor([3]), r"not among 'columns' \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            replay.see_task(data.x, data.edge_index, rows, y, torch.arange(2))
    see(replay, data, 0)
    replay.finish_task(losses)
    see(replay, data, 1)
    with pytest.raises(ValueError, match=r"call penalty\(loss\)"):
        replay.penalty()


def test_numbers_that_name_nothing_are_refused() -> None:
    x, edges = torch.randn(4, 2), torch.tensor([[0, 3, 1], [3, 0, 2]])
    strategy, y = ERGNN(nn.Linear(2, 2), 2), torch.tensor([0, 1, 1])
    for rows in ([-1, 0, 1], [0, 1, 4]):
        with pytest.raises(ValueError, match="'rows' must be from 0 to 3"):
            strategy.see_task(x, edges, torch.tensor(rows), y)
    rows = torch.arange(3)
    with pytest.raises(ValueError, match="'y' must not be negative, got -1"):
        strategy.see_task(x, edges, rows, y - 1)
    with pytest.raises(ValueError, match="'columns' must not be negative, got -2"):
        strategy.see_task(x, edges, rows, y, torch.tensor([-2, 0, 1]))
