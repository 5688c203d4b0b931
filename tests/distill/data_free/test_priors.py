"""Priors on generated samples, by hand."""

import math

import pytest
import torch

from graphkit.distill.data_free.priors import activation, one_hot


def test_one_hot_is_the_mean_surprise_of_the_largest():
    logits = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]).log()
    expected = -(math.log(0.7) + math.log(0.8)) / 2
    assert float(one_hot(logits)) == pytest.approx(expected, abs=1e-6)
    assert float(one_hot(torch.zeros(3, 4))) == pytest.approx(math.log(4))
    assert float(one_hot(logits[:, :, None])) == pytest.approx(expected, abs=1e-6)
    sharper = (2 * logits).requires_grad_()
    one_hot(sharper).backward()
    assert sharper.grad[0].argmin() == 0
    assert one_hot(2 * logits) < one_hot(logits)


def test_activation_falls_as_features_grow():
    features = torch.tensor([[1.0, -3.0], [0.0, 2.0]], requires_grad=True)
    value = activation(features)
    assert float(value.detach()) == -1.5
    value.backward()
    assert features.grad.tolist() == [[-0.25, 0.25], [0.0, -0.25]]
