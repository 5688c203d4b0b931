"""Every strategy with a binary cross entropy of several labels, some missing, in batches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.continual import EWC, GEM, MAS, TWP, FineTune, JointTrain, LwF, Strategy
from graphkit.continual.loss_structure import structure
from graphkit.datasets import LabelSequence, masked_bce
from tests.continual.problems import backbone, wander

STRATEGIES = {
    "TWP": lambda model: TWP(model, 10.0, 0.1, relative=True),
    "TWP with beta": lambda model: TWP(model, 10.0, 0.1, beta=1e-3, relative=True),
    "EWC": lambda model: EWC(model, 10.0),
    "MAS": MAS,
    "GEM": GEM,
    "LwF": lambda model: LwF(model, multi_label=True),
    "JointTrain": JointTrain,
}


def tasks(batch_size: int | None = 2) -> LabelSequence:
    """Two tasks of two labels on six graphs whose features tell the labels."""
    generator = torch.Generator().manual_seed(0)
    graphs = []
    for _ in range(6):
        x = torch.randn(8, 5, generator=generator, dtype=torch.float64)
        edge_index = torch.randint(8, (2, 20), generator=generator)
        y = (x[:, :4] > 0).float()
        y[torch.rand(8, 4, generator=generator) < 0.2] = torch.nan
        graphs.append(Data(x=x, edge_index=edge_index, y=y))
    parts = {"train": graphs[:4], "val": [], "test": graphs[4:]}
    return LabelSequence(parts, 2, level="node", batch_size=batch_size, label_order=range(4))


def learn(model: nn.Module, strategy: Strategy, steps: int = 40) -> Tensor:
    """The training losses of both tasks after each of them."""

    def loss_of(out: Tensor, y: Tensor) -> Tensor:
        return masked_bce(out, y).mean()

    rows, stream = [], tasks()
    for task in stream:
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        shown = task.batches["train"]
        for step in range(steps):
            batch = shown[step % 2]
            optimizer.zero_grad()
            loss = batch.loss(model)
            (loss + strategy.penalty(loss, batch.output)).backward()
            strategy.before_step()
            optimizer.step()
        strategy.finish_task([b.losses for b in shown], [b.output for b in shown], task.columns)
        rows.append(stream.evaluate(model, split="train", metric=loss_of))
    return torch.stack(rows)


@pytest.fixture(scope="module")
def forgotten() -> Tensor:
    """What fine-tuning comes to."""
    model = backbone("GraphSAGE")
    return learn(model, FineTune(model))


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "GEM"])
def test_every_strategy_learns_labels_and_keeps_them(name: str, forgotten: Tensor) -> None:
    model = backbone("GraphSAGE")
    strategy = STRATEGIES[name](model)
    losses = learn(model, strategy)
    assert strategy.tasks == 2
    assert losses[0, 0] < 0.4
    assert losses[1, 1] < losses[0, 1]
    assert losses[1, 0] < 0.8 * forgotten[1, 0]


def test_gem_does_not_step_against_earlier_labels() -> None:
    model = backbone("GraphSAGE")
    first, second = tasks()
    shown = first.batches["train"]
    gem = GEM(model)
    gem.finish_task([batch.losses for batch in shown])
    parameters = list(model.parameters())
    past = torch.cat([g.view(-1) for g in torch.autograd.grad(first.loss(model), parameters)])
    for sign in (1.0, -1.0):
        model.zero_grad()
        (second.batches["train"][0].loss(model) + 2 * sign * first.loss(model)).backward()
        before = torch.cat([p.grad.view(-1) for p in parameters])
        gem.before_step()
        after = torch.cat([p.grad.view(-1) for p in parameters])
        assert torch.equal(before, after) == (sign > 0)
        assert torch.dot(after, past) > -1e-6 * past.square().sum()
        assert (torch.dot(before, past) > 0) == (sign > 0)


@pytest.mark.parametrize("name", ["TWP", "EWC", "MAS", "LwF"])
def test_a_penalty_is_zero_where_the_task_ended_and_positive_elsewhere(name: str) -> None:
    model, task = backbone("GAT"), tasks()[0]
    strategy = STRATEGIES[name](model)
    shown = task.batches["train"]
    strategy.finish_task([b.losses for b in shown], [b.output for b in shown], task.columns)
    output = tasks()[1].batches["train"][0].output
    assert strategy.penalty(None, output).abs() < 1e-12
    wander(model)
    assert strategy.penalty(None, output) > 1e-6


def test_penalties_of_label_gradients_equal_those_of_one_batch() -> None:
    """Importance does not depend on how the samples are batched, that of the topology included."""
    model = backbone("GIN")
    for make in (
        lambda model: TWP(model, 10.0, 0.1, relative=True),
        lambda model: TWP(model, 10.0, 0.1),
        lambda model: EWC(model, 10.0),
        MAS,
    ):
        found = []
        for size in (None, 2, 1):
            task, strategy = tasks(size)[0], make(model)
            shown = task.batches["train"]
            strategy.finish_task([b.losses for b in shown], [b.output for b in shown], task.columns)
            found.append(strategy.quadratic.weight)
        for other in found[1:]:
            for name, value in found[0].items():
                torch.testing.assert_close(other[name], value, rtol=1e-8, atol=1e-10)


def test_relative_topology_of_batches_is_the_gradient_of_the_log_of_their_sum() -> None:
    model, task = backbone("GIN"), tasks(1)[0]
    twp = TWP(model, 0.0, 1.0, relative=True)
    twp.finish_task([batch.losses for batch in task.batches["train"]])
    energies = []
    for batch in task.batches["train"]:
        with structure(model) as found:
            batch.losses(model)
        energies += [scores.energy() for scores in found.scores()]
    names = [name for name, _ in model.named_parameters()]
    total = torch.stack(energies).sum().log()
    expected = torch.autograd.grad(
        total, list(model.parameters()), allow_unused=True, materialize_grads=True
    )
    for name, value in zip(names, expected, strict=True):
        torch.testing.assert_close(twp.quadratic.weight[name], value.abs())


def test_lwf_compares_labels_one_by_one() -> None:
    """The divergence of Bernoulli variables, against torch.distributions."""
    x = torch.randn(5, 3, dtype=torch.float64)
    model = nn.Linear(3, 4).double()
    lwf = LwF(model, weight=2.0, temperature=3.0, multi_label=True)
    old = model(x).detach()
    lwf.finish_task(lambda model: model(x).sum(dim=1), columns=torch.tensor([1]))
    lwf.finish_task(lambda model: model(x).sum(dim=1), columns=torch.tensor([2, 3]))
    with torch.no_grad():
        model.weight.add_(0.5)
    expected = 0.0
    for columns in ([1], [2, 3]):
        before, after = (
            torch.distributions.Bernoulli(logits=z[:, columns] / 3.0) for z in (old, model(x))
        )
        expected += torch.distributions.kl_divergence(before, after).mean()
    penalty = lwf.penalty(None, lambda model: model(x))
    torch.testing.assert_close(penalty, 2.0 * expected)
    penalty.backward()
    assert model.weight.grad[1].abs().sum() > 0
    assert model.weight.grad[0].abs().sum() == 0
