"""Gradients per sample against a loop, and draws of samples."""

from __future__ import annotations

import pytest
import torch

from graphkit.continual.gradients import draw, gradient, mean_gradient, sample_gradients, zeros
from tests.continual.problems import backbone, graph, losses_of_task


@pytest.mark.parametrize("name", ["GCN", "GAT", "GIN", "GraphSAGE"])
@pytest.mark.parametrize("chunk", [1, 4])
def test_sample_gradients_equal_one_backward_per_sample(name: str, chunk: int) -> None:
    model = backbone(name).eval()
    losses = losses_of_task(graph(), 0)(model)
    parameters = dict(model.named_parameters())
    chunks = list(sample_gradients(losses, parameters, chunk))
    for i, loss in enumerate(losses):
        wanted = torch.autograd.grad(
            loss,
            list(parameters.values()),
            retain_graph=True,
            materialize_grads=True,
            allow_unused=True,
        )
        for one, found in zip(wanted, chunks[i // chunk].values(), strict=True):
            torch.testing.assert_close(found[i % chunk], one)


def test_mean_gradient_weighs_batches_by_their_samples() -> None:
    model = backbone().eval()
    first, second = losses_of_task(graph(), 0), losses_of_task(graph(8, seed=4), 1)
    parameters = dict(model.named_parameters())
    found = mean_gradient(model, [first, second], parameters)
    joint = torch.cat([first(model), second(model)]).mean()
    wanted = torch.autograd.grad(joint, list(parameters.values()))
    for one, other in zip(wanted, found.values(), strict=True):
        torch.testing.assert_close(other, one)


def test_draw_takes_all_or_a_seeded_part() -> None:
    assert torch.equal(draw(5, None, 0), torch.arange(5))
    assert torch.equal(draw(5, 9, 0), torch.arange(5))
    part = draw(100, 10, 3)
    assert part.unique().numel() == 10
    assert torch.equal(part, draw(100, 10, 3))
    assert not torch.equal(part, draw(100, 10, 4))


def test_a_graph_is_freed_unless_it_is_kept() -> None:
    model = backbone().eval()
    parameters = dict(model.named_parameters())
    value = losses_of_task(graph(), 0)(model).sum()
    first = gradient(value, parameters, retain_graph=True)
    second = gradient(value, parameters)
    for one, other in zip(first.values(), second.values(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(RuntimeError, match="second time"):
        gradient(value, parameters)


def test_parameters_that_a_loss_does_not_reach_have_zeros() -> None:
    used, unused = (torch.ones(2, requires_grad=True) for _ in range(2))
    parameters = {"used": used, "unused": unused}
    assert gradient((2 * used).sum(), parameters)["unused"].tolist() == [0, 0]
    (chunk,) = sample_gradients(2 * used, parameters, 4)
    assert chunk["used"].tolist() == [[2, 0], [0, 2]]
    assert chunk["unused"].tolist() == [[0, 0], [0, 0]]
    with pytest.raises(ValueError, match="all of them are frozen"):
        gradient(used.sum(), {})
    assert zeros({"half": used.detach().half()})["half"].dtype == torch.float32


def test_a_part_may_be_all() -> None:
    assert torch.equal(draw(5, 5, 0), torch.arange(5))
    assert draw(5, 4, 0).unique().numel() == 4
