import math

import pytest
import torch
import torch.nn.functional as F

from graphkit.train import TensorTask, Trainer
from graphkit.vision import UDOR, fuzzy_loss, udor_loss


def test_the_fuzzy_loss_is_that_of_the_formula():
    for count in (2, 4):
        uniform = torch.full((count,), 1 / count)
        expected = -math.log(1 - (1 - 1 / count) ** count)
        assert float(fuzzy_loss(uniform)) == pytest.approx(expected, rel=1e-6)
    certain = torch.eye(3).requires_grad_()
    loss = fuzzy_loss(certain)
    assert loss.abs().max() < 1e-6
    assert torch.autograd.grad(loss.sum(), certain)[0].isfinite().all()
    p = torch.rand(50, 5, dtype=torch.double).softmax(1)
    expected = -torch.log(1 - (1 - p).prod(1))
    assert torch.allclose(fuzzy_loss(p), expected)
    assert (fuzzy_loss(p) >= 0).all()


def test_no_part_means_no_object_and_the_removed_part_is_gone():
    model = UDOR(1, 8, num_parts=3)
    x = torch.rand(5, 1, 8, 8)
    assert not model.decode(torch.zeros(2, 3, 12)).any()
    removed = torch.tensor([0, 1, 2, 0, 1])
    out = model(x, removed, torch.full((5,), -1))
    rows = torch.arange(5)
    assert not out.remaining[rows, removed].any()
    kept = out.parts.clone()
    kept[rows, removed] = 0
    assert torch.equal(out.edited, model.decode(kept))
    assert torch.equal(out.recoded, model.encode(out.edited))
    assert torch.equal(out.anchored, out.image)
    only = model(x, removed, removed)
    rest = out.parts - out.remaining
    assert torch.allclose(only.anchored, model.decode(rest))
    assert torch.allclose(out.p.sum(2), torch.ones(5, 3))


def test_removing_an_absent_part_changes_nothing():
    model = UDOR(1, 8, num_parts=2)
    torch.nn.init.zeros_(model.encoder[-1].weight[:12])
    torch.nn.init.zeros_(model.encoder[-1].bias[:12])
    x = torch.rand(3, 1, 8, 8)
    out = model(x, torch.zeros(3, dtype=torch.long), torch.full((3,), -1))
    assert torch.equal(out.edited, out.image)


def test_each_side_of_the_game_has_its_own_gradient():
    model = UDOR(1, 8, num_parts=2)
    out = model(torch.rand(4, 1, 8, 8), torch.zeros(4).long(), torch.full((4,), -1))
    critic, maker = list(model.discriminator.parameters()), list(model.encoder.parameters())

    def reached(value, weights):
        grads = torch.autograd.grad(value.sum(), weights, retain_graph=True, allow_unused=True)
        return [grad is not None and bool(grad.any()) for grad in grads]

    assert not any(reached(out.fooled, critic))
    assert all(reached(out.fooled, maker))
    assert not any(reached(out.fake, maker))
    assert any(reached(out.fake, critic))
    assert torch.equal(out.fake, out.fooled)


def test_the_consistency_of_an_ideal_block_model_is_zero():
    """Orthonormal blocks: what was removed stays empty, and the rest stays what it was."""

    class Ideal(UDOR):
        def encode(self, x):
            return (x.flatten(1) @ self.basis).view(len(x), 2, 8)

        def decode(self, parts):
            return (parts.flatten(1) @ self.basis.t()).view(len(parts), 1, 4, 4)

    model = Ideal(1, 4, num_parts=2, part_channels=8)
    model.basis = torch.linalg.qr(torch.randn(16, 16))[0]
    out = model(torch.rand(6, 1, 4, 4), torch.ones(6).long(), torch.full((6,), -1))
    assert torch.allclose(out.recoded, out.remaining, atol=1e-5)


def test_the_loss_adds_its_terms():
    model = UDOR(1, 8, num_parts=2)
    x, unknown = torch.rand(6, 1, 8, 8), torch.full((6,), -1)
    bare = {"fuzzy": 0.0, "consistency": 0.0, "adversary": 0.0, "anchor": 0.0}
    expected = 2 * (model.decode(model.encode(x)) - x).square().mean()
    assert torch.allclose(udor_loss(model, x, unknown, **bare), expected)
    only = torch.tensor([0, -1, 1, -1, -1, 0])
    assert torch.equal(udor_loss(model, x, only, **bare), udor_loss(model, x, unknown, **bare))
    anchored = udor_loss(model, x, only, **{**bare, "anchor": 1.0}) - expected
    known = only >= 0
    parts = model.encode(x)[known]
    mine = torch.nn.functional.one_hot(only[known], 2).unsqueeze(2)
    alone = (model.decode(parts * mine) - x[known]).square().mean()
    rest = (parts * (1 - mine)).square().sum() / (12 * 3)
    target = torch.tensor([[0, 2], [2, 1], [0, 2]])
    logits = model.classifier(parts).flatten(0, 1)
    named = torch.nn.functional.cross_entropy(logits, target.flatten())
    assert torch.allclose(anchored, alone + 0.1 * rest + 0.02 * named, atol=1e-6)


def test_one_part_works_and_wrong_sizes_are_named():
    model = UDOR(1, 4, num_parts=1)
    loss = udor_loss(model, torch.rand(3, 1, 4, 4), torch.tensor([0, -1, 0]))
    loss.backward()
    assert loss.isfinite()
    with pytest.raises(ValueError, match="size"):
        UDOR(1, 6, num_parts=2)
    with pytest.raises(ValueError, match="num_parts"):
        UDOR(1, 8, num_parts=0)


def test_it_trains_under_a_trainer():
    torch.manual_seed(0)
    model = UDOR(1, 8, num_parts=2, channels=4)
    x, only = torch.rand(8, 1, 8, 8), torch.tensor([0, 1, -1, -1] * 2)
    losses = []

    def loss(m, a, b):
        losses.append(udor_loss(m, a, b, adversary=0.0))
        return losses[-1]

    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    trainer = Trainer(epochs=20, monitor=None, seed=0, progress=False)
    trainer.fit(model, optimizer, TensorTask((x, only), loss, 8))
    assert losses[-1] < 0.7 * losses[0]


def test_the_networks_layer_by_layer():
    model, x = UDOR(2, 8, num_parts=3, part_channels=5, channels=4), torch.rand(2, 2, 8, 8)
    w = dict(model.named_parameters())

    def down(h, name):
        return F.conv2d(h, w[f"{name}.weight"], w[f"{name}.bias"], stride=2, padding=1)

    def linear(h, name):
        return h @ w[f"{name}.weight"].t() + w[f"{name}.bias"]

    h = down(down(x, "encoder.0").relu(), "encoder.2").relu().flatten(1)
    code = linear(linear(h, "encoder.5").relu(), "encoder.7")
    assert torch.allclose(model.encode(x), code.view(2, 3, 5), atol=1e-6)
    h = (code @ w["decoder.0.weight"].t()).relu() @ w["decoder.2.weight"].t()
    h = h.relu().view(2, 8, 2, 2)
    h = F.conv_transpose2d(h, w["decoder.5.weight"], stride=2, padding=1).relu()
    image = F.conv_transpose2d(h, w["decoder.7.weight"], stride=2, padding=1)
    assert torch.allclose(model.decode(code.view(2, 3, 5)), image, atol=1e-6)
    h = F.leaky_relu(down(x, "discriminator.0"), 0.2)
    h = F.leaky_relu(down(h, "discriminator.2"), 0.2).flatten(1)
    assert torch.allclose(model.discriminator(x), linear(h, "discriminator.5"), atol=1e-6)
    assert not any("decoder" in name and "bias" in name for name in w)
    widths = {name: tuple(w[f"{name}.weight"].shape) for name in ("encoder.0", "encoder.2")}
    assert widths == {"encoder.0": (4, 2, 4, 4), "encoder.2": (8, 4, 4, 4)}
    assert tuple(w["encoder.5.weight"].shape) == (128, 32)
    assert tuple(w["decoder.0.weight"].shape) == (128, 15)
    assert model.classifier.out_features == 4


def test_each_term_by_hand(monkeypatch):
    model, x = UDOR(1, 8, num_parts=2), torch.rand(4, 1, 8, 8)
    unknown, removed = torch.full((4,), -1), torch.tensor([0, 1, 1, 0])
    monkeypatch.setattr(torch, "randint", lambda high, size, device: removed)
    bare = dict.fromkeys(("fuzzy", "consistency", "adversary", "anchor"), 0.0)
    out, image = model(x, removed, unknown), udor_loss(model, x, unknown, **bare)
    same = (out.recoded - out.remaining).square().mean()
    found = udor_loss(model, x, unknown, **bare | {"consistency": 0.5})
    assert torch.allclose(found - image, 0.5 * same, atol=1e-6)
    critic = (1 - out.real).relu().mean() + (1 + out.fake).relu().mean()
    found = udor_loss(model, x, unknown, **bare | {"adversary": 0.25})
    assert torch.allclose(found - image, critic - 0.25 * out.fooled.mean(), atol=1e-6)
    both = (out.p[:, 0, :2] * out.p[:, 1, :2]).sum(1).mean()
    average = out.p.mean((0, 1))
    unsure = fuzzy_loss(out.p).mean() + both + (average * average.log()).sum()
    found = udor_loss(model, x, unknown, **bare | {"fuzzy": 2.0})
    assert torch.allclose(found - image, 2 * unsure, atol=1e-5)
