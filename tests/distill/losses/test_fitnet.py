"""The regressor of FitNet."""

import numpy as np
import pytest
import torch

from graphkit.distill import FitNetLoss
from tests.distill.suites import LossSuite


class TestContract(LossSuite):
    not_claimed = {**LossSuite.not_claimed, "zero_at_identity": "the regressor is drawn at random"}

    def loss(self):
        return FitNetLoss(self.width, self.width)


def test_value_by_hand():
    loss = FitNetLoss(3, 2)
    student, teacher = torch.randn(4, 3), torch.randn(4, 2)
    guess = student.numpy() @ loss.regressor.weight.detach().numpy().T
    guess = guess + loss.regressor.bias.detach().numpy()
    wanted = np.mean((guess - teacher.numpy()) ** 2)
    assert loss(student, teacher).item() == pytest.approx(wanted, rel=1e-5)


def test_lazy_width_and_state():
    lazy = FitNetLoss(-1, 2)
    student, teacher = torch.randn(4, 3), torch.randn(4, 2)
    value = lazy(student, teacher)
    other = FitNetLoss(3, 2)
    other.load_state_dict(lazy.state_dict())
    assert other(student, teacher) == value
    other.reset_parameters()
    assert other(student, teacher) != value


def test_wrong_width_is_named():
    with pytest.raises(ValueError, match="in_channels is 3"):
        FitNetLoss(3, 2)(torch.randn(4, 5), torch.randn(4, 2))
