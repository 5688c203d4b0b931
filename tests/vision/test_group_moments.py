import numpy as np
import pytest
import torch

from graphkit.vision import GroupMoments
from tests.spoiled import spoiled


def batches(count=5, groups=3, channels=4):
    torch.manual_seed(0)
    sizes = (1, 7, 40, 2, 30)
    x = [torch.randn(size, channels) + 3 for size in sizes[:count]]
    return x, [torch.randint(groups, (len(one),)) for one in x]


def test_batches_add_up_to_the_moments_of_everything():
    x, group = batches()
    moments = GroupMoments(4, 4)
    for one, names in zip(x, group, strict=True):
        moments.update(one, names)
    whole, names = torch.cat(x).numpy().astype(float), torch.cat(group).numpy()
    for g in range(3):
        rows = whole[names == g]
        assert int(moments.count[g]) == len(rows)
        np.testing.assert_allclose(moments.mean[g], rows.mean(0), atol=1e-5)
        np.testing.assert_allclose(moments.cov[g], np.cov(rows.T, ddof=0), atol=1e-5)
    assert int(moments.count[3]) == 0, "nobody is in the last group"
    assert not moments.cov[3].any()


def test_momentum_forgets_and_the_first_batch_counts_whole():
    x, group = (one[2] for one in batches(3))
    moments = GroupMoments(3, 4, momentum=0.75)
    moments.update(x, group)
    alone = GroupMoments(3, 4)
    alone.update(x, group)
    assert torch.allclose(moments.mean, alone.mean)
    assert torch.allclose(moments.cov, alone.cov)
    # A mixture of both in the shares 3 : 1, by the law of total variance.
    second = torch.randn(20, 4, dtype=torch.double)
    moments.update(second.float(), torch.zeros(20, dtype=torch.long))
    first = x[group == 0].double()
    mean = 0.75 * first.mean(0) + 0.25 * second.mean(0)
    square = 0.75 * first.t() @ first / len(first) + 0.25 * second.t() @ second / 20
    assert torch.allclose(moments.mean[0].double(), mean, atol=1e-5)
    expected = square - mean.unsqueeze(1) * mean
    assert torch.allclose(moments.cov[0].double(), expected, atol=1e-5)
    assert torch.equal(moments.mean[1:], alone.mean[1:]), "groups that are not there stay"


def test_nothing_changes_nothing_and_the_state_goes_round():
    x, group = batches(3)
    moments, other = GroupMoments(3, 4), GroupMoments(3, 4)
    moments.update(x[2], group[2])
    before = {name: value.clone() for name, value in moments.state_dict().items()}
    moments.update(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    other.load_state_dict(moments.state_dict())
    for name, value in other.state_dict().items():
        assert torch.equal(value, before[name])
    moments.reset_parameters()
    assert not moments.count.any()


def test_half_precision_is_summed_wide():
    x = torch.full((600, 2), 300.0, dtype=torch.float16)
    moments = GroupMoments(1, 2)
    moments.update(x)
    assert torch.allclose(moments.mean, torch.full((1, 2), 300.0))
    assert moments.cov.abs().max() < 1e-3


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((torch.zeros(2, 3), torch.zeros(2, dtype=torch.long)), "'x'"),
        ((torch.zeros(2, 4, dtype=torch.long), torch.zeros(2, dtype=torch.long)), "'x'"),
        ((spoiled((2, 4)), torch.zeros(2, dtype=torch.long)), "NaN"),
        ((torch.zeros(2, 4), torch.zeros(3, dtype=torch.long)), "'group'"),
        ((torch.zeros(2, 4), torch.zeros(2)), "'group'"),
        ((torch.zeros(2, 4), torch.tensor([0, 3])), "'group'"),
        ((torch.zeros(2, 4), torch.tensor([0, -1])), "'group'"),
    ],
)
def test_wrong_batches_are_named(arguments, name):
    moments = GroupMoments(3, 4)
    with pytest.raises(ValueError, match=name):
        moments.update(*arguments)
    assert not moments.count.any()


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="num_groups"):
        GroupMoments(0, 3)
    for momentum in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="momentum"):
            GroupMoments(1, 3, momentum)


def test_a_backward_pass_still_has_the_moments_of_before():
    x, group = (one[2] for one in batches(3))
    moments = GroupMoments(3, 4)
    moments.update(x, group)
    before, z = moments.cov[0].clone(), torch.randn(5, 4, requires_grad=True)
    value = (z @ moments.cov[0]).square().sum() + (z * moments.mean[0]).square().sum()
    mean = moments.mean[0].clone()
    moments.update(2 * x, group)
    moments.reset_parameters()
    value.backward()
    expected = 2 * z.detach() @ before @ before.t() + 2 * z.detach() * mean.square()
    torch.testing.assert_close(z.grad, expected)
