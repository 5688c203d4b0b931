import copy
import io

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GCN

from graphkit.testing import assert_no_trace
from graphkit.train import Callback, TensorTask, Trainer
from graphkit.vision import CausalAdv, pgd
from graphkit.vision.causal_adv import StyleClassifier, divergence, style_basis
from tests.spoiled import spoiled


def network():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, 12)
    )


def make(seed=0, **options):
    torch.manual_seed(seed)
    options = {"eps": 0.1, "step": 0.04, "steps": 3} | options
    return CausalAdv(network(), 12, 4, **options)


def samples(count=24, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 4, 4, generator=generator), torch.arange(count) % 4


@pytest.mark.parametrize("rank", [12, 5])
def test_content_is_uncorrelated_with_style(rank):
    torch.manual_seed(0)
    weight, root = torch.randn(4, 12), torch.randn(12, rank)
    cov = root @ root.t()
    basis = style_basis(weight, cov, torch.randn(12, 12))
    cross = weight @ cov @ basis.t()
    assert cross.abs().max() <= 1e-5 * (weight @ cov).norm()
    assert torch.allclose(basis.norm(dim=1), torch.ones(12))
    assert torch.linalg.matrix_rank(basis, rtol=1e-4) == 8
    # Projecting the directions out one after the other is exact for the last one alone.
    rows = torch.randn(12, 12)
    for direction in (cov @ weight.t()).t():
        unit = F.normalize(direction, dim=0)
        rows = F.normalize(rows - (rows @ unit).unsqueeze(1) * unit, dim=1)
    assert (weight @ cov @ rows.t()).abs().max() > 1e-2 * (weight @ cov).norm()


def test_trained_content_is_uncorrelated_with_style():
    model, (x, y) = make(), samples()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model.loss(x, y=y).backward()
        optimizer.step()
    weight, cov = model.head.weight.detach().clone(), model.moments.cov[0]
    model.refresh()
    assert (weight @ cov @ model.basis.t()).abs().max() <= 1e-5 * (weight @ cov).norm()
    f = model.eval().features(x)
    assert torch.allclose(model.style(f), F.normalize(f, dim=1) @ model.basis.t())


def madry(net, head, x, y, eps, step, steps):
    """Madry's step by hand: the attack in evaluation mode, then the cross entropy."""
    net.eval()
    z = torch.clamp(
        x + eps * (2 * torch.rand(x.shape) - 1), (x - eps).clamp(0), (x + eps).clamp(max=1)
    )
    for _ in range(steps):
        z.requires_grad_()
        (slope,) = torch.autograd.grad(F.cross_entropy(head(net(z)), y), z)
        z = torch.clamp(
            z.detach() + step * slope.sign(), (x - eps).clamp(0), (x + eps).clamp(max=1)
        )
    net.train()
    return F.cross_entropy(head(net(z)), y)


def trades(net, head, x, y, eps, step, steps):
    """TRADES' step by hand."""
    net.eval()
    natural = head(net(x)).softmax(1).detach()
    low, high = (x - eps).clamp(0), (x + eps).clamp(max=1)
    z = torch.clamp(x + 0.001 * (2 * torch.rand(x.shape) - 1), low, high)
    for _ in range(steps):
        z.requires_grad_()
        logs = head(net(z)).log_softmax(1)
        (slope,) = torch.autograd.grad(6.0 * F.kl_div(logs, natural, reduction="batchmean"), z)
        z = torch.clamp(z.detach() + step * slope.sign(), low, high)
    net.train()
    attacked, plain = head(net(z)), head(net(x))
    gap = F.kl_div(attacked.log_softmax(1), plain.softmax(1), reduction="batchmean")
    return F.cross_entropy(plain, y) + 6.0 * gap


@pytest.mark.parametrize(("variant", "rival"), [("M", madry), ("T", trades)])
def test_without_alpha_it_is_the_rival_bit_for_bit(variant, rival):
    model = make(variant=variant, alpha=0.0)
    net, head = copy.deepcopy(model.features), copy.deepcopy(model.head)
    ours = torch.optim.Adam(model.parameters(), lr=0.01)
    theirs = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=0.01)
    x, y = samples()
    torch.manual_seed(5)
    for _ in range(4):
        ours.zero_grad()
        model.loss(x, y=y).backward()
        ours.step()
    torch.manual_seed(5)
    for _ in range(4):
        theirs.zero_grad()
        rival(net, head, x, y, 0.1, 0.04, 3).backward()
        theirs.step()
    expected = {**net.state_dict(prefix="features."), **head.state_dict(prefix="head.")}
    state = model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in expected.items())
    assert int(model.style_classifier.moments.count.sum()) == 96, "styles are learned all the same"


def test_the_objective_is_that_of_the_formula():
    model = make(alpha=0.5)
    net = copy.deepcopy(model)
    x, y = samples()
    torch.manual_seed(2)
    loss = model.loss(x, y=y)
    torch.manual_seed(2)
    with torch.no_grad():
        f = net.eval().features(x)
    unit = F.normalize(f, dim=1)
    cov = (unit - unit.mean(0)).t() @ (unit - unit.mean(0)) / len(x)
    net.basis.copy_(style_basis(net.head.weight, cov, net.frame))
    z = net.attack(x, y=y)
    net.train()
    g, f_train = net.features(z), net.features(x)
    styles = net.style_classifier.eval()
    before, after = (styles(F.normalize(one, dim=1) @ net.basis.t()) for one in (f_train, g))
    # Inner features have not been seen yet: the spread of the classes is still 0.
    aligned = -(before.softmax(1) * after.log_softmax(1)).sum(1).mean()
    hidden = F.normalize(styles.body(F.normalize(f, dim=1) @ net.basis.t()), dim=1)
    styles.moments.update(hidden, y)
    spread, w = torch.zeros(4, 4), styles.head.weight
    for label in range(4):
        rows = hidden[y == label] - hidden[y == label].mean(0)
        for j in range(4):
            spread[label, j] = ((w[j] - w[label]) @ (rows.t() @ rows / len(rows))) @ (
                w[j] - w[label]
            )
    styles.train()
    guess = styles.head(styles.body(F.normalize(f, dim=1) @ net.basis.t())) + 0.5 * spread[y]
    expected = F.cross_entropy(net.head(g), y) + 0.5 * aligned + F.cross_entropy(guess, y)
    assert torch.allclose(loss, expected, atol=1e-5)


def test_who_learns_from_what():
    model = make(alpha=0.5)
    x, y = samples()
    model.loss(x, y=y).backward()
    together = {name: p.grad.clone() for name, p in model.named_parameters()}
    assert all(grad.any() for name, grad in together.items() if "bias" not in name)
    # The style classifier learns from natural styles alone: alpha changes nothing for it.
    other = make(alpha=5.0)
    other.loss(x, y=y).backward()
    for name, p in other.named_parameters():
        if name == "features.0.bias":
            continue  # Batch normalisation takes it away.
        same = torch.allclose(p.grad, together[name], atol=1e-7)
        assert same == name.startswith("style_classifier."), name


def test_the_spread_is_zero_for_the_label_and_never_negative():
    styles = StyleClassifier(6, 3)
    styles.moments.update(torch.randn(30, 6), torch.arange(30) % 3)
    spread = styles.spread()
    assert torch.equal(spread.diagonal(), torch.zeros(3))
    assert (spread >= 0).all()
    assert (spread + torch.eye(3) > 0).all()


@pytest.mark.parametrize("variant", ["M", "T"])
def test_the_attack_leaves_no_trace(variant):
    model = make(variant=variant)
    x, y = samples()
    model.features[1].eval()
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    with assert_no_trace(model):
        found = model.attack(x, y=y)
    assert (found - x).abs().max() <= 0.1 + 1e-6
    assert 0 <= found.min() <= found.max() <= 1
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    with torch.no_grad():
        clean, attacked = (F.cross_entropy(model.eval()(z), y) for z in (x, found))
    assert attacked > clean


def test_the_attack_raises_the_style_term_as_well():
    x, y = samples(80)
    shifts = []
    for alpha in (0.0, 50.0):
        model = make(alpha=alpha, steps=10)
        model.style_classifier.eval()
        torch.manual_seed(3)
        found = model.eval().attack(x, y=y)
        before, after = (model.style_classifier(model.style(model.features(z))) for z in (x, found))
        shifts.append(F.cross_entropy(after, before.softmax(1)).item())
    assert shifts[1] > shifts[0]


def test_alpha_rises_and_is_resumed():
    model = make(alpha=0.5, ramp=4)
    x, y = samples()
    shares = []
    for _ in range(6):
        shares.append(model.share())
        model.loss(x, y=y)
    assert shares == [0, 0.25, 0.5, 0.75, 1, 1]
    raw = io.BytesIO()
    torch.save(model.state_dict(), raw)
    raw.seek(0)
    other = make(seed=9, alpha=0.5, ramp=4)
    other.load_state_dict(torch.load(raw, weights_only=True))
    assert other.share() == 1
    torch.manual_seed(0)
    expected = model.loss(x, y=y)
    torch.manual_seed(0)
    assert torch.equal(other.loss(x, y=y), expected)


@pytest.mark.parametrize("variant", ["M", "T"])
def test_the_ball_grows_with_calls(variant, monkeypatch):
    balls = []

    def spy(loss, x, eps, step, steps, bounds, noise):
        balls.append((eps, step, noise))
        return pgd(loss, x, eps, step, steps, bounds, noise)

    monkeypatch.setattr("graphkit.vision.causal_adv.pgd", spy)
    model = make(variant=variant, eps_ramp=4)
    x, y = samples()
    for _ in range(6):
        model.loss(x, y=y)
    shares = [0, 0.25, 0.5, 0.75, 1, 1]
    noises = [0.1 * share if variant == "M" else min(0.001, 0.1 * share) for share in shares]
    expected = [
        (0.1 * share, 0.04 * share, noise) for share, noise in zip(shares, noises, strict=True)
    ]
    assert torch.allclose(torch.tensor(balls), torch.tensor(expected))
    # What is attacked by hand has the whole ball, however little was trained.
    fresh = make(variant=variant, eps_ramp=4)
    assert (fresh.attack(x, y=y) - x).abs().max() == pytest.approx(0.1, abs=1e-6)


def test_a_ball_of_no_size_leaves_natural_training():
    model = make(alpha=0.0, eps_ramp=10)
    net = copy.deepcopy(model)
    x, y = samples()
    styles = net.style_classifier
    with torch.no_grad():
        f = net.eval().features(x)
    loss = model.loss(x, y=y)
    natural = F.cross_entropy(net.train()(x), y)
    own = styles.train().loss(model.style(f), y, 1.0)
    assert torch.allclose(loss, natural + own, atol=1e-6)


def test_a_killed_run_ends_where_the_whole_one_ends(tmp_path):
    x, y = samples(20)

    def fit(path, resume=False, kill=False):
        model = make(alpha=0.5, ramp=8, eps_ramp=14)
        task = TensorTask((x, y), lambda m, x, y: m.loss(x, y=y), 5)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        trainer = Trainer(
            4,
            monitor=None,
            seed=0,
            checkpoint=path,
            checkpoint_seconds=0,
            resume=resume,
            callbacks=[Kill(kill)],
            progress=False,
        )
        trainer.fit(model, optimizer, task)
        return model.state_dict()

    class Kill(Callback):
        def __init__(self, kill):
            self.kill = kill

        def on_step_end(self, run):
            if self.kill and run.epoch == 3:
                raise KeyboardInterrupt

    whole = fit(tmp_path / "a.pt")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "b.pt", kill=True)
    again = fit(tmp_path / "b.pt", resume=True)
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


class Nodes(nn.Module):
    def __init__(self):
        super().__init__()
        self.gcn = GCN(5, 8, 2, dropout=0.5)

    def forward(self, x, edge_index):
        return self.gcn(x, edge_index)


def test_nodes_of_a_graph_only_some_of_them_labelled():
    torch.manual_seed(0)
    model = CausalAdv(Nodes(), 8, 3, eps=0.1, step=0.05, steps=2)
    x, edge_index = torch.rand(10, 5), torch.randint(10, (2, 30))
    rows = torch.tensor([0, 4, 5, 9])
    y = torch.tensor([0, 1, 2, 0])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        loss = model.loss(x, edge_index, y=y, rows=rows)
        loss.backward()
        optimizer.step()
    assert loss.isfinite()
    found = model.attack(x, edge_index, y=y, rows=rows)
    assert found.shape == x.shape
    assert model(found, edge_index).shape == (10, 3)
    named = model.attack(x, edge_index=edge_index, y=y, rows=rows)
    assert named.shape == x.shape


def test_a_single_sample_trains():
    model = make(alpha=0.5)
    model.features = nn.Sequential(nn.Flatten(), nn.Linear(16, 12))
    x, y = samples(1)
    model.loss(x, y=y).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"variant": "X"}, "'variant'"),
        ({"alpha": -1.0}, "'alpha'"),
        ({"alpha": float("nan")}, "'alpha'"),
        ({"beta": -1.0}, "'beta'"),
        ({"ramp": -1}, "'ramp'"),
        ({"eps_ramp": -1}, "'eps_ramp'"),
    ],
)
def test_wrong_options_are_named(options, name):
    with pytest.raises(ValueError, match=name):
        make(**options)


def test_widths_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="'features'"):
        CausalAdv(nn.Flatten(), 12, 4).loss(torch.rand(4, 3, 3), y=torch.arange(4))
    with pytest.raises(ValueError, match="'channels'"):
        CausalAdv(nn.Identity(), 4, 4)
    with pytest.raises(ValueError, match="'num_classes'"):
        CausalAdv(nn.Identity(), 4, 1)


@pytest.mark.parametrize(
    ("x", "y", "name"),
    [
        (torch.rand(4, 1, 4, 4), torch.arange(3), "'y'"),
        (torch.rand(4, 1, 4, 4), torch.rand(4), "'y'"),
        (torch.rand(4, 1, 4, 4), torch.tensor([0, 1, 2, 4]), "'y'"),
        (torch.rand(4, 1, 4, 4), torch.tensor([0, 1, 2, -1]), "'y'"),
        (torch.rand(0, 1, 4, 4), torch.zeros(0, dtype=torch.long), "'y' is empty"),
        (torch.rand(4, 1, 4, 4) + 1, torch.arange(4), "normalisation"),
        (spoiled((4, 1, 4, 4)), torch.arange(4), "NaN"),
    ],
)
def test_wrong_samples_are_named(x, y, name):
    model = make()
    with pytest.raises(ValueError, match=name):
        model.loss(x, y=y)
    assert model.training
    assert all(p.requires_grad for p in model.parameters())


def test_a_backward_pass_still_has_the_basis_of_before():
    model, (x, y) = make(), samples()
    first, _ = model.loss(x, y=y), model.loss(x, y=y)
    first.backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_probabilities_that_underflow_have_a_gradient(dtype):
    natural = (torch.tensor([[300.0], [3.0]]) * torch.eye(2, 500)).to(dtype).requires_grad_()
    attacked = torch.linspace(0, 3, 1000).view(2, 500).to(dtype)
    p, q = (z.detach().double().log_softmax(1) for z in (natural, attacked))
    value, expected = divergence(natural.softmax(1), attacked), (p.exp() * (p - q)).sum(1).mean()
    assert value.item() == pytest.approx(expected.item(), rel=4 * torch.finfo(dtype).eps)
    assert (torch.autograd.grad(value, natural)[0].abs().sum(1) >= torch.tensor([0.0, 1e-3])).all()
