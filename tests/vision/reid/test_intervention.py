import copy
import io

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import chi2_contingency

from graphkit.vision import GroupMoments, Intervention, wasserstein_distances
from tests.spoiled import spoiled


def domains(count=300, channels=5, seed=0, dtype=torch.float):
    """Three domains of different means and well-conditioned covariances."""
    generator = torch.Generator().manual_seed(seed)
    d = torch.arange(count) % 3
    mix = torch.eye(channels) + 0.4 * torch.randn(3, channels, channels, generator=generator)
    z = torch.randn(count, channels, generator=generator)
    z = (z.unsqueeze(1) @ mix[d]).squeeze(1) + 2 * torch.randn(3, channels, generator=generator)[d]
    return z.to(dtype), d


def make(order=2, **options):
    z, d = domains()
    moments = GroupMoments(3, 5)
    moments.update(z, d)
    return Intervention(moments, order, **options), z, d


def test_a_domain_is_mapped_to_itself_and_back():
    do, z, d = make()
    assert torch.allclose(do(z, d, d), z, atol=1e-5)
    target = (d + 1) % 3
    moved = do(z, d, target)
    assert not torch.allclose(moved, z, atol=0.1)
    assert torch.allclose(do(moved, target, d), z, atol=1e-5)


def test_a_moved_domain_has_the_moments_of_the_other():
    do, z, d = make()
    for source, target in ((0, 1), (2, 0)):
        rows = z[d == source]
        here = torch.full((len(rows),), source)
        moved = do(rows, here, torch.full_like(here, target)).numpy()
        other = z[d == target].numpy()
        np.testing.assert_allclose(moved.mean(0), other.mean(0), atol=1e-5)
        np.testing.assert_allclose(np.cov(moved.T), np.cov(other.T), atol=1e-4)


def test_it_is_the_formula_with_symmetric_roots():
    do, z, d = make()
    target = (d * 2 + 1) % 3
    moved = do(z, d, target)
    moments = do.moments
    root = [np.real(sqrtm(cov.double().numpy())) for cov in moments.cov]
    for i in range(12):
        a, b = int(d[i]), int(target[i])
        centred = (z[i] - moments.mean[a]).double().numpy()
        expected = root[b] @ np.linalg.inv(root[a]) @ centred + moments.mean[b].numpy()
        np.testing.assert_allclose(moved[i], expected, atol=1e-4)


def test_the_first_order_is_a_translation():
    do, z, d = make(order=1)
    target = (d + 2) % 3
    shift = do.moments.mean[target] - do.moments.mean[d]
    assert torch.allclose(do(z, d, target), z + shift, atol=1e-6)


def test_covariances_of_low_rank_give_finite_values_within_the_floor():
    moments = GroupMoments(2, 8)
    z, d = torch.randn(6, 8), torch.tensor([0, 0, 0, 1, 1, 1])
    moments.update(z, d)
    do = Intervention(moments, floor=1e-2)
    z = z.requires_grad_()
    moved = do(z, d, 1 - d)
    moved.sum().backward()
    assert moved.isfinite().all()
    assert z.grad.isfinite().all()
    assert torch.allclose(do(z, d, d), z, atol=1e-4)
    values, _ = do.spectrum()
    least, mean = values.amin(1), torch.linalg.eigvalsh(moments.cov.double()).mean(1)
    assert torch.allclose(least, 1e-2 * mean)
    point = GroupMoments(2, 8)
    point.update(torch.ones(2, 8), torch.tensor([0, 1]))
    alone = Intervention(point)
    assert torch.allclose(alone(torch.ones(1, 8), d[:1], d[3:4]), torch.ones(1, 8))


def test_shrinkage_mixes_in_the_mean_variance():
    do, z, d = make(shrink=1.0)
    moved = do(z, d, (d + 1) % 3)
    variance = do.moments.cov.diagonal(dim1=1, dim2=2).mean(1)
    scale = (variance[(d + 1) % 3] / variance[d]).sqrt().unsqueeze(1)
    expected = (z - do.moments.mean[d]) * scale + do.moments.mean[(d + 1) % 3]
    assert torch.allclose(moved, expected, atol=1e-5)


def test_gradients_flow_through_samples_and_not_into_the_bank():
    do, z, d = make()
    z = z.double().requires_grad_()
    do(z[:6], d[:6], (d[:6] + 1) % 3)
    assert torch.autograd.gradcheck(lambda a: do(a, d[:6], (d[:6] + 1) % 3), (z[:6],))
    assert not do.moments.cov.requires_grad


def test_domains_are_drawn_without_regard_to_identities():
    do, _, _ = make()
    y = torch.arange(6).repeat(500)
    drawn = do.draw(len(y), torch.Generator().manual_seed(0))
    table = np.zeros((6, 3))
    np.add.at(table, (y.numpy(), drawn.numpy()), 1)
    assert chi2_contingency(table).pvalue > 0.01
    assert np.abs(table.sum(0) / 3000 - 1 / 3).max() < 0.03
    again = do.draw(len(y), torch.Generator().manual_seed(0))
    assert torch.equal(again, drawn)


def test_only_domains_that_were_seen_are_drawn_or_taken():
    moments = GroupMoments(3, 2)
    do = Intervention(moments)
    with pytest.raises(ValueError, match="no domain"):
        do.draw(2)
    moments.update(torch.randn(8, 2), torch.tensor([0, 2] * 4))
    assert set(do.draw(50, torch.Generator().manual_seed(0)).tolist()) == {0, 2}
    with pytest.raises(ValueError, match=r"'target' has domains \[1\]"):
        do(torch.randn(1, 2), torch.tensor([0]), torch.tensor([1]))


def test_roots_follow_the_bank_as_often_as_asked():
    z, d = domains()
    moments = GroupMoments(3, 5, momentum=0.5)
    moments.update(z, d)
    do = Intervention(moments, every=2)
    do(z, d, d)
    before = do.root.clone()
    moments.update(3 * z, d)
    do(z, d, d)
    assert torch.equal(do.root, before), "one call behind"
    do(z, d, d)
    assert not torch.allclose(do.root, before)
    raw = io.BytesIO()
    torch.save(do.state_dict(), raw)
    raw.seek(0)
    other = Intervention(GroupMoments(3, 5, momentum=0.5), every=2)
    other.load_state_dict(torch.load(raw, weights_only=True))
    assert torch.equal(other(z, d, (d + 1) % 3), do(z, d, (d + 1) % 3))
    assert torch.equal(copy.deepcopy(do)(z, d, d), do(z, d, d))


def test_distances_of_gaussians():
    z, d = domains()
    moments = GroupMoments(3, 5)
    moments.update(z, d)
    found = wasserstein_distances(moments.mean, moments.cov)
    for i in range(3):
        for j in range(3):
            a, b = (moments.cov[k].double().numpy() for k in (i, j))
            root = np.real(sqrtm(a))
            cross = np.real(sqrtm(root @ b @ root))
            gap = (moments.mean[i] - moments.mean[j]).square().sum()
            expected = float(gap) + np.trace(a + b - 2 * cross)
            assert float(found[i, j]) == pytest.approx(expected, abs=1e-4)
    assert torch.equal(found, found.t())
    assert not found.diagonal().any()
    with pytest.raises(ValueError, match="'cov'"):
        wasserstein_distances(moments.mean, moments.cov[:2])
    with pytest.raises(ValueError, match="NaN"):
        wasserstein_distances(spoiled(moments.mean), moments.cov)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((torch.zeros(2, 4), torch.tensor([0, 1]), torch.tensor([0, 1])), "'z'"),
        ((torch.zeros(2, 5).long(), torch.tensor([0, 1]), torch.tensor([0, 1])), "'z'"),
        ((torch.zeros(2, 5), torch.tensor([0]), torch.tensor([0, 1])), "'domain'"),
        ((torch.zeros(2, 5), torch.tensor([0, 1]), torch.tensor([0.0, 1.0])), "'target'"),
        ((torch.zeros(2, 5), torch.tensor([0, 1]), torch.tensor([0, 3])), "'target'"),
        ((torch.zeros(2, 5), torch.tensor([0, -1]), torch.tensor([0, 1])), "'domain'"),
    ],
)
def test_wrong_arguments_are_named(arguments, name):
    do, _, _ = make()
    with pytest.raises(ValueError, match=name):
        do(*arguments)


def test_wrong_options_are_named():
    for options, name in (
        ({"order": 3}, "'order'"),
        ({"shrink": 1.5}, "'shrink'"),
        ({"floor": 0.0}, "'floor'"),
        ({"every": 0}, "'every'"),
    ):
        with pytest.raises(ValueError, match=name):
            make(**options)


def test_roots_are_of_the_covariances_not_of_their_counts():
    do, z, d = make()
    target = (d + 1) % 3
    do(z, d, target)
    do.moments.reset_parameters()
    do.moments.update(z @ torch.diag(torch.tensor([3.0, 1.0, 1.0, 1.0, 0.5])), d)
    fresh = Intervention(do.moments)
    assert torch.equal(do(z, d, target), fresh(z, d, target))


def test_evaluation_keeps_nothing_and_uses_the_moments_as_they_are():
    do, z, d = make(every=5)
    target = (d + 1) % 3
    do(z, d, target)
    do.moments.update(2 * z, d)
    before = copy.deepcopy(do.state_dict())
    fresh = Intervention(do.moments)
    assert torch.equal(do.eval()(z, d, target), fresh(z, d, target))
    assert all(torch.equal(before[name], value) for name, value in do.state_dict().items())


def test_a_backward_pass_still_has_the_roots_of_before():
    do, z, d = make()
    z = z.clone().requires_grad_()
    moved = do(z, d, (d + 1) % 3)
    do.moments.update(2 * z.detach(), d)
    do(z, d, (d + 1) % 3)
    moved.sum().backward()
    assert z.grad.isfinite().all()


def test_roots_are_of_the_options_as_they_are():
    do, z, d = make()
    target = (d + 1) % 3
    do(z, d, target)
    for name, value in (("shrink", 0.5), ("floor", 1.0)):
        setattr(do, name, value)
        fresh = Intervention(do.moments, shrink=do.shrink, floor=do.floor)(z, d, target)
        assert torch.equal(copy.deepcopy(do).eval()(z, d, target), fresh)
        assert torch.equal(do(z, d, target), fresh)


def test_a_state_without_covariances_is_loaded_and_roots_are_made_anew():
    do, z, d = make()
    moved, state = do(z, d, (d + 1) % 3), do.state_dict()
    del state["covered"]
    other = copy.deepcopy(make()[0])
    other.load_state_dict(state)
    assert torch.equal(other(z, d, (d + 1) % 3), moved)
    assert "covered" not in state
