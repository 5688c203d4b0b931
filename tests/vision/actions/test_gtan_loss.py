"""The objective of GTAN; kernels that learn the widths of actions through it."""

import math

import pytest
import torch

from graphkit.metrics import spearman
from graphkit.vision import GTAN, AherLoss, GTANLoss, segment_iou
from graphkit.vision.actions.anchors import pad_actions
from graphkit.vision.actions.gtan import Proposals

TRUTH = [
    (torch.tensor([[0.1, 0.3], [0.5, 0.9]]), torch.tensor([0, 2])),
    (torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)),
]


def problem():
    torch.manual_seed(0)
    return GTAN(6, num_classes=3, channels=8, num_levels=3), torch.rand(2, 6, 16)


def test_every_action_has_a_positive_and_nothing_else_is_forced():
    model, x = problem()
    found, loss = model(x), GTANLoss()
    segments, classes = pad_actions(TRUTH, found.centre, found.logits.size(2) - 1)
    assert classes.tolist() == [[0, 2, 3], [3, 3, 3]]
    hit, best, which = loss.match(found, segments)
    assert set(which[0, hit[0]].tolist()) == {0, 1}
    assert (hit >= (best >= 0.5)).all()
    assert int((hit & (best < 0.5)).sum()) <= 2
    assert not hit[1].any()


def test_matches_are_those_of_a_loop():
    model, x = problem()
    with torch.no_grad():
        found = model(x)
    loss = GTANLoss(positive=0.3)
    truth = [TRUTH[0], (torch.tensor([[0.2, 0.5]]), torch.tensor([1]))]
    hit, best, which = loss.match(found, pad_actions(truth, found.centre, 0)[0])
    for i, (segments, _) in enumerate(truth):
        overlap = torch.zeros(found.centre.size(1), len(segments))
        for a in range(len(overlap)):
            low = found.centre[i, a] - found.width[i, a] / 2
            high = found.centre[i, a] + found.width[i, a] / 2
            for k, (start, end) in enumerate(segments):
                shared = max(float(min(high, end) - max(low, start)), 0.0)
                union = float(high - low + end - start) - shared
                overlap[a, k] = shared / union if found.valid[i, a] else 0.0
        wanted = overlap.max(1).values >= 0.3
        wanted[overlap.argmax(0)] = True
        assert torch.equal(hit[i], wanted)
        assert torch.allclose(best[i], overlap.max(1).values, atol=1e-5)
        ours = overlap[torch.arange(len(overlap)), which[i].clamp(max=len(segments) - 1)]
        assert torch.allclose(ours[hit[i]], best[i, hit[i]], atol=1e-5)


def proposal(width, segment):
    """One anchor of one video whose decoded segment is given."""
    width, centre = torch.tensor([[width]]), torch.tensor([[0.5]])
    middle, length = (segment[0] + segment[1]) / 2, segment[1] - segment[0]
    offsets = torch.stack([(middle - centre) / width, (length / width).log()], -1) / 0.1
    some = torch.ones(1, 1)
    return Proposals(
        *(centre, width, torch.zeros(1, 1, 4), offsets, some, some.unsqueeze(2), width / 2),
        *(torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long), some.bool()),
    )


def test_a_wide_kernel_is_no_excuse_for_a_wrong_segment():
    truth = [(torch.tensor([[0.4, 0.6]]), torch.tensor([1]))]
    only = {"overlap": 0.0, "negatives": 0.0}
    losses = []
    for width in (0.05, 0.2, 0.4, 1.0):
        found = proposal(width, torch.tensor([0.35, 0.6]))
        whole = GTANLoss(**only)(found, truth)
        losses.append(float(whole - GTANLoss(location=0.0, **only)(found, truth)))
    wrong = torch.tensor([0.025 / 0.1 / 0.2, math.log(0.25 / 0.2) / 0.1])
    assert losses == pytest.approx([0.5 * float((wrong - 0.5).sum())] * 4, rel=1e-4)


@pytest.mark.parametrize("width", [0.1, 0.3, 0.9])
def test_kernels_are_drawn_to_the_width_of_the_action(width):
    truth = [(torch.tensor([[0.35, 0.65]]), torch.tensor([1]))]
    found = proposal(width, torch.tensor([0.5 - width / 2, 0.5 + width / 2]))
    found.width.requires_grad_()
    GTANLoss()(found, truth).backward()
    assert float(found.width.grad) * (width - 0.3) >= 0
    assert (abs(float(found.width.grad)) < 1e-4) == (width == 0.3)


def videos(count):
    """Videos of 64 frames, each with one action of 6 to 40 frames."""
    x, truth = 0.3 * torch.randn(count, 4, 64), []
    for i in range(count):
        length = 6 * (40 / 6) ** float(torch.rand(1))
        start = float(torch.rand(1)) * (64 - length)
        x[i, :2, int(start) : int(start + length)] += 1
        truth.append((torch.tensor([[start, start + length]]) / 64, torch.tensor([0])))
    return x, truth


def test_kernels_learn_the_widths_of_actions_and_do_not_blow_up():
    torch.manual_seed(0)
    model, (x, truth) = GTAN(4, num_classes=1, channels=16, num_levels=2), videos(96)
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    for _ in range(12):
        for chosen in torch.randperm(len(x)).split(16):
            optimizer.zero_grad()
            GTANLoss()(model(x[chosen]), [truth[i] for i in chosen]).backward()
            optimizer.step()
    x, truth = videos(60)
    segments = torch.cat([pair[0] for pair in truth])
    with torch.no_grad():
        sigma = model.sigma(model.pyramid(x)[0], 0)
    under = (segments.mean(1) * sigma.size(1)).long().unsqueeze(1)
    width = 2 * sigma.gather(1, under).squeeze(1)
    assert spearman(width, segments[:, 1] - segments[:, 0]) > 0.6
    assert width.max() < 0.75


def test_the_scale_gets_a_gradient_from_the_boundaries():
    model, _ = problem()
    x = torch.rand(2, 6, 32)
    only_location = GTANLoss(overlap=0.0)(model(x), TRUTH) - GTANLoss(location=0.0, overlap=0.0)(
        model(x), TRUTH
    )
    only_location.backward()
    for conv in model.scale:
        assert conv.bias.grad.abs() > 0


def test_videos_without_action_give_a_finite_loss():
    model, x = problem()
    loss = GTANLoss()(model(x), [TRUTH[1], TRUTH[1]])
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_training_learns_a_video_by_heart():
    model, x = problem()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = GTANLoss()(model(x), TRUTH)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    segments, actions, scores = model.eval().detect(x[:1])[0]
    best = scores.argsort(descending=True)[:1]
    assert segment_iou(segments[best], TRUTH[0][0]).max() > 0.5
    assert actions[best].item() in TRUTH[0][1].tolist()


@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_kernels_and_offsets_gone_astray_give_finite_gradients(extreme):
    model, x = problem()
    for conv in model.scale:
        torch.nn.init.constant_(conv.bias, extreme)
    torch.nn.init.constant_(model.head.bias, extreme)
    loss = GTANLoss()(model(x), TRUTH)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_numbers_of_videos_must_agree():
    model, x = problem()
    with pytest.raises(ValueError, match="truth"):
        GTANLoss()(model(x), TRUTH[:1])


def test_actions_must_have_a_length():
    model, x = problem()
    point = torch.tensor([[0.2, 0.2]]), torch.tensor([1])
    with pytest.raises(ValueError, match="no length in video 1"):
        GTANLoss()(model(x), [TRUTH[0], point])


@pytest.mark.parametrize("kind", [-100, 2])
@pytest.mark.parametrize("loss", [GTANLoss(), AherLoss()])
def test_a_class_that_is_none_is_refused(kind, loss):
    proposals = GTAN(8, num_classes=2, num_levels=2)(torch.rand(1, 8, 16))
    with pytest.raises(ValueError, match="'truth' must be from 0 to 1"):
        loss(proposals, [(torch.tensor([[0.2, 0.6]]), torch.tensor([kind]))])
