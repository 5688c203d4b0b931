"""Losses of adversarial pairs: values by hand, derivatives, the symmetric ones."""

import math

import pytest
import torch

from graphkit.train import GANLoss, gan_loss
from graphkit.train.gan_losses import GAN_LOSSES

VALUES = {
    "bce": (math.log1p(math.exp(-2)), math.log1p(math.exp(-1)), math.log1p(math.exp(1))),
    "saturating": (math.log1p(math.exp(-2)), math.log1p(math.exp(-1)), -math.log1p(math.exp(-1))),
    "lsgan": (0.5, 0.5, 2.0),
    "hinge": (0.0, 0.0, 1.0),
    "wgan": (-2.0, -1.0, 1.0),
}


@pytest.mark.parametrize("name", GAN_LOSSES)
def test_values_by_hand(name):
    loss, real, fake = gan_loss(name), torch.tensor([2.0]), torch.tensor([-1.0])
    found = loss.real(real), loss.fake(fake), loss.generator(fake)
    assert [float(value) for value in found] == pytest.approx(VALUES[name], abs=1e-6)
    both = loss.discriminator(real, fake)
    assert float(both) == pytest.approx(VALUES[name][0] + VALUES[name][1], abs=1e-6)


@pytest.mark.parametrize("name", GAN_LOSSES)
def test_symmetric_means_what_one_climbs_the_other_descends(name):
    scores = torch.linspace(-5, 5, 40)
    theirs, ours = gan_loss(name).seeds(scores)
    assert torch.allclose(theirs, -ours) == gan_loss(name).symmetric


def test_the_ratio_of_bce_is_minus_the_exponential():
    scores = torch.linspace(-9, 9, 30, dtype=torch.float64)
    theirs, ours = gan_loss("bce").seeds(scores)
    torch.testing.assert_close(ours / theirs, -torch.exp(-scores), rtol=1e-12, atol=0)


def test_seeds_in_no_grad_and_of_one_own_loss():
    own = GANLoss("own", torch.square, torch.exp, lambda s: s.pow(3))
    with torch.no_grad():
        theirs, ours = gan_loss(own).seeds(torch.tensor([0.0, 2.0]))
    assert theirs.tolist() == pytest.approx([1.0, math.exp(2)])
    assert ours.tolist() == pytest.approx([0.0, 12.0])


def test_no_score_counts_as_zero_and_extreme_ones_are_finite():
    empty = torch.empty(0)
    for loss in GAN_LOSSES.values():
        assert float(loss.discriminator(empty, empty)) == 0.0
        for value in (-80.0, 80.0):
            scores = torch.tensor([value])
            assert loss.discriminator(scores, scores).isfinite()
            assert all(seed.isfinite().all() for seed in loss.seeds(scores))


def test_unknown_losses_are_refused():
    with pytest.raises(ValueError, match=r"'loss' must be one of .*'hinge'.* got 'hing'"):
        gan_loss("hing")
