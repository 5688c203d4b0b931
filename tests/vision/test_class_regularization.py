import pytest
import torch
import torch.nn.functional as F

from graphkit.testing import TaskSuite
from graphkit.vision import ClassRegularization, EpisodeTask, draw_episode, meta_shift


def make(variant="decoder", **options):
    torch.manual_seed(0)
    model = ClassRegularization(torch.nn.Identity(), 6, 4, variant=variant, **options)
    for parameter in (model.encoder.weight, model.decoder.weight):
        torch.nn.init.normal_(parameter)
    return model


@pytest.mark.parametrize("num_basis", [4, 7, 1])
def test_descriptors_are_those_of_the_formula(num_basis):
    model, support = make(num_basis=num_basis), torch.randn(3, 2, 6)
    expected = []
    for images in support:
        rows = []
        for f in images:
            code = model.encoder.weight @ f
            cosine = torch.stack([F.cosine_similarity(code, b, dim=0) for b in model.basis])
            a = (10 * cosine).exp() / (10 * cosine).exp().sum()
            rows.append(model.decoder.weight @ (a[:, None] * model.basis).sum(0))
        expected.append(torch.stack(rows).mean(0))
    found = model.describe(support)
    assert torch.allclose(found, torch.stack(expected), atol=1e-5)
    assert torch.allclose(model.assign(support).sum(-1), torch.ones(3, 2))
    if num_basis == 1:
        assert torch.allclose(found, found[:1].expand(3, 6), atol=1e-6)
    assert model.global_logits(support[:, 0]).shape == (3, 4)


def test_the_residual_goes_from_prototype_to_descriptor():
    support = torch.randn(3, 2, 6)
    model, plain, pure = make("residual"), make("prototype"), make()
    query = torch.randn(5, 6)
    for share, other in ((40.0, plain), (-40.0, pure)):
        torch.nn.init.constant_(model.share, share)
        expected = F.normalize(other.describe(support), dim=1)
        assert torch.allclose(model.describe(support), expected, atol=1e-6)
    assert torch.equal(plain.describe(support), support.mean(1))
    cosine = torch.cosine_similarity(query[:, None], plain.describe(support)[None], dim=2)
    assert torch.allclose(plain.scores(query, plain.describe(support)), 10 * cosine, atol=1e-5)


def test_shots_have_no_order_and_classes_keep_theirs():
    model, support = make(), torch.randn(4, 3, 6)
    found, order = model.describe(support), torch.tensor([2, 0, 3, 1])
    assert torch.allclose(model.describe(support[:, [2, 0, 1]]), found, atol=1e-6)
    assert torch.allclose(model.describe(support[order]), found[order], atol=1e-6)
    same = support[:, :1].expand(4, 3, 6)
    assert torch.allclose(model.describe(same), model.describe(support[:, :1]), atol=1e-6)


def test_episodes_have_exact_counts_and_no_overlap():
    y = torch.randint(0, 9, (200,))
    generator = torch.Generator().manual_seed(4)
    support, query, classes = draw_episode(y, 5, 2, 6, generator)
    assert (support.shape, query.shape) == ((5, 2), (5, 6))
    assert len(classes.unique()) == 5
    rows = torch.cat([support, query], 1)
    assert len(rows.unique()) == rows.numel()
    assert (y[rows] == classes.unsqueeze(1)).all()
    again = draw_episode(y, 5, 2, 6, torch.Generator().manual_seed(4))
    assert torch.equal(again[0], support)
    with pytest.raises(ValueError, match="classes"):
        draw_episode(y, 10, 1, 1, generator)


def test_the_meta_shift_is_a_ratio_of_variances():
    c = F.normalize(torch.randn(5, 7, 4, dtype=torch.double), dim=2)
    within = c.var(1, unbiased=False).sum(1).mean()
    between = c.mean(1).var(0, unbiased=False).sum()
    assert torch.allclose(meta_shift(3 * c), within / between)


class TestEpisodeTask(TaskSuite):
    not_claimed = {"shares_make_up_the_whole": "each process learns from a task of its own"}

    def make(self):
        x, y = torch.randn(40, 6), torch.arange(4).repeat(10)
        return EpisodeTask(x, y, ways=3, shots=2, queries=4, episodes=7, anchors=16)

    def make_model(self):
        return make()


def test_the_task_adds_episode_and_global_loss():
    model = make()
    x, y = torch.randn(40, 6), torch.arange(4).repeat(10)
    task = EpisodeTask(x, y, ways=3, shots=2, queries=4, episodes=2, weight=0.5, anchors=16)
    support, query, others = next(iter(task.batches(0)))
    c = model.describe(x[support])
    target = torch.arange(3).repeat_interleave(4)
    episode = F.cross_entropy(model.scores(x[query].flatten(0, 1), c), target)
    everywhere = F.cross_entropy(model.global_logits(x[others]), y[others])
    loss = task.loss(model, (support, query, others))
    assert torch.allclose(loss, episode + 0.5 * everywhere)
    loss.backward()
    assert model.basis.grad.any()
    assert len(list(task.batches(0))) == 2
    halves = [list(task.shard(r, 2).batches(0)) for r in (0, 1)]
    assert torch.equal(halves[0][0][0], support)
    assert not torch.equal(halves[1][0][0], support)


def test_as_many_tasks_for_every_process():
    task = EpisodeTask(torch.randn(40, 6), torch.arange(4).repeat(10), 3, 2, 4, episodes=7)
    assert [len(list(task.shard(rank, 3).batches(0))) for rank in range(3)] == [3, 3, 3]
    assert len(list(task.batches(0))) == 7


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="variant"):
        make("mean")
    with pytest.raises(ValueError, match="num_basis"):
        make(num_basis=0)
    with pytest.raises(ValueError, match="'y'"):
        EpisodeTask(torch.rand(3, 2), torch.zeros(4).long())


@pytest.mark.parametrize("variant", ["decoder", "residual", "prototype"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_an_image_without_features_is_no_nan_in_half_precision(variant, dtype):
    model = make(variant).to(dtype)
    support = torch.randn(3, 2, 6).to(dtype)
    support[0] = 0
    support.requires_grad_()
    scores = model.scores(support[:, 0], model.describe(support))
    assert scores.isfinite().all()
    (scores.sum() + model.global_logits(support[:, 1]).sum()).backward()
    assert support.grad.isfinite().all()
