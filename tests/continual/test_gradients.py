"""Gradients per sample against a loop, and draws of samples."""

from __future__ import annotations

import pytest
import torch

from graphkit.continual.gradients import draw, mean_gradient, sample_gradients
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
    for one, gradient in zip(wanted, found.values(), strict=True):
        torch.testing.assert_close(gradient, one)


def test_draw_takes_all_or_a_seeded_part() -> None:
    assert torch.equal(draw(5, None, 0), torch.arange(5))
    assert torch.equal(draw(5, 9, 0), torch.arange(5))
    part = draw(100, 10, 3)
    assert part.unique().numel() == 10
    assert torch.equal(part, draw(100, 10, 3))
    assert not torch.equal(part, draw(100, 10, 4))
