import pytest
import torch

from graphkit.vision import GTAN, GTANLoss, segment_iou

TRUTH = [
    (torch.tensor([[0.1, 0.3], [0.5, 0.9]]), torch.tensor([0, 2])),
    (torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)),
]


def problem():
    torch.manual_seed(0)
    return GTAN(6, num_classes=3, channels=8, num_levels=3), torch.rand(2, 6, 16)


def test_every_action_has_a_positive_and_nothing_else_is_forced():
    model, x = problem()
    found = model(x)
    hit, best, which = GTANLoss().match(found, 0, TRUTH[0][0])
    assert set(which[hit].tolist()) == {0, 1}
    assert (hit >= (best >= 0.5)).all()
    forced = hit & (best < 0.5)
    assert int(forced.sum()) <= 2
    assert not GTANLoss().match(found, 1, TRUTH[1][0])[0].any()


def test_the_scale_gets_a_gradient_from_the_boundaries():
    model, x = problem()
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


def test_numbers_of_videos_must_agree():
    model, x = problem()
    with pytest.raises(ValueError, match="truth"):
        GTANLoss()(model(x), TRUTH[:1])
