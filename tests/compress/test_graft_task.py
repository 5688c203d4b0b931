import pytest
import torch

from graphkit.compress import GraftTask, NetGraft, graft_loss
from graphkit.testing import TaskSuite
from tests.compress.networks import conv_blocks, graph, graph_blocks, images


class TestGraftTask(TaskSuite):
    def make(self):
        x = images(7).double()
        return GraftTask(x, (False, True, False), steps=4, batch_size=3, normalize=False)

    def make_model(self):
        return NetGraft(conv_blocks(6), conv_blocks(2), images(7)).double()


class TestGraftTaskOnAGraph(TaskSuite):
    def make(self):
        x, edge_index = graph()
        rows = torch.arange(7)
        options = {"steps": 4, "batch_size": 3, "normalize": False}
        return GraftTask(x, (False, True, True), rows=rows, edge_index=edge_index, **options)

    def make_model(self):
        x, edge_index = graph()
        return NetGraft(graph_blocks(8), graph_blocks(3), x, edge_index)


def test_every_sample_comes_before_any_comes_again():
    task = GraftTask(images(7), (True,), steps=6, batch_size=3)
    batches = [rows for (rows,) in task.batches(seed=1)]
    assert [len(rows) for rows in batches] == [3, 3, 1] * 2
    for half in (batches[:3], batches[3:]):
        assert sorted(torch.cat(half).tolist()) == list(range(7))
    again = [rows for (rows,) in task.batches(seed=1)]
    assert all(torch.equal(a, b) for a, b in zip(batches, again, strict=True))
    other = torch.cat([rows for (rows,) in task.batches(seed=2)])
    assert not torch.equal(torch.cat(batches), other)


def test_the_loss_compares_the_hybrid_with_the_teacher():
    x = images(6)
    net = NetGraft(conv_blocks(6), conv_blocks(2), x)
    grafted = (False, True, False)
    task = GraftTask(x, grafted, steps=1, batch_size=4, augment=lambda x: x.flip(3))
    ((rows,),) = task.batches(0)
    seen = x[rows].flip(3)
    expected = graft_loss(net(seen, grafted=grafted), net(seen, grafted=(False,) * 3))
    assert torch.equal(task.loss(net, (rows,)), expected)
    plain = GraftTask(x, grafted, normalize=False).loss(net, (torch.arange(6),))
    expected = (net(x, grafted=grafted) - net(x, grafted=(False,) * 3)).square().mean()
    assert torch.allclose(plain, expected)


def test_on_a_graph_all_nodes_are_seen_and_few_count():
    x, edge_index = graph()
    net = NetGraft(graph_blocks(8), graph_blocks(3), x, edge_index)
    mask = torch.arange(12) % 4 == 0
    task = GraftTask(x, (True,) * 3, steps=1, rows=mask, edge_index=edge_index)
    ((rows,),) = task.batches(0)
    assert sorted(rows.tolist()) == [0, 4, 8]
    out, target = net(x, edge_index), net(x, edge_index, grafted=(False,) * 3)
    assert torch.allclose(task.loss(net, (rows,)), graft_loss(out[mask], target[mask]))


def test_no_sample_is_refused_and_one_class_is_enough():
    with pytest.raises(ValueError, match="no sample"):
        GraftTask(images(0), (True,))
    with pytest.raises(ValueError, match="no sample"):
        GraftTask(graph()[0], (True,), rows=torch.zeros(12, dtype=torch.bool))
    with pytest.raises(ValueError, match="'steps'"):
        GraftTask(images(3), (True,), steps=0)
    x = images(1)
    net = NetGraft(conv_blocks(6), conv_blocks(2), x)
    assert GraftTask(x, (True,) * 3).loss(net, (torch.tensor([0]),)).isfinite()


@pytest.mark.parametrize(("rows", "seen"), [(None, 2), (torch.tensor([0, 3, 5]), 6)])
def test_with_rows_all_samples_are_seen_and_without_only_the_batch(rows, seen):
    """A network may look from one sample at others, so what has rows is passed on whole."""
    x, sizes = images(6), []
    net = NetGraft(conv_blocks(6), conv_blocks(2), x)
    net.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    task = GraftTask(x, (True,) * 3, steps=1, batch_size=2, rows=rows)
    ((batch,),) = task.batches(0)
    task.loss(net, (batch,))
    assert sizes == [seen, seen]
