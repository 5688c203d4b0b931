import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import nn
from torch_geometric.nn import GCN

from graphkit.vision import DCCD, GroupMoments, Intervention, hard_triplet_loss
from tests.spoiled import spoiled


def make(seed=0, **options):
    torch.manual_seed(seed)
    return DCCD(nn.Linear(6, 4), 4, num_classes=6, num_domains=3, **options)


def samples(count=48, seed=1):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 6
    return torch.randn(count, 6, generator=generator) + y.unsqueeze(1) % 3, y, y % 3


def test_without_interventions_and_adversary_it_is_plain_training():
    model = make(interventions=0, weight=0.0)
    x, y, d = samples()
    expected = F.cross_entropy(model.head(model(x)), y, label_smoothing=0.1)
    expected = expected + hard_triplet_loss(model(x), y, 0.3)
    assert torch.equal(model.loss(x, y=y, domain=d), expected)
    plain = make(interventions=0, weight=0.0, triplet=0.0, smoothing=0.0)
    assert torch.equal(plain.loss(x, y=y, domain=d), F.cross_entropy(plain.head(plain(x)), y))


def test_the_objective_is_that_of_the_formula():
    model = make(weight=0.5, factual=0.25, interventions=2, shrink=0.0)
    x, y, d = samples()
    loss = model.loss(x, y=y, domain=d, generator=torch.Generator().manual_seed(3))
    z = model(x)
    moments = GroupMoments(3, 4)
    moments.update(z, d)
    do, generator = Intervention(moments), torch.Generator().manual_seed(3)

    def part(z, d):
        total = F.cross_entropy(model.head(z), y, label_smoothing=0.1)
        total = total + hard_triplet_loss(z, y, 0.3)
        return total + F.cross_entropy(model.domain_head(z), d)

    expected = 0.25 * part(z, d)
    for _ in range(2):
        target = torch.randint(3, (len(y),), generator=generator)
        expected = expected + part(do(z, d, target), target) / 2
    assert torch.allclose(loss, expected, atol=1e-5)


def test_the_adversary_learns_the_domain_and_features_unlearn_it():
    x, y, d = samples()
    grads = []
    for weight in (0.25, 1.0):
        model = make(interventions=0, weight=weight, triplet=0.0)
        model.head.requires_grad_(False)
        logits = model.head(model(x))
        identity = torch.autograd.grad(
            F.cross_entropy(logits, y, label_smoothing=0.1), model.features.weight
        )[0]
        model.loss(x, y=y, domain=d).backward()
        own = torch.autograd.grad(
            F.cross_entropy(model.domain_head(model(x)), d), model.features.weight
        )[0]
        assert torch.allclose(model.features.weight.grad, identity - weight * own, atol=1e-6)
        grads.append(model.domain_head[0].weight.grad)
    assert torch.allclose(*grads), "the classifier itself learns at full rate"


def test_warm_up_waits_for_the_bank():
    model, plain = make(warm=2, weight=0.0), make(interventions=0, weight=0.0)
    x, y, d = samples()
    for step in range(3):
        same = torch.equal(model.loss(x, y=y, domain=d), plain.loss(x, y=y, domain=d))
        assert same == (step < 2)
    assert int(model.intervention.moments.count.sum()) == 3 * len(y)


def test_the_hardest_pairs_of_a_batch():
    torch.manual_seed(0)
    z, y = torch.randn(20, 3, dtype=torch.double, requires_grad=True), torch.arange(20) % 4
    y[0] = 9
    unit = F.normalize(z, dim=1)
    terms = []
    for i in range(1, 20):
        d = (unit - unit[i]).norm(dim=1)
        far = max(d[j] for j in range(20) if j != i and y[j] == y[i])
        near = min(d[j] for j in range(20) if y[j] != y[i])
        terms.append((far - near + 0.3).clamp(min=0))
    loss, expected = hard_triplet_loss(z, y), torch.stack(terms).mean()
    assert torch.allclose(loss, expected)
    grads = [torch.autograd.grad(value, z)[0] for value in (loss, expected)]
    assert torch.allclose(*grads)
    for labels in (torch.arange(20), torch.zeros(20).long()):
        zero = hard_triplet_loss(z, labels)
        zero.backward()
        assert zero == 0
    same = torch.ones(4, 3, requires_grad=True)
    hard_triplet_loss(same, torch.tensor([0, 0, 1, 1])).backward()
    assert same.grad.isfinite().all()


def probe(z, label):
    half = len(z) // 2
    model = LinearDiscriminantAnalysis().fit(z[:half].numpy(), label[:half].numpy())
    return model.score(z[half:].numpy(), label[half:].numpy())


def test_what_invariance_costs_and_the_intervention_does_not():
    """Gaussians whose domain is a function of the class: six classes, two in each domain."""
    torch.manual_seed(0)
    y = torch.randint(6, (6000,))
    d = y % 3
    # Within a domain classes differ along shared directions, as faces do in any light.
    shared = F.one_hot(y // 3, 2).float() @ torch.tensor([[3.0, 0, 0], [-3.0, 0, 0]])
    z = torch.cat([shared, 4 * F.one_hot(d, 3).float()], 1) + torch.randn(6000, 6)
    moments = GroupMoments(3, 6)
    moments.update(z, d)
    assert min(probe(z, y), probe(z, d)) > 0.9
    # Exact invariance: the span of the domains' means is projected out.
    apart = torch.linalg.qr((moments.mean[1:] - moments.mean[0]).t()).Q
    blind = z - z @ apart @ apart.t()
    assert probe(blind, d) < 0.4
    assert probe(blind, y) < 0.4, "no more than within-domain knowledge, 1 / 3 over all classes"
    assert probe(blind, y // 3) > 0.9
    do = Intervention(moments)
    target = do.draw(len(z), torch.Generator().manual_seed(7))
    moved = do(z, d, target)
    assert probe(moved, target) > 0.9, "the domain that was set can be read off"
    assert probe(moved, d) < 0.4, "and the own one cannot"
    assert probe(moved, y // 3) > 0.9, "what classes share over domains is kept"


def test_the_bound_by_exact_counting():
    """I(z; y) <= H(y | d) for every z without d: all deterministic maps of four classes."""

    def entropy(shares):
        return -sum(p * math.log(p) for p in shares if p > 0)

    def information(pairs):
        joint = {pair: pairs.count(pair) / len(pairs) for pair in pairs}
        sides = [
            [sum(p for pair, p in joint.items() if pair[k] == v) for v in {q[k] for q in joint}]
            for k in (0, 1)
        ]
        return entropy(sides[0]) + entropy(sides[1]) - entropy(joint.values())

    y = range(4)
    d = [k % 2 for k in y]
    bound = entropy([0.25] * 4) - entropy([0.5] * 2)
    independent = 0
    for code in range(4**4):
        z = [code // 4**k % 4 for k in y]
        if information(list(zip(z, d, strict=True))) > 1e-12:
            continue
        independent += 1
        assert information(list(zip(z, y, strict=True))) <= bound + 1e-12
    assert independent > 4


def test_counterfactuals_are_in_evaluation_mode():
    model = make()
    model.features = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout())
    x, y, d = samples()
    model.loss(x, y=y, domain=d)
    found = model.counterfactuals(x, domain=d, target=(d + 1) % 3)
    z = model.eval()(x)
    assert torch.allclose(found, model.intervention(z, d, (d + 1) % 3))


def test_nodes_of_a_graph():
    torch.manual_seed(0)
    model = DCCD(GCN(5, 8, 2, 8), 8, num_classes=4, num_domains=2)
    x, edge_index = torch.rand(20, 5), torch.randint(20, (2, 60))
    rows = torch.arange(0, 20, 2)
    y = torch.arange(10) % 4
    loss = model.loss(x, edge_index, y=y, domain=y % 2, rows=rows)
    loss.backward()
    assert model(x, edge_index).shape == (20, 8)
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_moments_of_all_nodes_that_an_environment_shows():
    torch.manual_seed(0)
    model = DCCD(nn.Linear(5, 3), 3, num_classes=4, num_domains=2)
    x, rows, y = torch.rand(40, 5), torch.arange(0, 40, 5), torch.arange(8) % 4
    shown = torch.arange(40) % 3 - 1
    model.loss(x, y=y, domain=y % 2, rows=rows, population=shown)
    z = model(x).detach()
    for domain in (0, 1):
        part = z[shown == domain]
        torch.testing.assert_close(model.bank.mean[domain], part.mean(0))
        torch.testing.assert_close(model.bank.cov[domain], part.T.cov(correction=0))
    assert model.bank.count.tolist() == [13, 13]
    for wrong in (shown[:39], shown.float(), shown + 1):
        with pytest.raises(ValueError, match="'population'"):
            model.loss(x, y=y, domain=y % 2, rows=rows, population=wrong)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"order": 0}, "'order'"),
        ({"interventions": -1}, "'interventions'"),
        ({"weight": -1.0}, "'weight'"),
        ({"weight": float("nan")}, "'weight'"),
        ({"triplet": -1.0}, "'triplet'"),
        ({"margin": -1.0}, "'margin'"),
        ({"smoothing": 1.5}, "'smoothing'"),
        ({"factual": -0.5}, "'factual'"),
        ({"momentum": 1.0}, "'momentum'"),
        ({"warm": -1}, "'warm'"),
    ],
)
def test_wrong_options_are_named(options, name):
    with pytest.raises(ValueError, match=name):
        make(**options)


@pytest.mark.parametrize(
    ("y", "d", "name"),
    [
        (torch.arange(5), torch.zeros(6).long(), "'y'"),
        (torch.rand(6), torch.zeros(6).long(), "'y'"),
        (torch.tensor([0, 1, 2, 3, 4, 6]), torch.zeros(6).long(), "'y'"),
        (torch.tensor([0, 1, 2, 3, 4, -1]), torch.zeros(6).long(), "'y'"),
        (torch.arange(6), torch.zeros(5).long(), "'domain'"),
        (torch.arange(6), torch.full((6,), 3), "'domain'"),
    ],
)
def test_wrong_samples_are_named(y, d, name):
    with pytest.raises(ValueError, match=name):
        make().loss(torch.rand(6, 6), y=y, domain=d)


def test_no_sample_and_no_number_are_named():
    none = torch.zeros(0).long()
    with pytest.raises(ValueError, match="'y' is empty"):
        make().loss(torch.rand(0, 6), y=none, domain=none)
    with pytest.raises(ValueError, match="NaN"):
        make().loss(spoiled((2, 6)), y=torch.tensor([0, 1]), domain=none.new_zeros(2))


def test_one_domain_and_one_identity():
    model = DCCD(nn.Linear(6, 4), 4, num_classes=1, num_domains=1)
    x = torch.randn(8, 6)
    y = torch.zeros(8, dtype=torch.long)
    loss = model.loss(x, y=y, domain=y)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)
