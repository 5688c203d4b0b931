"""TPP: scores spelled out, nothing forgotten to the bit, and a contrast against its formula."""

from __future__ import annotations

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GCN

from graphkit.continual import TPP
from graphkit.continual.tpp import GraphPrompt
from tests.continual.problems import graph


def network(**kwargs: object) -> GCN:
    torch.manual_seed(0)
    return GCN(5, 6, num_layers=2, out_channels=6, **kwargs).double()


def learned(tasks: int = 2, **kwargs: object) -> TPP:
    """A TPP with some tasks of two classes, each far from the others, trained a little."""
    data = graph()
    tpp = TPP(network(**kwargs), 5, 6).double()
    for number in range(tasks):
        learn(tpp, data.x + 3 * number, data.edge_index, data.y % 2)
    return tpp


def learn(tpp: TPP, x: Tensor, edge_index: Tensor, y: Tensor, epochs: int = 5) -> None:
    task = tpp.add_task(x, edge_index, classes=2)
    optimizer = torch.optim.Adam(tpp.parameters(), lr=0.05, weight_decay=0.1)
    tpp.train()
    for _ in range(epochs):
        optimizer.zero_grad()
        F.cross_entropy(tpp(x, edge_index, task=task), y + 2 * task).backward()
        optimizer.step()


def test_a_prompt_is_a_mixture_of_tokens() -> None:
    prompt, x = GraphPrompt(4, 3), torch.randn(5, 4)
    expected = torch.empty(5, 4)
    for i in range(5):
        shares = (prompt.choose.weight @ x[i] + prompt.choose.bias).exp()
        expected[i] = x[i] + sum(shares[j] * prompt.tokens[j] for j in range(3)) / shares.sum()
    torch.testing.assert_close(prompt(x), expected)


def test_scores_are_those_of_the_predicted_task_and_no_other_class_can_win() -> None:
    tpp, data = learned(3).eval(), graph()
    x = data.x + 3
    assert tpp.predict_task(x, data.edge_index) == 1
    out = tpp(x, data.edge_index)
    expected = tpp.head[1](tpp.model(tpp.prompt[1](x), data.edge_index))
    torch.testing.assert_close(out[:, 2:4], expected)
    assert bool((out[:, [0, 1, 4, 5]] == -torch.inf).all())
    assert torch.equal(out, tpp(x, data.edge_index, task=1))


def test_nothing_is_forgotten_to_the_bit() -> None:
    tpp, data = learned(2, dropout=0.5, norm="batch_norm"), graph()
    before = [tpp.eval()(data.x + 3 * t, data.edge_index)[:, : 2 * t + 2] for t in range(2)]
    learn(tpp, data.x + 6, data.edge_index, data.y % 2)
    for task, old in enumerate(before):
        assert torch.equal(tpp.eval()(data.x + 3 * task, data.edge_index)[:, : 2 * task + 2], old)


def test_only_the_present_task_learns() -> None:
    tpp, data = learned(2), graph()
    trained = {name for name, p in tpp.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] + name.split(".")[1] for name in trained} == {"prompt1", "head1"}
    F.cross_entropy(tpp(data.x, data.edge_index, task=1), data.y % 2 + 2).backward()
    graded = {name for name, p in tpp.named_parameters() if p.grad is not None}
    assert graded == trained
    assert all(p.grad.isfinite().all() for p in tpp.parameters() if p.grad is not None)


def test_a_frozen_network_drops_nothing_in_training_mode() -> None:
    tpp, data = learned(1, dropout=0.9), graph()
    assert tpp.train().training
    assert not tpp.model.training
    one, two = (tpp(data.x, data.edge_index, task=0) for _ in range(2))
    assert torch.equal(one, two)


def test_prompts_and_heads_learn_to_separate() -> None:
    tpp, data = learned(1), graph()
    # Without edges the classes do not mix, and whoever learns at all can tell them apart.
    edges, y = data.edge_index[:, :0], torch.arange(12) % 2
    x = data.x + 4 * F.one_hot(y, 5)
    learn(tpp, x, edges, y, epochs=60)
    assert bool((tpp.eval()(x, edges, task=1).argmax(dim=1) == y + 2).all())
    tokens = tpp.prompt[1].tokens.detach().clone()
    fresh = learned(1)
    torch.manual_seed(1)
    fresh.add_task(x, edges, classes=2)
    assert (tokens - fresh.prompt[1].tokens).abs().max() > 0.1


def test_the_contrast_is_that_of_the_paper() -> None:
    """GRACE's loss with sums over nodes, where no view loses anything."""
    data = graph()
    tpp = TPP(network(), 5, 6, drop_edge=0.0, drop_feature=0.0, temperature=0.7).double()
    z = tpp.project(tpp.model(data.x, data.edge_index))
    z = z / z.norm(dim=1, keepdim=True)
    alike = ((z @ z.t()) / 0.7).exp()
    losses = []
    for i in range(12):
        others = sum(2 * alike[i, k] for k in range(12) if k != i)
        losses.append(-(alike[i, i] / (alike[i, i] + others)).log())
    torch.testing.assert_close(tpp.contrast(data.x, data.edge_index), torch.stack(losses).mean())


def test_views_differ_and_pre_training_lowers_the_contrast() -> None:
    data, tpp = graph(), TPP(network(), 5, 6).double()
    torch.manual_seed(0)
    assert not torch.equal(*(tpp.view(data.x, data.edge_index) for _ in range(2)))
    optimizer = torch.optim.Adam(tpp.parameters(), lr=0.01)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = tpp.contrast(data.x, data.edge_index)
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert sum(values[-10:]) < sum(values[:10])


def test_a_saved_model_answers_as_before_and_goes_on() -> None:
    tpp, data = learned(3), graph()
    file = io.BytesIO()
    torch.save(tpp.state_dict(), file)
    file.seek(0)
    fresh = TPP(network(), 5, 6).double()
    fresh.load_state_dict(torch.load(file, weights_only=True))
    for shift in (0, 3, 6):
        expected = tpp.eval()(data.x + shift, data.edge_index)
        assert torch.equal(fresh.eval()(data.x + shift, data.edge_index), expected)
    trained = {name for name, p in fresh.named_parameters() if p.requires_grad}
    assert trained == {name for name, p in tpp.named_parameters() if p.requires_grad}
    learn(fresh, data.x + 9, data.edge_index, data.y % 2)
    assert fresh.tasks == 4
    assert tpp.tasks == 3
    twin = copy.deepcopy(tpp)
    twin.add_task(data.x + 9, data.edge_index, classes=1)
    assert (tpp.classes, twin.classes) == ([2, 2, 2], [2, 2, 2, 1])
    assert len(tpp.profiles) == 3


def test_errors_name_the_argument() -> None:
    data, tpp = graph(), TPP(network(), 5, 6).double()
    with pytest.raises(TypeError, match="'model'"):
        TPP("GCN", 5, 6)
    with pytest.raises(TypeError, match=r"write Linear"):
        TPP(nn.Linear, 5, 6)
    for name, value in (
        ("in_channels", 0),
        ("prompts", 0),
        ("samples", 1),
        ("temperature", 0.0),
        ("drop_edge", 1.0),
        ("drop_feature", -0.1),
        ("steps", -1),
    ):
        options = {"in_channels": 5, "hidden_channels": 6, name: value}
        with pytest.raises(ValueError, match=rf"'{name}'.*{value}"):
            TPP(network(), **options)
    with pytest.raises(ValueError, match="no task yet"):
        tpp(data.x, data.edge_index)
    for kwargs, message in (({"classes": 0}, "'classes'"), ({"classes": 2}, "'x' must be")):
        with pytest.raises(ValueError, match=message):
            tpp.add_task(data.x[:, :4], data.edge_index, **kwargs)
    with pytest.raises(TypeError, match="'classes' must be a whole number"):
        tpp.add_task(data.x, data.edge_index, classes=2.5)
    assert len(tpp.profiles) == tpp.tasks == 0
    assert all(parameter.requires_grad for parameter in tpp.parameters())
    tpp.add_task(data.x, data.edge_index, classes=2)
    with pytest.raises(ValueError, match="before the first task"):
        tpp.contrast(data.x, data.edge_index)
    with pytest.raises(ValueError, match="'task' must be between 0 and 0, got 1"):
        tpp(data.x, data.edge_index, task=1)
