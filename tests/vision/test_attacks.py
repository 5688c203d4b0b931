import pytest
import torch
import torch.nn.functional as F

from graphkit.vision import attack_ensemble, logit_margin, pgd


def linear(seed=0, classes=3):
    torch.manual_seed(seed)
    return torch.nn.Linear(6, classes)


def test_a_linear_loss_is_raised_to_the_corner_of_the_ball():
    weight, x = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([[0.5, 0.5, 0.97]])
    found = pgd(lambda z: (z * weight).sum(), x, eps=0.1, step=0.03, steps=10)
    assert torch.allclose(found, torch.tensor([[0.6, 0.4, 1.0]]))
    free = pgd(lambda z: (z * weight).sum(), x, eps=0.1, step=0.03, steps=10, bounds=None)
    assert torch.allclose(free, torch.tensor([[0.6, 0.4, 1.07]]))


def test_it_stays_in_the_ball_and_in_bounds_at_every_length():
    model, x, y = linear(), torch.rand(20, 6), torch.arange(20) % 3
    losses = []
    for steps in (0, 1, 5, 20):
        generator = torch.Generator().manual_seed(3)
        found = pgd(
            lambda z: F.cross_entropy(model(z), y), x, 0.2, 0.05, steps, generator=generator
        )
        assert (found - x).abs().max() <= 0.2 + 1e-6
        assert 0 <= found.min() <= found.max() <= 1
        losses.append(float(F.cross_entropy(model(found), y).detach()))
    assert losses[0] < losses[1] < losses[2] <= losses[3] + 1e-3
    assert model.weight.grad is None, "parameters get no gradient"


def test_without_steps_it_is_the_start():
    x = torch.rand(4, 6)
    assert torch.equal(pgd(torch.sum, x, 0.1, 0.1, 0, noise=0.0), x)
    state = torch.get_rng_state()
    generator = torch.Generator().manual_seed(1)
    found = pgd(torch.sum, x, 0.1, 0.1, 0, bounds=None, noise=0.05, generator=generator)
    noise = 0.05 * (2 * torch.rand(4, 6, generator=torch.Generator().manual_seed(1)) - 1)
    assert torch.allclose(found, x + noise)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_margin_is_the_lead_over_the_best_other():
    logits, y = torch.randn(30, 4), torch.arange(30) % 4
    margins = logit_margin(logits, y)
    for row, label, value in zip(logits, y, margins, strict=True):
        others = torch.cat([row[:label], row[label + 1 :]])
        assert value == row[label] - others.max()
    assert torch.equal(margins > 0, logits.argmax(1) == y)


def test_the_ensemble_finds_what_is_certain_of_a_linear_model():
    """The logit difference of two classes falls by eps times the sum of absolute weights."""
    model, x = linear(classes=3), torch.rand(200, 6)
    y = model(x).argmax(1)
    right = attack_ensemble(model, x, y, 0.05, 0.0125, bounds=None, targets=2)
    logits, weight = model(x), model.weight
    certain = torch.ones(200, dtype=torch.bool)
    for j in range(3):
        fall = 0.05 * (weight[j] - weight[y]).abs().sum(1)
        certain &= (y == j) | (logits[torch.arange(200), y] - logits[:, j] > fall)
    assert torch.equal(right["all"], certain)
    assert 0 < certain.sum() < 200
    for name, one in right.items():
        assert (right["all"] <= one).all(), name
    assert set(right) == {"clean", "fgsm", "pgd", "margin", "target1", "target2", "all"}


def test_a_flat_cross_entropy_hides_nothing_from_the_other_searches():
    """Logits so large that the softmax is exactly 1 have no gradient of the cross entropy."""
    model, x = linear(), torch.rand(50, 6)
    y = model(x).argmax(1)
    right = attack_ensemble(lambda z: 1e6 * model(z), x, y, 0.2, 0.05, targets=2)
    assert right["pgd"].sum() > right["all"].sum()


def test_the_extra_search_counts():
    x, y = torch.full((4, 2), 0.5), torch.zeros(4, dtype=torch.long)

    def logits(z):
        """Right everywhere but in a corner that gradients of the margin lead away from."""
        corner = (z > 0.58).all(1)
        return torch.stack([1 - 0.1 * z.sum(1).detach(), 2.0 * corner], 1) + 0 * z

    plain = attack_ensemble(logits, x, y, 0.1, 0.05, 3, bounds=None)
    assert plain["all"].all()
    found = attack_ensemble(logits, x, y, 0.1, 0.05, 3, bounds=None, extra=torch.sum)
    assert not found["extra"].any()
    assert not found["all"].any()


def test_nodes_of_a_graph_are_attacked_through_their_neighbours():
    from torch_geometric.nn import GCNConv

    torch.manual_seed(0)
    conv = GCNConv(3, 2, add_self_loops=False)
    edge_index = torch.tensor([[1, 0], [0, 1]])
    x, y = torch.rand(2, 3), torch.tensor([0])

    def logits(z):
        return conv(z, edge_index)[:1]

    found = pgd(lambda z: F.cross_entropy(logits(z), y), x, 0.1, 0.05, 4, bounds=None, noise=0.0)
    assert torch.equal(found[0], x[0]), "the node's own features do not reach it"
    assert torch.allclose((found - x)[1].abs(), torch.full((3,), 0.1))
    right = attack_ensemble(logits, x, y, 0.1, 0.05, bounds=None)
    assert right["all"].shape == (1,)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"eps": -0.1}, "'eps'"),
        ({"eps": float("nan")}, "'eps'"),
        ({"step": -1.0}, "'step'"),
        ({"steps": -1}, "'steps'"),
        ({"noise": -1.0}, "'noise'"),
        ({"bounds": (1.0, 0.0)}, "'bounds'"),
        ({"x": torch.tensor([2.0])}, "normalisation"),
        ({"x": torch.tensor([torch.nan])}, "NaN"),
        ({"x": torch.tensor([1])}, "floats"),
    ],
)
def test_wrong_arguments_are_named(options, name):
    arguments = {"x": torch.rand(3), "eps": 0.1, "step": 0.1, "steps": 1} | options
    with pytest.raises(ValueError, match=name):
        pgd(torch.sum, **arguments)


def test_labels_that_do_not_fit_are_named():
    for y in (torch.zeros(2).long(), torch.tensor([0, 1, 3]), torch.tensor([0, 1, -1])):
        with pytest.raises(ValueError, match="'y'"):
            attack_ensemble(linear(), torch.rand(3, 6), y, 0.1, 0.1)
        with pytest.raises(ValueError, match="'y'"):
            logit_margin(torch.rand(3, 3), y)


def test_no_sample_is_no_error():
    right = attack_ensemble(linear(), torch.rand(0, 6), torch.zeros(0).long(), 0.1, 0.1)
    assert all(one.shape == (0,) for one in right.values())


def test_the_ensemble_finds_what_autoattack_finds():
    """Robust accuracy of a trained network, beside APGD of two losses, with restarts."""
    package = pytest.importorskip("pyautoattack", reason="needs pyautoattack, the extra 'test'")
    torch.manual_seed(0)
    x, y = torch.rand(200, 6), torch.arange(200) % 3
    x = (x + 0.3 * F.one_hot(y, 6)).clamp(0, 1)
    net = torch.nn.Sequential(torch.nn.Linear(6, 24), torch.nn.ReLU(), torch.nn.Linear(24, 3))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(80):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    net.eval().requires_grad_(False)
    rival = package.AutoAttack(
        net, eps=0.1, version="custom", attacks=["apgd-ce", "apgd-dlr"], seed=0
    )
    rival.apgd.n_restarts = 2
    adversarial = rival.run_standard_evaluation(x, y)[0]
    theirs = float((net(adversarial).argmax(1) == y).float().mean())
    generator = torch.Generator().manual_seed(0)
    right = attack_ensemble(net, x, y, 0.1, 0.025, targets=2, generator=generator)
    ours, clean = (float(right[name].float().mean()) for name in ("all", "clean"))
    assert theirs < clean - 0.2
    assert abs(ours - theirs) <= 0.02


def test_logits_of_nan_are_not_robust():
    x = torch.full((2, 2), 0.5)
    with pytest.raises(ValueError, match="'logits' holds NaN"):
        attack_ensemble(lambda z: z * torch.nan, x, torch.tensor([0, 0]), 0.1, 0.1, steps=1)


def test_a_gradient_of_nan_is_no_attack():
    x = torch.full((2, 3), 0.5)
    with pytest.raises(ValueError, match="'gradient of the loss' holds NaN"):
        pgd(lambda z: (z - 0.5).square().sum().sqrt(), x, 0.1, 0.05, 2, noise=0.0)


def test_logits_that_are_nan_under_attack_are_not_robust():
    x = torch.full((2, 2), 0.5)
    with pytest.raises(ValueError, match="'logits under fgsm' holds NaN"):
        attack_ensemble(
            lambda z: (0.55 - z).sqrt() * z.new_tensor([2.0, 1.0]),
            x,
            torch.tensor([0, 0]),
            eps=0.1,
            step=0.01,
            steps=0,
        )
