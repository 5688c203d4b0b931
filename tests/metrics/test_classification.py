import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

import graphkit.train
from graphkit.metrics import accuracy, micro_f1
from tests.spoiled import spoiled


def test_there_is_one_accuracy():
    assert graphkit.train.accuracy is accuracy


def test_accuracy_equals_scikit_learn():
    out, y = torch.randn(50, 4), torch.randint(4, (50,))
    assert float(accuracy(out, y)) == pytest.approx(accuracy_score(y, out.argmax(1)))


@pytest.mark.parametrize("shapes", [((3,), (3,)), ((3, 2), (2,)), ((0, 2), (0,))])
def test_accuracy_refuses_wrong_shapes(shapes):
    with pytest.raises(ValueError, match="'out' must be"):
        accuracy(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


def test_accuracy_does_not_broadcast_labels_of_one_column():
    """A perfect prediction scored 1/3 while [3] was compared with [3, 1]."""
    y = torch.arange(3)
    assert accuracy(torch.eye(3), y) == 1.0
    with pytest.raises(ValueError, match=r"\[3, 3\], \[3, 1\]; use y.view\(-1\)"):
        accuracy(torch.eye(3), y[:, None])


def test_accuracy_refuses_nan():
    with pytest.raises(ValueError, match="'out' holds NaN"):
        accuracy(torch.tensor([[1.0, torch.nan]]), torch.tensor([1]))


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_micro_f1_equals_scikit_learn(threshold):
    out, y = torch.randn(40, 7), torch.randint(2, (40, 7))
    expected = f1_score(y.numpy(), (out > threshold).numpy(), average="micro")
    assert float(micro_f1(out, y, threshold)) == pytest.approx(expected)


def test_micro_f1_of_nothing_predicted_and_nothing_right_is_zero():
    assert micro_f1(-torch.ones(2, 3), torch.zeros(2, 3)) == 0.0


def test_micro_f1_refuses_what_is_no_label_and_nan():
    with pytest.raises(ValueError, match="0 and 1"):
        micro_f1(torch.zeros(1, 1), torch.full((1, 1), 2))
    with pytest.raises(ValueError, match="NaN"):
        micro_f1(spoiled((1, 1)), torch.ones(1, 1))
    with pytest.raises(ValueError, match=r"must both be \[n, C\]"):
        micro_f1(torch.zeros(2, 1), torch.zeros(1, 2))


def test_micro_f1_leaves_out_what_is_not_known():
    out, y = torch.randn(20, 5), torch.randint(2, (20, 5)).float()
    y[torch.rand(20, 5) < 0.3] = torch.nan
    y[3] = torch.nan
    known = ~y.isnan()
    expected = f1_score(y[known].numpy(), (out[known] > 0).numpy())
    assert float(micro_f1(out, y)) == pytest.approx(expected)
    with pytest.raises(ValueError, match="holds no label"):
        micro_f1(out, torch.full_like(y, torch.nan))
