"""LearnedAttribution: its limits, its independence, and that nothing is left behind."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphkit.testing.asserts import assert_no_trace, assert_not_mutated
from graphkit.transfer import LearnedAttribution
from graphkit.transfer.nonlinearities import Nonlinearities
from tests import torchvision_networks


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, 1, 1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, 1, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    ).double()


def images(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 2, 8, 8, dtype=torch.double)


def plain_mask(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    x = x.clone().requires_grad_()
    found = torch.autograd.grad(model.eval()(x).max(1).values.sum(), x)[0].abs().sum(1, True)
    return found / found.amax((1, 2, 3), keepdim=True)


def test_open_gates_are_the_plain_gradient() -> None:
    model, x = cnn(), images()
    found = LearnedAttribution(model, steps=0, init=50.0, smooth=1)(x)
    torch.testing.assert_close(found, plain_mask(model, x), rtol=1e-6, atol=0)


def test_guided_gates_are_guided_backpropagation() -> None:
    from captum.attr import GuidedBackprop

    model, x = cnn().eval(), images()
    model[2] = nn.ReLU()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        grad = GuidedBackprop(model).attribute(
            x.clone().requires_grad_(), target=model(x).argmax(1)
        )
    expected = grad.detach().abs().sum(1, True)
    expected = expected / expected.amax((1, 2, 3), keepdim=True)
    found = LearnedAttribution(model, steps=0, init=50.0, smooth=1, guided=True)(x)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-12)


def test_shut_gates_give_an_empty_mask() -> None:
    found = LearnedAttribution(cnn(), steps=2, init=-5000.0)(images())
    assert bool((found == 0).all())


def test_nothing_is_left_behind() -> None:
    model, x = cnn().train(), images()
    model[4].eval()
    before = model[0].weight.clone()
    with assert_no_trace(model), assert_not_mutated(x=x):
        found = LearnedAttribution(model, steps=3)(x)
    assert not found.requires_grad
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(model[0].weight, before)

    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    handle = model[8].register_forward_hook(fail)
    with assert_no_trace(model), pytest.raises(RuntimeError, match="planted"):
        LearnedAttribution(model)(x)
    handle.remove()


def test_images_are_independent() -> None:
    model, x = cnn(), images()
    learned = LearnedAttribution(model, steps=5)
    whole = learned(x)
    for row in range(4):
        torch.testing.assert_close(learned(x[[row]]), whole[[row]], rtol=1e-6, atol=1e-9)


def patches(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise with a patch whose pattern is the class, the classes, and where the patch is."""
    y, x = torch.arange(count) % 4, 0.1 * torch.randn(count, 2, 8, 8, dtype=torch.double)
    where = torch.zeros(count, 1, 8, 8, dtype=torch.bool)
    for row, (down, right) in enumerate(torch.randint(0, 6, (count, 2)).tolist()):
        where[row, 0, down : down + 3, right : right + 3] = True
        x[row, y[row] // 2, down : down + 3, right : right + 3] += 1 if y[row] % 2 else -1
    return x, y, where


def test_learning_lowers_the_objective_and_the_area_and_finds_the_patch() -> None:
    model, (x, y, where) = cnn(), patches(64)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert bool((model.eval()(x).argmax(1) == y).all())
    sizes, shares = [], []
    for area in (0.0, 1.0, 20.0):
        learned = LearnedAttribution(model, steps=40, area=area)
        mask = learned(x)
        assert learned.losses[-1] < learned.losses[0]
        assert bool(((mask >= 0) & (mask <= 1)).all())
        sizes.append(float(mask.mean()))
        shares.append(float((mask * where).sum() / mask.sum()))
    assert sizes[0] > sizes[1] > sizes[2]
    start = LearnedAttribution(model, steps=0)(x)
    assert shares[1] > float((start * where).sum() / start.sum()) + 0.02


def test_every_gate_gets_a_gradient() -> None:
    """Finite differences agree at three entries of every gate."""
    model, x = cnn().eval(), images(2).requires_grad_()
    learned = LearnedAttribution(model, guidance=0.5, smoothness=0.5)
    with Nonlinearities(learned.gate()):
        out = model(x)
    target, belief = out.argmax(1), out.detach().log_softmax(1)
    score = out.max(1).values.sum()

    def value() -> torch.Tensor:
        return learned.objective(x.detach(), learned.mask(score, x, True), target, belief)

    loss = value()
    assert len(learned.gates) == 2
    for gate, grad in zip(learned.gates, torch.autograd.grad(loss, learned.gates), strict=True):
        assert bool((grad != 0).any())
        for entry in grad.flatten().abs().topk(3).indices.tolist():
            with torch.no_grad():
                values = []
                for step in (1e-5, -2e-5, 1e-5):
                    gate.view(-1)[entry] += step
                    with torch.enable_grad():
                        values.append(float(value().detach()))
            slope = (values[0] - values[1]) / 2e-5
            assert slope == pytest.approx(float(grad.view(-1)[entry]), rel=1e-4, abs=1e-9)


def test_scale_of_the_scores_does_not_matter_to_the_first_mask() -> None:
    model, x = cnn(), images()
    found = LearnedAttribution(model, steps=0)(x)
    with torch.no_grad():
        model[8].weight *= 10
        model[8].bias *= 10
    torch.testing.assert_close(LearnedAttribution(model, steps=0)(x), found)


def test_functions_targets_and_variants() -> None:
    model, x = cnn().eval(), images()

    def functional(x: torch.Tensor) -> torch.Tensor:
        x = F.relu(model[1](model[0](x)))
        return model[8](F.relu_(model[4](model[3](x))).mean((2, 3)))

    torch.testing.assert_close(
        LearnedAttribution(functional, steps=3)(x), LearnedAttribution(model, steps=3)(x)
    )
    other = torch.tensor([0, 1, 2, 3])
    assert not torch.equal(
        LearnedAttribution(model, steps=1)(x, other), LearnedAttribution(model, steps=1)(x)
    )
    found = LearnedAttribution(model, steps=2, per_channel=True, signal="input_x_gradient")(x)
    assert found.shape == (4, 1, 8, 8)
    assert LearnedAttribution(model, steps=2)(x[:0]).shape == (0, 1, 8, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": -1}, "'steps' must not be negative"),
        ({"area": -0.1}, "'area' must not be negative"),
        ({"lr": 0.0}, "'lr' must be positive"),
        ({"smooth": 2}, "'smooth' must be odd"),
        ({"signal": "lrp"}, "'signal' must be one of"),
    ],
)
def test_faults_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LearnedAttribution(cnn(), **change)


def test_inputs_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="finite floating images"):
        LearnedAttribution(cnn())(images().flatten(1))
    with pytest.raises(ValueError, match="no nonlinearity"):
        LearnedAttribution(nn.Sequential(nn.Flatten(), nn.Linear(128, 3)).double())(images())


@pytest.mark.vision
@pytest.mark.parametrize("name", ["resnet", "mobilenet", "vit"])
def test_masks_of_torchvision_networks(name: str) -> None:
    model, x = torchvision_networks.network(name).train(), torchvision_networks.images()
    learned = LearnedAttribution(model, steps=6, area=2.0)
    with assert_no_trace(model):
        together = learned(x)
    assert together.shape == (3, 1, 32, 32)
    assert bool(((together >= 0) & (together <= 1)).all())
    assert learned.losses[-1] < learned.losses[0]
    torch.testing.assert_close(LearnedAttribution(model, steps=6, area=2.0)(x[:1]), together[:1])


@pytest.mark.parametrize(
    ("per_channel", "shape", "gate"),
    [
        (False, (2, 3, 4, 5), [2, 1, 4, 5]),
        (True, (2, 3, 4, 5), [2, 3, 4, 5]),
        (False, (2, 3), [2, 1]),
        (False, (6,), [6]),
        (True, (6,), [6]),
    ],
)
def test_gates_have_a_place_per_image_and_position(per_channel, shape, gate) -> None:
    learned = LearnedAttribution(cnn(), per_channel=per_channel, init=3.0)
    rule, u = learned.gate(), torch.rand(shape).requires_grad_()
    out = rule(F.relu, u, 0)
    (made,) = learned.gates
    assert list(made.shape) == gate
    assert bool((made == 3.0).all())
    out.sum().backward()
    open_by = torch.sigmoid(torch.tensor(3.0))
    torch.testing.assert_close(u.grad, (u > 0) * open_by)
    # What needs no gradient needs no gate.
    assert torch.equal(rule(F.relu, u.detach(), 0), u.relu())
    assert len(learned.gates) == 1


def test_guided_gates_let_no_negative_signal_through() -> None:
    signal, gate = torch.tensor([-2.0, 3.0]), torch.zeros(2)
    assert LearnedAttribution(cnn()).let_through(signal, gate).tolist() == [-1.0, 1.5]
    assert LearnedAttribution(cnn(), guided=True).let_through(signal, gate).tolist() == [0.0, 1.5]


def test_the_objective_by_hand() -> None:
    model, x = cnn().eval(), images(2)
    mask = torch.rand(2, 1, 8, 8, dtype=torch.double)
    target, belief = torch.tensor([1, 3]), model(x).detach().log_softmax(1)
    learned = LearnedAttribution(model, area=0.5, guidance=0.25, smoothness=2.0)
    out = model(x * mask)
    cross = -out.log_softmax(1)[[0, 1], target].sum()
    apart = (belief.exp() * (belief - out.log_softmax(1))).sum()
    down = (mask[:, :, 1:] - mask[:, :, :-1]).abs().mean((1, 2, 3)).sum()
    right = (mask[..., 1:] - mask[..., :-1]).abs().mean((1, 2, 3)).sum()
    wanted = cross + 0.5 * mask.mean((1, 2, 3)).sum() + 0.25 * apart + 2 * (down + right)
    torch.testing.assert_close(learned.objective(x, mask, target, belief), wanted)
    plain = LearnedAttribution(model, area=0.0)
    torch.testing.assert_close(plain.objective(x, mask, target, belief), cross)


def test_masks_of_a_linear_model_by_hand() -> None:
    weight = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1)
    x = torch.rand(1, 2, 3, 4).requires_grad_()
    score = (weight * x).sum()
    grey = LearnedAttribution(cnn(), smooth=1).mask(score, x, False)
    assert torch.equal(grey, torch.ones(1, 1, 3, 4))
    signed = LearnedAttribution(cnn(), smooth=1, signal="input_x_gradient").mask(score, x, False)
    strength = (x[:, :1] - 2 * x[:, 1:]).clamp(min=0).detach()
    torch.testing.assert_close(signed, strength / strength.max())
    smooth = LearnedAttribution(cnn(), signal="input_x_gradient").mask(score, x, False)
    blurred = F.avg_pool2d(F.pad(strength, (1, 1, 1, 1)), 3, 1)
    torch.testing.assert_close(smooth, blurred / blurred.max())
