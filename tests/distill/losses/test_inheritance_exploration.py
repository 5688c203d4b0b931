"""Inheritance and exploration: distances, splits, what learns, and what is refused."""

import copy
import io
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GAT, GCN

from graphkit.distill import Distillation, Distiller, InheritanceExploration, factor_distance
from graphkit.taps import tap
from graphkit.train import TensorTask, Trainer
from graphkit.transfer import cka


def make(in_channels=6, teacher_channels=4, learned=True, **options):
    loss = InheritanceExploration(in_channels, teacher_channels, **options)
    loss.learned.fill_(learned)
    return loss


def maps(channels=6, count=5):
    return torch.randn(count, channels, 3, 3)


# The distance


def test_distance_is_bounded_and_blind_to_positive_scales():
    a, b = maps(), maps()
    assert factor_distance(a, a) == 0
    scales = torch.rand(5, 1, 1, 1) + 0.1
    torch.testing.assert_close(factor_distance(scales * a, b), factor_distance(a, b))
    torch.testing.assert_close(factor_distance(a, b), factor_distance(b, a))
    bound = 2 / math.sqrt(a[0].numel())
    assert 0 < factor_distance(a, -a) <= bound
    one = torch.ones(5, 54)
    assert factor_distance(one, -one).item() == pytest.approx(2 / math.sqrt(54), rel=1e-5)
    by_hand = [(x / x.norm() - y / y.norm()).abs().mean() for x, y in zip(a, b, strict=True)]
    torch.testing.assert_close(factor_distance(a, b), torch.stack(by_hand).mean())
    assert factor_distance(a[:0], b[:0]) == 0
    with pytest.raises(ValueError, match="do not compare"):
        factor_distance(a, b[:, :2])


def test_distance_has_a_gradient_that_finite_differences_confirm():
    a, b = torch.randn(3, 4).double().requires_grad_(), torch.randn(3, 4).double()
    assert torch.autograd.gradcheck(lambda x: factor_distance(x, b), a)


# The loss


def test_the_loss_by_hand():
    loss, student, teacher = make(inheritance=3.0, exploration=2.0), maps(), maps(4)
    found = loss(student, teacher)
    with torch.no_grad():
        wanted = copy.deepcopy(loss.coder).eval().encode(teacher)
    near, far = loss.inherits(student[:, :3]), loss.explores(student[:, 3:])
    expected = 3 * factor_distance(near, wanted) - 2 * factor_distance(far, wanted)
    torch.testing.assert_close(found, expected)


def test_exploration_is_minus_inheritance_of_the_same_factors():
    loss, student, teacher = make(), maps(), maps(4)
    loss.explores = loss.inherits
    student[:, 3:] = student[:, :3]
    terms = loss.terms(student, teacher)
    assert terms["explore"] == -terms["inherit"]
    assert loss(student, teacher) == 0


def test_cosines_in_place_of_distances():
    loss, student, teacher = make(distance="cosine"), maps(), maps(4)
    terms = loss.terms(student, teacher)
    near, far, wanted = loss.factors(student, teacher)
    left = F.normalize(near.flatten(1), dim=1), F.normalize(far.flatten(1), dim=1)
    cosines = [(each * F.normalize(wanted.flatten(1), dim=1)).sum(1) for each in left]
    torch.testing.assert_close(terms["inherit"], 1 - cosines[0].mean())
    torch.testing.assert_close(terms["explore"], cosines[1].abs().mean())


def test_weight_zero_leaves_the_gradients_of_the_task():
    loss, teacher = make(inheritance=0.0, exploration=0.0), maps(4)
    student = maps().requires_grad_()
    (alone,) = torch.autograd.grad(student.square().sum(), student)
    (both,) = torch.autograd.grad(student.square().sum() + loss(student, teacher), student)
    assert torch.equal(alone, both)


# The split


@pytest.mark.parametrize(
    ("channels", "share", "first"), [(7, 0.5, 4), (6, 0.5, 3), (10, 0.7, 7), (8, 0.25, 2)]
)
@pytest.mark.parametrize("split", ["halves", "random"])
def test_both_parts_are_disjoint_complete_and_kept(channels, share, first, split):
    loss = make(channels, share=share, split=split)
    both = torch.cat([loss.inherit, loss.explore])
    assert both.sort().values.tolist() == list(range(channels))
    assert len(loss.inherit) == first
    if split == "halves":
        assert both.tolist() == list(range(channels))
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    other = make(channels, share=share, split=split, learned=False)
    other.load_state_dict(torch.load(file, weights_only=True))
    x, y = maps(channels), maps(4)
    assert torch.equal(other.inherit, loss.inherit)
    assert torch.equal(other.eval()(x, y), loss.eval()(x, y))


# What learns


def test_the_teachers_factors_stay_while_the_encoders_learn():
    loss, student, teacher = make(), maps().requires_grad_(), maps(4).requires_grad_()
    before = {name: value.clone() for name, value in loss.coder.state_dict().items()}
    loss.train()
    assert not any(module.training for module in loss.coder.modules())
    loss.coder.train()
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.01, weight_decay=0.1)
    loss(student, teacher).backward()
    optimizer.step()
    assert all(torch.equal(before[n], value) for n, value in loss.coder.state_dict().items())
    assert loss.coder.training
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0
    assert all(p.grad.abs().sum() > 0 for p in loss.inherits.parameters() if p.dim() > 1)


def test_factors_are_learned_first_and_alone():
    loss, teacher = make(learned=False, spatial=False), torch.randn(64, 2) @ torch.randn(2, 4)
    with pytest.raises(RuntimeError, match="learn_factors"):
        loss(torch.randn(64, 6), teacher)
    first = loss.learn_factors(teacher, epochs=1)
    last = loss.learn_factors(teacher, epochs=60, lr=0.02)
    assert last < 0.5 * first
    assert not any(p.requires_grad for p in loss.coder.parameters())
    loss(torch.randn(64, 6), teacher)


def test_variants_differ_in_the_error_that_factors_are_learned_by():
    x = maps(4)
    for variant, power in (("paper", 2), ("released", 1)):
        loss = make(variant=variant)
        apart = (loss.coder.reconstruct(x) - x).abs()
        torch.testing.assert_close(loss.error(loss.coder, x), apart.pow(power).mean())


def test_it_moves_the_features_of_a_student():
    """Fixed encoders, free features: one half comes nearer, the other goes away."""
    torch.manual_seed(1)
    loss, teacher = make().eval(), maps(4, 12)
    student = maps(6, 12).requires_grad_()
    start = loss.distances(student, teacher)
    optimizer = torch.optim.Adam([student], lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        loss(student, teacher).backward()
        optimizer.step()
    end = loss.distances(student, teacher)
    assert end[0] < 0.8 * start[0]
    assert end[1] > 1.1 * start[1]
    assert cka(student.detach()[:, :3], student.detach()[:, :3]) == pytest.approx(1, abs=1e-5)


def net(width):
    conv = nn.Conv2d(1, width, 3, 1, 1)
    return nn.Sequential(
        conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2)
    )


def test_networks_of_images_and_of_graphs_in_a_trainer():
    x, edge_index = torch.rand(24, 8), torch.randint(24, (2, 80))
    pictures = torch.rand(24, 1, 4, 4)
    for student, teacher, args, layer, spatial in (
        (net(6), net(4), (pictures,), "1", True),
        (GCN(8, 6, 2, 2), GAT(8, 4, 2, 2), (x, edge_index), "convs.0", False),
    ):
        loss = InheritanceExploration(6, 4, spatial=spatial)
        with tap(teacher, layer) as inner, torch.no_grad():
            teacher(*args)
        loss.learn_factors(inner[layer].output, epochs=1)
        model = Distiller(student, teacher, [(layer, layer)], loss)
        task = TensorTask(
            (torch.arange(24),), lambda m, rows, args=args: m(*args)[rows].square().mean(), 24
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        callbacks = [Distillation(model)]
        result = Trainer(2, monitor=None, callbacks=callbacks, progress=False).fit(
            model, optimizer, task
        )
        assert result.epochs == 2
        assert all(p.grad is None for p in loss.coder.parameters())


# Bad input


def test_no_sample_costs_nothing():
    loss, student = make(), maps(count=0).requires_grad_()
    value = loss(student, maps(4, 0))
    value.backward()
    assert value == 0


@pytest.mark.parametrize(
    ("match", "arguments"),
    [
        ("'in_channels' 1", {"in_channels": 1}),
        ("'share' 0", {"share": 0.0}),
        ("'share' 1", {"share": 1.0}),
        ("'split'", {"split": "thirds"}),
        ("'distance'", {"distance": "l2"}),
        ("'variant'", {"variant": "code"}),
        ("'inheritance'", {"inheritance": -1.0}),
    ],
)
def test_wrong_arguments_are_named(match, arguments):
    with pytest.raises(ValueError, match=match):
        make(**arguments)


def test_features_that_do_not_fit_are_named():
    loss = make()
    with pytest.raises(ValueError, match="'student' must have 4 dimensions and 6 channels"):
        loss(maps(5), maps(4))
    with pytest.raises(ValueError, match="'teacher' must have"):
        loss(maps(), torch.randn(5, 4))
    with pytest.raises(ValueError, match="'student' has 5 samples and 'teacher' 3"):
        loss(maps(), maps(4, 3))
    with pytest.raises(ValueError, match="holds NaN"):
        loss(maps().fill_(torch.nan), maps(4))
    with pytest.raises(ValueError, match="at least 2"):
        loss.learn_factors(maps(4, 1))


@pytest.mark.parametrize("spatial", [False, True])
def test_no_row_is_left_alone_while_factors_are_learned(spatial):
    features = torch.randn(5, 4, 1, 1) if spatial else torch.randn(5, 4)
    assert math.isfinite(make(spatial=spatial).learn_factors(features, epochs=1, batch_size=2))
    with pytest.raises(ValueError, match="'batch_size' must be at least 2, got 1"):
        make(spatial=spatial).learn_factors(features, batch_size=1)


def test_a_moving_teacher_learns_on_after_its_factors_were_learned():
    loss = make(moving=True)
    loss.learn_factors(maps(4), epochs=1)
    assert all(p.requires_grad for p in loss.coder.parameters())
    assert loss.coder.training
    loss(maps(), maps(4)).backward()
    assert any(p.grad.abs().sum() > 0 for p in loss.coder.parameters())


@pytest.mark.parametrize("moving", [False, True])
def test_the_coder_learns_as_before_after_its_factors_failed(moving, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    loss = make(moving=moving)
    monkeypatch.setattr(Trainer, "fit", stop)
    with pytest.raises(KeyboardInterrupt):
        loss.learn_factors(maps(4), epochs=1)
    assert loss.coder.training == moving
    assert all(p.requires_grad == moving for p in loss.coder.parameters())
