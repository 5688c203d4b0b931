"""One stage: the gradients of two, module calls, saturation, what is refused."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch_geometric.data import Batch, Data
from torch_geometric.nn import ARGA, ARGVA, MLP, GCNConv, GraphNorm, global_add_pool

from graphkit.datasets import SceneBatch, SyntheticScenes
from graphkit.grad_scale import grad_scale
from graphkit.nn import GlobalGraphDiscriminator, LocalTripleDiscriminator
from graphkit.train import GANLoss, NoiseTask, OneStageStep, Trainer, gan_loss
from graphkit.train.gan_losses import GAN_LOSSES

ASYMMETRIC = [name for name, loss in GAN_LOSSES.items() if not loss.symmetric]
SYMMETRIC = [name for name, loss in GAN_LOSSES.items() if loss.symmetric]


def players(norm=nn.Identity, scale=1.0):
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 6)).double()
    judge = nn.Sequential(nn.Linear(6, 16), norm(), nn.LeakyReLU(0.2), nn.Linear(16, 1)).double()
    judge[-1].weight.data *= scale
    return generator, judge


def samples(count=32):
    torch.manual_seed(1)
    return torch.randn(count, 6).double(), torch.randn(count, 4).double()


def two_stage(generator, judge, loss, real, z):
    """The gradients of both players, each from its own loss and passes."""
    loss = gan_loss(loss)
    value = loss.discriminator(judge(real)[:, 0], judge(generator(z).detach())[:, 0])
    theirs = torch.autograd.grad(value, list(judge.parameters()))
    own = loss.generator(judge(generator(z))[:, 0]).mean()
    return torch.autograd.grad(own, list(generator.parameters())), theirs, own, value


def assert_equal(found, expected, tolerance=1e-12):
    pairs = zip(found, expected, strict=True)
    for one, other in ((a.detach(), b.detach()) for a, b in pairs):
        largest = other.abs().max().clamp(min=1e-300)
        assert float((one - other).abs().max() / largest) < tolerance


@pytest.mark.parametrize("scale", [1.0, 40.0])
@pytest.mark.parametrize("norm", [nn.Identity, lambda: nn.GroupNorm(4, 16)])
@pytest.mark.parametrize("name", GAN_LOSSES)
def test_gradients_are_those_of_two_stages(name, norm, scale):
    """With small scores, and with large ones, where the hinge is flat for many."""
    generator, judge = players(norm, scale)
    real, z = samples()
    ours, theirs, own, value = two_stage(generator, judge, name, real, z)
    losses = OneStageStep(judge, name)(real, generator(z))
    losses.generator.backward()
    assert_equal([p.grad for p in judge.parameters()], theirs)
    assert_equal([p.grad for p in generator.parameters()], ours)
    torch.testing.assert_close(losses.generator, own)
    torch.testing.assert_close(losses.discriminator, value)


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetric_losses_stay_exact_with_batch_normalisation(name):
    generator, judge = players(lambda: nn.BatchNorm1d(16))
    real, z = samples()
    ours, theirs, *_ = two_stage(generator, copy.deepcopy(judge), name, real, z)
    OneStageStep(judge, name)(real, generator(z)).generator.backward()
    assert_equal([p.grad for p in generator.parameters()], ours)
    twin = copy.deepcopy(judge)
    assert_equal([p.grad for p in judge.parameters()], two_stage(generator, twin, name, real, z)[1])
    assert theirs


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_batch_normalisation_is_refused_by_name(name):
    for norm in (lambda: nn.BatchNorm1d(16), lambda: nn.BatchNorm1d(16, track_running_stats=False)):
        generator, judge = players(norm)
        real, z = samples()
        with pytest.raises(ValueError, match=f"'1' is BatchNorm1d.*'{name}'.*GroupNorm"):
            OneStageStep(judge, name)(real, generator(z))
        assert all(p.grad is None for p in judge.parameters())
    generator, judge = players(lambda: nn.BatchNorm1d(16))
    real, z = samples()
    losses = OneStageStep(judge.eval(), name)(real, generator(z))
    ours, *_ = two_stage(generator, judge, name, real, z)
    losses.generator.backward()
    assert_equal([p.grad for p in generator.parameters()], ours)


class BatchSpread(nn.Module):
    """The minibatch deviation of progressive GANs."""

    def forward(self, x):
        return torch.cat([x[:, :-1], x.std(0).mean().expand(len(x), 1)], 1)


@pytest.mark.parametrize("mixing", [BatchSpread, lambda: GraphNorm(16)])
def test_whatever_mixes_samples_is_refused(mixing):
    generator, judge = players(mixing)
    real, z = samples()
    judge = judge.double()
    with pytest.raises(ValueError, match=r"depends on others in Sequential.*'bce'"):
        OneStageStep(judge)(real, generator(z))
    OneStageStep(judge, "wgan")(real, generator(z))


def test_mixing_in_training_mode_is_seen_after_a_step_in_evaluation_mode():
    class Late(nn.Module):
        def forward(self, x):
            return x - x.mean(0) if self.training else x

    generator, judge = players(Late)
    real, z = samples()
    one_stage = OneStageStep(judge.eval())
    one_stage(real, generator(z))
    judge.train()
    with pytest.raises(ValueError, match="depends on others"):
        one_stage(real, generator(z))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", GAN_LOSSES)
@pytest.mark.parametrize("score", [-80.0, -8.0, 80.0])
def test_saturated_scores_give_the_right_finite_gradient(name, score, dtype):
    judge = nn.Linear(3, 1).to(dtype)
    with torch.no_grad():
        judge.weight.fill_(0.5)
        judge.bias.fill_(score)
    fake = torch.zeros(4, 3, dtype=dtype, requires_grad=True)
    losses = OneStageStep(judge, name)(torch.zeros(4, 3, dtype=dtype), fake)
    losses.generator.backward()
    expected = gan_loss(name).seeds(torch.full((4,), score, dtype=torch.float64))[1] / 4 * 0.5
    assert losses.generator.isfinite()
    assert all(p.grad.isfinite().all() for p in judge.parameters())
    torch.testing.assert_close(
        fake.grad.double(), expected[:, None].expand(4, 3), rtol=1e-5, atol=1e-30
    )


def test_the_packed_form_of_the_paper_has_the_same_gradients():
    (generator, judge), (real, z) = players(), samples()
    loss, scores = gan_loss("bce"), judge(generator(z))[:, 0]
    gamma = -torch.exp(-scores.detach())
    fake = grad_scale(generator(z), gamma[:, None])
    scores = judge(fake)[:, 0]
    packed = (loss.fake(scores) - loss.generator(scores)) / (1 - gamma)
    total = loss.real(judge(real)[:, 0]).mean() + packed.mean()
    total.backward()
    expected = [p.grad for p in (*generator.parameters(), *judge.parameters())]
    ours, theirs = players()
    OneStageStep(theirs)(real, ours(z)).generator.backward()
    assert_equal([p.grad for p in (*ours.parameters(), *theirs.parameters())], expected)


def test_networks_run_once_and_twice_in_place_of_twice_and_thrice():
    (generator, judge), (real, z) = players(), samples()
    calls = {"generator": 0, "judge": 0}

    def count(name):
        return lambda *_: calls.update({name: calls[name] + 1})

    generator.register_forward_hook(count("generator"))
    judge.register_forward_hook(count("judge"))
    OneStageStep(judge)(real, generator(z)).generator.backward()
    assert calls == {"generator": 1, "judge": 2}
    two_stage(generator, judge, "bce", real, z)
    assert calls == {"generator": 3, "judge": 5}


def test_a_step_moves_both_and_clips_after_it():
    (generator, judge), (real, z) = players(), samples()
    before = copy.deepcopy(generator.state_dict()), copy.deepcopy(judge.state_dict())
    sgd = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (generator, judge)]
    real.requires_grad_()
    losses = OneStageStep(judge, "wgan").step(*sgd, real, generator(z), clip=0.05)
    assert not losses.generator.requires_grad
    assert real.grad is None
    for old, model in zip(before, (generator, judge), strict=True):
        assert any((old[n] != v).any() for n, v in model.state_dict().items())
    assert max(float(p.detach().abs().max()) for p in judge.parameters()) <= 0.05
    gradients = [p.grad.clone() for p in judge.parameters()]
    OneStageStep(judge, "wgan").step(*sgd, real, generator(z))
    assert any((g != p.grad).any() for g, p in zip(gradients, judge.parameters(), strict=True))


def test_the_weight_is_of_the_generator_alone():
    (generator, judge), (real, z) = players(), samples()
    ours, theirs, own, _ = two_stage(generator, judge, "bce", real, z)
    losses = OneStageStep(judge, weight=0.25)(real, generator(z))
    losses.generator.backward()
    assert_equal([4 * p.grad for p in generator.parameters()], ours)
    assert_equal([p.grad for p in judge.parameters()], theirs)
    torch.testing.assert_close(losses.generator, own / 4)


def test_frozen_weights_and_spectral_normalisation():
    torch.manual_seed(0)
    judge = nn.Sequential(spectral_norm(nn.Linear(6, 8)), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    judge = judge.double().eval()
    judge[2].bias.requires_grad_(False)
    generator, _ = players()
    real, z = samples()
    twin = copy.deepcopy(judge)
    twin[2].bias.requires_grad_(True)
    ours, *_ = two_stage(generator, twin, "bce", real, z)
    OneStageStep(judge)(real, generator(z)).generator.backward()
    assert judge[2].bias.grad is None
    assert_equal([p.grad for p in generator.parameters()], ours)


@pytest.mark.parametrize("kind", [ARGA, ARGVA])
def test_pyg_adversarial_autoencoders(kind):
    """The discriminator's loss and the encoder's, reconstruction included, as PyG has them."""
    torch.manual_seed(0)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(8, 4)
            self.spread = GCNConv(8, 4) if kind is ARGVA else None

        def forward(self, x, edge_index):
            if self.spread is None:
                return self.conv(x, edge_index)
            return self.conv(x, edge_index), self.spread(x, edge_index)

    model = kind(Encoder(), MLP([4, 8, 1], norm=None)).double()
    x, edge_index = torch.randn(20, 8).double(), torch.randint(20, (2, 60))
    z, none = model.encode(x, edge_index), edge_index.flip(1)
    encoder, judge = list(model.encoder.parameters()), list(model.discriminator.parameters())
    torch.manual_seed(5)
    theirs = torch.autograd.grad(model.discriminator_loss(z), judge)
    ours = model.reg_loss(z) + model.recon_loss(z, edge_index, none)
    expected = torch.autograd.grad(ours, encoder, retain_graph=True)
    torch.manual_seed(5)
    losses = OneStageStep(model.discriminator)(torch.randn_like(z), z)
    found = losses.generator + model.recon_loss(z, edge_index, none)
    torch.testing.assert_close(found, ours)
    assert_equal(torch.autograd.grad(found, encoder), expected)
    assert_equal([p.grad for p in judge], theirs)


class GraphJudge(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = GCNConv(3, 8), nn.Linear(8, 1)

    def forward(self, graph):
        hidden = self.conv(graph.x, graph.edge_index, graph.edge_weight).tanh()
        return self.head(global_add_pool(hidden, graph.batch, graph.num_graphs))[:, 0]


def graphs(x, weight):
    """Three graphs with given features and edge weights."""
    torch.manual_seed(2)
    sizes = (4, 5, 3)
    parts = [Data(x=torch.zeros(n, 3), edge_index=torch.randint(n, (2, 2 * n))) for n in sizes]
    batch = Batch.from_data_list(parts)
    batch.x, batch.edge_weight = x, weight
    return batch, [batch.batch, batch.batch[batch.edge_index[0]]]


def test_graph_discriminators_and_two_tensors_of_each_sample():
    torch.manual_seed(0)
    generator = nn.ParameterList([torch.randn(12, 3).double(), torch.rand(24).double()])
    judge = GraphJudge().double()
    fake, index = graphs(generator[0] * 1.0, generator[1].sigmoid())
    real, _ = graphs(torch.randn(12, 3).double(), torch.ones(24).double())
    loss = gan_loss("lsgan")
    own = loss.generator(judge(fake)).mean()
    expected = torch.autograd.grad(own, list(generator), retain_graph=True)
    one_stage = OneStageStep(judge, "lsgan")
    with pytest.raises(ValueError, match=r"3 scores for fake samples of shape \[12, 3\]"):
        one_stage(real, fake)
    with pytest.raises(ValueError, match="'samples' has 1 entries, but 2 tensors"):
        one_stage(real, fake, index[:1])
    one_stage(real, fake, index).generator.backward()
    assert_equal([p.grad for p in generator], expected)
    assert fake.x.requires_grad


def scenes():
    real = SceneBatch.from_data(list(SyntheticScenes(num_graphs=6)))
    fake = copy.copy(real)
    torch.manual_seed(0)
    x, edge = torch.randn(real.num_nodes, 28), torch.randn(real.edge_attr.numel(), 13)
    leaves = x.requires_grad_(), edge.requires_grad_()
    fake.x_soft, fake.edge_soft = (leaf.softmax(1) for leaf in leaves)
    return real, fake, leaves


def test_discriminators_of_scene_graphs():
    """Whole graphs by any loss; triples, which share objects, by a symmetric one."""
    real, fake, leaves = scenes()
    index = [real.batch, real.batch[real.edge_index[0]]]
    for judge, name in (
        (GlobalGraphDiscriminator(28, 13, 16), "bce"),
        (GlobalGraphDiscriminator(28, 13, 16), "hinge"),
        (LocalTripleDiscriminator(28, 13, 16), "saturating"),
    ):
        judge.eval()
        own = gan_loss(name).generator(judge(fake)).mean()
        expected = torch.autograd.grad(own, leaves, retain_graph=True)
        found = OneStageStep(judge, name)(real, fake, index).generator
        assert_equal(torch.autograd.grad(found, leaves, retain_graph=True), expected, 1e-4)
    rows = torch.arange(real.edge_attr.numel())
    nodes = torch.zeros(real.num_nodes, dtype=torch.long).index_put((real.edge_index[0],), rows)
    triples = OneStageStep(LocalTripleDiscriminator(28, 13, 16))
    with pytest.raises(ValueError, match="depends on others in LocalTripleDiscriminator"):
        triples(real, fake, [nodes, rows])


def test_in_a_trainer():
    """The generator is fitted, the discriminator moves with it, and a checkpoint holds both."""
    generator, judge = players()
    real, _ = samples()
    last = {}

    def loss(model, z):
        last["fake"] = model(z.double())
        return last["fake"].sum() * 0

    optimizer = torch.optim.SGD(judge.parameters(), lr=0.1)
    adversary = OneStageStep(judge, pair=lambda run: (real, last["fake"]), optimizer=optimizer)
    task = NoiseTask(lambda n, g: torch.randn(n, 4, generator=g), loss, 32, steps=3)
    trainer = Trainer(2, monitor=None, seed=0, callbacks=[adversary], progress=False)
    before = copy.deepcopy(judge.state_dict())
    result = trainer.fit(generator, torch.optim.SGD(generator.parameters(), lr=0.1), task)
    assert result.history[-1]["discriminator_loss"] == adversary.last > 0
    assert any((before[n] != v).any() for n, v in judge.state_dict().items())
    other = OneStageStep(players()[1], pair=lambda run: None, optimizer=optimizer)
    other.load_state_dict(adversary.state_dict())
    assert_equal(other.discriminator.parameters(), judge.parameters())
    with pytest.raises(ValueError, match="needs 'pair' and 'optimizer'"):
        Trainer(1, monitor=None, callbacks=[OneStageStep(judge)], progress=False).fit(
            generator, torch.optim.SGD(generator.parameters(), lr=0.1), task
        )
    with pytest.raises(ValueError, match="needs both"):
        OneStageStep(judge, optimizer=optimizer)


def test_wrong_samples_are_named():
    (generator, judge), (real, z) = players(), samples()
    with pytest.raises(ValueError, match="'fake' carries no gradient"):
        OneStageStep(judge)(real, generator(z).detach())
    with pytest.raises(ValueError, match=r"one score per sample.*fake.*\[32, 6\]"):
        OneStageStep(nn.Identity())(real[:, :1], generator(z))
    with pytest.raises(ValueError, match=r"one score per sample.*real.*\[32, 6\]"):
        OneStageStep(nn.Identity())(real, generator(z))
    wrong = torch.arange(32)
    with pytest.raises(ValueError, match=r"entry of shape \[31\]"):
        OneStageStep(judge)(real, generator(z), [wrong[1:]])
    with pytest.raises(IndexError, match=r"\[-1, 32\)"):
        OneStageStep(judge)(real, generator(z), [wrong + 1])


def test_no_fake_sample_moves_nothing():
    (generator, judge), (real, z) = players(), samples()
    losses = OneStageStep(judge)(real, generator(z[:0]))
    losses.generator.backward()
    assert float(losses.generator.detach()) == 0.0
    assert all(not p.grad.any() for p in generator.parameters())


def test_scores_that_no_row_belongs_to():
    """Rows that are marked -1, of samples that do not count, have no gradient."""
    (generator, judge), (real, z) = players(), samples()

    class Some(nn.Module):
        def __init__(self):
            super().__init__()
            self.judge = judge

        def forward(self, x):
            return self.judge(x)[::2, 0]

    index = torch.full((32,), -1)
    index[::2] = torch.arange(16)
    made = generator(z).detach().requires_grad_()
    OneStageStep(Some(), GANLoss("own", torch.square, torch.square, torch.exp))(
        real, made, [index]
    ).generator.backward()
    assert not made.grad[1::2].any()
    assert made.grad[::2].any(1).all()


def test_the_history_has_no_loss_before_the_first_step():
    run = SimpleNamespace(history=[{}])
    OneStageStep(players()[1]).on_epoch_end(run)
    assert run.history == [{"discriminator_loss": 0.0}]
