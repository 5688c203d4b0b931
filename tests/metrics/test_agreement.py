import pytest
import torch

from graphkit.metrics import intraclass_correlation


def test_the_published_example():
    """Table 2 of Shrout and Fleiss: six targets, four judges, ICC(3,1) = .71."""
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    assert intraclass_correlation(torch.tensor(ratings).double()) == pytest.approx(0.7148, abs=1e-4)


def test_two_raters_by_hand():
    """Of two raters it is twice the covariance over the sum of the variances."""
    pair = torch.tensor([[1.0, 2.0], [2.0, 2.0], [3.0, 5.0], [4.0, 3.0], [5.0, 7.0]]).double()
    cov = torch.cov(pair.t())
    assert intraclass_correlation(pair) == pytest.approx(float(2 * cov[0, 1] / cov.trace()))


def test_a_constant_shift_is_agreement_and_a_factor_is_not():
    truth = torch.randn(200)
    assert intraclass_correlation(torch.stack([truth, truth - 4], 1)) == pytest.approx(1)
    assert intraclass_correlation(torch.stack([truth, 3 * truth], 1)) == pytest.approx(
        0.6, abs=1e-5
    )
    assert intraclass_correlation(torch.stack([truth, -truth], 1)) == pytest.approx(-1)
    assert intraclass_correlation(torch.randn(5000, 2)).abs() < 0.05


def test_several_quantities_at_once():
    ratings = torch.randn(3, 7, 2)
    each = torch.stack([intraclass_correlation(part) for part in ratings])
    assert torch.allclose(intraclass_correlation(ratings), each)


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        (torch.rand(1, 2), "two targets"),
        (torch.rand(5, 1), "two raters"),
        (torch.tensor([[1.0, float("nan")], [1.0, 2.0]]), "finite"),
        (torch.ones(4, 2).long(), "finite floats"),
        (torch.full((5, 2), 0.1), "do not vary"),
    ],
)
def test_what_is_not_defined_is_refused(ratings, message):
    with pytest.raises(ValueError, match=message):
        intraclass_correlation(ratings)
