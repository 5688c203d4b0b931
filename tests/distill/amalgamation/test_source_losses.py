"""Losses of one source against sums written out, sample by sample."""

import math

import pytest
import torch

from graphkit.distill.amalgamation.source_losses import (
    ProjectedFeatureLoss,
    ScaledLogitLoss,
    entropy,
    project,
    shared,
)


def test_entropy_by_hand():
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0], [1e4, 0.0]])
    wanted = [math.log(2), -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), 0.0]
    assert entropy(logits).tolist() == pytest.approx(wanted, abs=1e-6)
    assert entropy(logits.half()).dtype == torch.float32


def test_errors_are_averaged_or_shared():
    errors = torch.tensor([1.0, 5.0])
    assert shared(errors, None) == 3.0
    assert shared(errors, torch.tensor([0.5, 0.1])) == 1.0
    assert shared(errors[:0], None) == 0.0


def test_logits_are_scaled_by_a_number_that_is_learned():
    student, teacher = torch.tensor([[1.0, 2.0], [0.0, 4.0]]), torch.tensor([[3.0, 2.0], [1.0, 1]])
    loss = ScaledLogitLoss()
    assert loss.scale.requires_grad
    assert not ScaledLogitLoss(learned=False).scale.requires_grad
    assert loss(student, teacher) == (4 / 2 + 10 / 2) / 2
    with torch.no_grad():
        loss.scale.fill_(2.0)
    # 2 s - t: -1, 2 and -1, 7.
    assert loss(student, teacher, torch.tensor([1.0, 0.5])) == 2.5 + 0.5 * 25


@pytest.mark.parametrize(
    ("options", "widths", "source"),
    [
        ({}, (2, 3), (2, 4)),
        ({"both": False}, (4, 3), None),
        ({"both": True, "source_channels": 1}, (1, 3), (1, 1)),
    ],
)
def test_widths_of_the_projections(options, widths, source):
    loss = ProjectedFeatureLoss(**{"in_channels": 3, "source_channels": 4, **options})
    assert loss.student.weight.shape == widths
    assert (loss.source and loss.source.weight.shape) == source
    assert loss.student.bias is None
    assert loss.source is None or loss.source.bias is None


def test_projected_features_by_hand():
    loss = ProjectedFeatureLoss(3, 4)
    x, y = torch.rand(5, 3), torch.rand(5, 4)
    errors = (x @ loss.student.weight.t() - y @ loss.source.weight.t()).square().mean(1)
    assert torch.allclose(loss(x, y), errors.mean())
    share = torch.rand(5)
    assert torch.allclose(loss(x, y, share), (errors * share).sum())
    alone = ProjectedFeatureLoss(3, 4, both=False)
    assert torch.allclose(alone(x, y), (x @ alone.student.weight.t() - y).square().mean())


def test_maps_are_brought_to_one_size():
    loss = ProjectedFeatureLoss(3, 4)
    x, y = torch.rand(2, 3, 2, 3), torch.rand(2, 4, 4, 6)
    small = torch.nn.functional.avg_pool2d(y, 2)
    ours = torch.einsum("oc,nchw->nohw", loss.student.weight, x)
    theirs = torch.einsum("oc,nchw->nohw", loss.source.weight, small)
    assert torch.allclose(loss(x, y), (ours - theirs).square().mean(), atol=1e-6)
    assert torch.allclose(project(x, loss.student.weight), ours, atol=1e-6)


def test_filters_of_the_source_begin_at_length_one():
    loss = ProjectedFeatureLoss(3, 4)
    assert torch.allclose(loss.source.weight.norm(dim=1), torch.ones(2))
    assert loss.norm_penalty() < 1e-10
    with torch.no_grad():
        loss.source.weight[0] *= 2
    # One filter of squared length 4, one of 1.
    assert loss.norm_penalty().item() == pytest.approx(9 / 2)
    before = loss.student.weight.clone()
    loss.reset_parameters()
    assert loss.norm_penalty() < 1e-10
    assert not torch.equal(before, loss.student.weight)


def test_exact_filters_are_of_length_one_at_all_times():
    loose, exact = ProjectedFeatureLoss(3, 4), ProjectedFeatureLoss(3, 4, exact=True)
    exact.load_state_dict(loose.state_dict())
    x, y = torch.rand(5, 3), torch.rand(5, 4)
    before = loose(x, y)
    with torch.no_grad():
        exact.source.weight *= 3
        loose.source.weight *= 3
    assert torch.allclose(exact(x, y), before)
    assert not torch.allclose(loose(x, y), before)
    assert (exact.norm_penalty(), ProjectedFeatureLoss(3, 4, both=False).norm_penalty()) == (0, 0)


def test_half_logits_far_apart():
    student, teacher = torch.full((3, 2), 200.0).half(), torch.full((3, 2), -50.0).half()
    assert ScaledLogitLoss()(student, teacher).item() == 62_496
    loss = ProjectedFeatureLoss(2, 2, both=False)
    torch.nn.init.eye_(loss.student.weight)
    assert loss.half()(student, teacher).item() == 62_496
