import math

import pytest
import torch

from graphkit.datasets import SceneBatch, SyntheticScenes
from graphkit.nn import (
    EnrichmentTask,
    GlobalGraphDiscriminator,
    LocalTripleDiscriminator,
    SceneAdversary,
    SceneGraphEnricher,
)
from graphkit.nn.scenes.training import relation_loss
from graphkit.testing import TaskSuite
from graphkit.train import Trainer, gan_loss
from tests.nn.scenes.problems import OBJECTS, PREDICATES, SMALL, enricher, some_scenes, union


def parts(count=60):
    return [SceneBatch.from_data(list(part)) for part in SyntheticScenes(count).splits()[:2]]


def adversary(**options):
    torch.manual_seed(1)
    return SceneAdversary(
        LocalTripleDiscriminator(OBJECTS, PREDICATES, 16),
        GlobalGraphDiscriminator(OBJECTS, PREDICATES, 16),
        **options,
    )


def small():
    torch.manual_seed(0)
    return SceneGraphEnricher(OBJECTS, PREDICATES, **SMALL, noise_channels=4)


def fit(epochs, callbacks=(), path=None, resume=False, **options):
    model = small()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    trainer = Trainer(
        epochs,
        seed=0,
        callbacks=callbacks,
        checkpoint=path,
        checkpoint_seconds=0,
        resume=resume,
        progress=False,
    )
    return model, trainer.fit(model, optimizer, EnrichmentTask(*parts(), 16, **options))


class TestEnrichmentTask(TaskSuite):
    def make(self):
        return EnrichmentTask(*parts(30), 8, relation_weight=0.0)

    def make_model(self):
        return enricher()


def test_every_graph_loses_one_object_per_epoch_or_none():
    train, val = parts()
    task = EnrichmentTask(train, val, 16, stop_share=0.3)
    batches = list(task.batches(3))
    assert sum(task.size(batch) for batch in batches) == train.num_graphs
    category = torch.cat([batch.category for batch in batches])
    assert 0.1 < float((category < 0).float().mean()) < 0.5
    for batch in batches:
        lost = batch.whole.node_ptr.diff() - batch.rest.node_ptr.diff()
        assert torch.equal(lost, (batch.category >= 0).long())
    again = torch.cat([batch.category for batch in task.batches(3)])
    other = torch.cat([batch.category for batch in task.batches(4)])
    assert torch.equal(category, again)
    assert not torch.equal(category, other)


def test_processes_share_each_batch():
    task = EnrichmentTask(*parts(), 16)
    whole = torch.cat([batch.category for batch in task.batches(1)]).sort().values
    shares = [
        torch.cat([batch.category for batch in task.shard(rank, 2).batches(1)]) for rank in (0, 1)
    ]
    assert torch.equal(torch.cat(shares).sort().values, whole)


def test_relation_loss_by_hand():
    batch = union().knock_out(torch.tensor([0, 5, -1, 8, 9, -1, -1, -1]))
    logits = torch.randn(batch.rest.num_nodes, 2, PREDICATES + 1, dtype=torch.float64)
    log, wanted = logits.log_softmax(-1), {}
    for i, d, p in batch.links.t().tolist():
        wanted.setdefault((i, d), []).append(p)
    total, weight = 0.0, 0.0
    for i, graph in enumerate(batch.rest.batch.tolist()):
        for d in range(2):
            if batch.category[graph] < 0:
                continue
            named = wanted.get((i, d), [])
            rows = [-log[i, d, p] for p in named] or [-0.2 * log[i, d, -1]]
            total += float(sum(rows) / len(rows))
            weight += 1.0 if named else 0.2
    assert float(relation_loss(logits, batch, 0.2)) == pytest.approx(total / weight)


def test_nothing_to_relate_gives_a_loss_of_zero():
    batch = SceneBatch.from_data(some_scenes()[3]).knock_out(torch.tensor([0]))
    loss = relation_loss(torch.zeros(0, 2, PREDICATES + 1, requires_grad=True), batch, 0.2)
    assert float(loss.detach()) == 0.0
    loss.backward()


def test_evaluation_is_every_object_once():
    train, val = parts()
    task, model = EnrichmentTask(train, val, 16), enricher().float()
    test = val.leave_one_out()
    with torch.no_grad():
        metrics = task.evaluate(model)
        logits = model(test.rest, test.category).object_logits[:, :-1]
    hits = (logits.topk(5).indices == test.category[:, None]).any(1).float().mean()
    assert metrics["val_recall@5"] == pytest.approx(float(hits))
    loss = torch.nn.functional.cross_entropy(logits, test.category)
    assert metrics["val_object_loss"] == pytest.approx(float(loss), rel=1e-5)


def test_training_lowers_the_loss_with_and_without_adversaries():
    for callbacks in ([], [adversary()]):
        _, result = fit(12, callbacks)
        losses = [row["train_loss"] for row in result.history]
        assert min(losses) < losses[0] - 0.3
    assert {"local_discriminator_loss", "whole_discriminator_loss"} <= set(result.history[-1])
    assert all(
        abs(result.history[0][f"{k}_discriminator_loss"] - math.log(2)) < 0.2
        for k in ("local", "whole")
    )


def test_a_resumed_adversarial_run_ends_where_the_whole_one_ends(tmp_path):
    whole, _ = fit(4, [adversary()])
    path = tmp_path / "run.pt"

    class Kill(SceneAdversary):
        def on_epoch_end(self, run):
            super().on_epoch_end(run)
            if run.epoch == 3:
                raise KeyboardInterrupt

    torch.manual_seed(1)
    killer = Kill(
        LocalTripleDiscriminator(OBJECTS, PREDICATES, 16),
        GlobalGraphDiscriminator(OBJECTS, PREDICATES, 16),
    )
    with pytest.raises(KeyboardInterrupt):
        fit(4, [killer], path)
    resumed, _ = fit(4, [adversary()], path, resume=True)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_penalty_moves_the_enricher_and_not_the_discriminators():
    model, judges = small().train(), adversary(weight=1.0)
    task = EnrichmentTask(*parts(), 16)

    class Fake:
        pass

    run = Fake()
    run.model, run.task = model, task
    task.loss(model, next(iter(task.batches(0))))
    for parameter in judges.judges.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    judges.penalty(run).backward()
    assert model.object_head.lins[-1].weight.grad.abs().sum() > 0
    assert model.relation_head.lins[-1].weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in judges.judges.parameters())
    before = [parameter.clone() for parameter in judges.judges.parameters()]
    model.zero_grad()
    judges.on_step_end(run)
    assert all(parameter.grad is None for parameter in model.parameters())
    after = list(judges.judges.parameters())
    assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def half_trained(loss, whole_alone):
    """A batch with its fakes, and discriminators in float64 whose norms stand still."""
    torch.manual_seed(1)
    local = None if whole_alone else LocalTripleDiscriminator(OBJECTS, PREDICATES, 16)
    whole = GlobalGraphDiscriminator(OBJECTS, PREDICATES, 16)
    judges = SceneAdversary(local, whole, weight=0.7, loss=loss, one_stage=True)
    for parameter in judges.judges.double().eval().parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    model = enricher()
    batch = union().knock_out(torch.tensor([0, 5, -1, 8, 9, -1, -1, -1]))
    fake, is_new = judges.imagine(model, batch, model(batch.rest, batch.category))
    return model, judges, batch, fake, is_new


@pytest.mark.parametrize(
    ("loss", "whole_alone"),
    [("saturating", False), ("wgan", False), ("bce", True), ("lsgan", True), ("hinge", True)],
)
def test_one_stage_has_the_gradients_of_two(loss, whole_alone):
    model, judges, batch, fake, is_new = half_trained(loss, whole_alone)
    kind, calls = gan_loss(loss), []
    for judge in judges.judges.values():
        judge.register_forward_hook(lambda *_: calls.append(1))
    value = judges.one_pass(batch, fake, is_new)
    assert len(calls) == 2 * len(judges.judges)
    weights, parameters = list(judges.judges.parameters()), list(model.parameters())
    found = [p.grad for p in weights]
    seen = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    # The same two losses apart, by autograd alone.
    taken = torch.zeros(batch.whole.num_nodes, dtype=torch.bool)
    taken[torch.tensor([0, 5, 8, 9])] = True
    ours = theirs = 0.0
    for name, judge in judges.judges.items():
        real = judge(batch.whole)[judges.counted(name, batch.whole, taken)]
        made = judge(fake)[judges.counted(name, fake, is_new)]
        theirs = theirs + kind.real(real).mean() + kind.fake(made).mean()
        ours = ours + 0.7 * kind.generator(made).mean()
    assert float(value.detach()) == pytest.approx(float(ours.detach()), rel=1e-6)
    wanted = torch.autograd.grad(theirs, weights, retain_graph=True, allow_unused=True)
    moved = torch.autograd.grad(ours, parameters, allow_unused=True)
    assert any(grad is not None and grad.abs().max() > 1e-6 for grad in moved)
    for one, other in zip([*found, *seen], [*wanted, *moved], strict=True):
        assert (one is None or not one.any()) if other is None else True
        if other is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_both_players_move_in_one_stage():
    options = {"loss": "saturating", "one_stage": True}
    judges = adversary(**options)
    before = [p.clone() for p in judges.judges.parameters()]
    _, result = fit(2, [judges])
    moved = [not torch.equal(a, b) for a, b in zip(before, judges.judges.parameters(), strict=True)]
    assert all(moved)
    assert 0.3 < result.history[-1]["whole_discriminator_loss"] < 1.0


def test_triples_that_see_each_other_are_refused_in_one_stage():
    with pytest.raises(ValueError, match=r"'local' needs a symmetric 'loss'.*got 'bce'"):
        adversary(one_stage=True)
    with pytest.raises(ValueError, match="'loss' must be one of"):
        adversary(loss="none")


def test_generated_objects_stand_where_the_taken_ones_stood():
    model, judges = enricher().float(), adversary()
    batch = union().knock_out(torch.tensor([0, 5, -1, 8, 9, -1, -1, -1]))
    fake, is_new = judges.imagine(model, batch, model(batch.rest, batch.category))
    grown = torch.bincount(fake.batch[is_new], minlength=8)
    assert grown.tolist() == (batch.category >= 0).int().tolist()
    counted = judges.counted("local", fake, is_new)
    assert torch.equal(counted, is_new[fake.edge_index].any(0))
    assert judges.counted("whole", fake, is_new).tolist() == (batch.category >= 0).tolist()


def test_wrong_options_are_refused():
    train, val = parts()
    empty = SceneBatch.from_data(some_scenes()[2])
    with pytest.raises(ValueError, match="'train' holds no object"):
        EnrichmentTask(empty, val)
    for options in ({"batch_size": 0}, {"stop_share": 1.0}, {"none_weight": -1.0}):
        with pytest.raises(ValueError, match="'batch_size' must be positive"):
            EnrichmentTask(train, val, **options)
    with pytest.raises(ValueError, match="'local' or 'whole' must be a discriminator"):
        SceneAdversary()
