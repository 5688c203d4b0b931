import pytest
import torch

from graphkit.nn.straight_through import gumbel, straight_through


def test_forward_is_one_hot_and_gradient_that_of_the_soft_path():
    logits = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 5, dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    hard = straight_through(logits, 0.7, generator=generator)
    assert ((hard == 0) | (hard - 1).abs().lt(1e-12)).all()
    assert hard.sum(1).tolist() == pytest.approx([1.0] * 6)
    (grad,) = torch.autograd.grad((hard * weight).sum(), logits)
    noise = gumbel(logits.detach(), torch.Generator().manual_seed(3))
    step = 1e-6
    for place in [(0, 0), (2, 3), (5, 4)]:
        moved = []
        for sign in (1, -1):
            shifted = logits.detach().clone()
            shifted[place] += sign * step
            moved.append((((shifted + noise) / 0.7).softmax(1) * weight).sum())
        slope = (moved[0] - moved[1]) / (2 * step)
        assert float(grad[place]) == pytest.approx(float(slope), abs=1e-6)


def test_samples_follow_the_softmax():
    logits = torch.tensor([0.0, 1.0, -1.0]).expand(20_000, 3)
    share = straight_through(logits).mean(0)
    assert (share - logits[0].softmax(0)).abs().max() < 0.02


def test_without_sampling_the_largest_wins():
    logits = torch.randn(10, 4)
    assert torch.equal(straight_through(logits, sample=False).argmax(1), logits.argmax(1))


def test_noise_is_finite_in_every_precision():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        logits = torch.zeros(10_000, 2, dtype=dtype)
        noise = gumbel(logits)
        assert noise.isfinite().all()
        assert noise.dtype == straight_through(logits).dtype == dtype


def test_temperature_must_be_positive():
    with pytest.raises(ValueError, match="'temperature' must be positive, got 0"):
        straight_through(torch.zeros(2), 0)
