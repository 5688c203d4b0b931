"""The customised student: who is trusted, the objective by hand, what stays and what is refused."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GAT, GCN, MeanAggregation

from graphkit.distill import CustomizedStudent, Distillation
from graphkit.distill.amalgamation.source_losses import (
    ProjectedFeatureLoss,
    ScaledLogitLoss,
    entropy,
)
from graphkit.testing import assert_no_trace
from graphkit.train import TensorTask, Trainer

LAYERS = [["1", "1", "1"]]
CHANNELS = [[4, 6, 8]]


def network(width, classes):
    conv = nn.Conv2d(1, width, 3, 2, 1)
    return nn.Sequential(
        conv,
        nn.BatchNorm2d(width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, classes),
    )


class Says(nn.Module):
    """A classifier whose logits are given, whatever comes in."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.as_tensor(logits, dtype=torch.float))

    def forward(self, x):
        return self.logits[: len(x)]


def make(**options):
    sources = [network(6, 3), network(8, 5)]
    covers = [{"kind": [0, 1, 2]}, {"kind": [2, 0, 4], "age": [1, 3]}]
    arguments = {"layers": LAYERS, "channels": CHANNELS} | options
    return CustomizedStudent(network(4, 5), sources, covers, **arguments)


def images(count=6):
    return torch.rand(count, 1, 8, 8)


# Who is trusted


def test_entropy_does_not_see_constants_and_is_finite():
    logits = torch.randn(5, 4).double()
    expected = -(logits.softmax(1) * logits.softmax(1).log()).sum(1)
    torch.testing.assert_close(entropy(logits), expected)
    torch.testing.assert_close(entropy(logits + 37), entropy(logits))
    assert entropy(torch.full((1, 7), 3.0)).item() == pytest.approx(math.log(7))
    far = torch.tensor([[1e4, -1e4, 0.0]])
    assert entropy(far).item() == entropy(-far).item() == 0


def test_each_sample_trusts_the_surest_source_and_ties_go_to_the_first():
    sure, vague = [9.0, 0.0, 0.0], [1.0, 0.0, 0.0]
    sources = [Says([vague, sure, vague]), Says([sure, vague, vague])]
    model = CustomizedStudent(Says(torch.zeros(3, 3)), sources, [{"kind": range(3)}] * 2)
    trust = model.trust("kind", torch.zeros(3, 1))
    assert trust.choice.tolist() == [1, 0, 0]
    assert trust.picked.tolist() == [sure, sure, vague]
    swapped = CustomizedStudent(model.student, sources[::-1], [{"kind": range(3)}] * 2)
    assert swapped.trust("kind", torch.zeros(3, 1)).choice.tolist() == [0, 1, 0]


def test_only_the_columns_of_the_task_count():
    """The second source is sure of a class that is not asked for."""
    sources = [Says([[3.0, 0.0, 0.0]]), Says([[0.0, 1.0, 50.0]])]
    covers = [{"kind": [0, 1]}, {"kind": [1, 0]}]
    model = CustomizedStudent(Says([[0.0, 0.0]]), sources, covers)
    trust = model.trust("kind", torch.zeros(1, 1))
    assert trust.choice.tolist() == [0]
    assert trust.logits[0].tolist() == [[3, 0], [1, 0]]


# The objective


def by_hand(model, x, balanced=False):
    """The objective sample by sample, from the formula."""
    student = copy.deepcopy(model.student).train()
    sources = [copy.deepcopy(source).eval() for source in model.teacher]
    z, ours = student(x), student[:2](x)
    total, first = 0.0, 0
    for own in model.columns.values():
        head = z[:, first : first + len(next(iter(own.values())))]
        first += head.size(1)
        logits = {t: sources[t](x)[:, columns] for t, columns in own.items()}
        doubts = torch.stack(
            [torch.distributions.Categorical(logits=v).entropy() for v in logits.values()]
        )
        choice = [list(own)[i] for i in doubts.min(0).indices.tolist()]
        for n, t in enumerate(choice):
            count = choice.count(t) if balanced else len(x)
            total += (model.losses[t].scale * head[n] - logits[t][n]).square().mean() / count
            loss, theirs = model.losses[2 + t], sources[t][:2](x)[n]
            left = torch.einsum("oc,chw->ohw", loss.student.weight, ours[n])
            right = torch.einsum("oc,chw->ohw", loss.source.weight, theirs)
            total += model.weight * (left - right).square().mean() / count
    norms = [loss.source.weight.square().sum(1) for loss in model.losses[2:]]
    return total, sum((norm - 1).square().mean() for norm in norms)


@pytest.mark.parametrize("balanced", [False, True])
def test_the_objective_by_hand(balanced):
    model, x = make(weight=3.0, balanced=balanced), 5 * torch.randn(12, 1, 8, 8)
    with torch.no_grad():
        for source in model.teacher:
            source[-1].bias.zero_()
        for loss in model.losses[2:]:
            loss.source.weight.mul_(1.3)
        model.losses[1].scale.fill_(0.7)
    assert len(set(model.trust("kind", x).choice.tolist())) == 2
    expected, norm = by_hand(model, x, balanced)
    torch.testing.assert_close(model.loss(x), expected + norm)


def test_the_released_variant_counts_norms_per_layer_and_keeps_the_scale():
    layers, channels = [["0", "0", "0"], ["1", "1", "1"]], CHANNELS * 2
    terms = {}
    for variant in ("paper", "released"):
        torch.manual_seed(0)
        model, x = make(layers=layers, channels=channels, variant=variant), images()
        with torch.no_grad():
            for loss in model.losses[2:]:
                loss.source.weight.mul_(1.3)
        model(x)
        terms[variant] = model.terms()
        learned = [loss.scale.requires_grad for loss in model.losses[:2]]
        assert learned == [variant == "paper"] * 2
        assert len(model.parameter_groups(1e-4)[1]["params"]) == 2 * (variant == "paper")
    assert terms["paper"]["norm"] > 0.1
    torch.testing.assert_close(terms["released"]["norm"], 2 * terms["paper"]["norm"])
    torch.testing.assert_close(terms["released"]["logits"], terms["paper"]["logits"])


def test_one_source_is_plain_distillation_and_twins_are_one_source():
    x, source = images(), network(6, 3)
    covers = {"kind": range(3)}
    one = CustomizedStudent(network(4, 3), [source], [covers])
    two = CustomizedStudent(one.student, [source, source], [covers] * 2)
    plain = F.mse_loss(one.student(x), copy.deepcopy(source).eval()(x))
    torch.testing.assert_close(one.loss(x), plain)
    torch.testing.assert_close(two.loss(x), plain)
    assert two.trust("kind", x).choice.tolist() == [0] * 6


def test_norm_penalty_is_zero_for_unit_rows_and_pulls_lengths_to_one():
    loss = ProjectedFeatureLoss(3, 8)
    assert loss.source.weight.shape == (4, 8)
    assert loss.norm_penalty().item() == pytest.approx(0, abs=1e-12)
    for factor, sign in ((1.5, 1), (0.5, -1)):
        loss.reset_parameters()
        with torch.no_grad():
            loss.source.weight.mul_(factor)
        (grad,) = torch.autograd.grad(loss.norm_penalty(), loss.source.weight)
        assert torch.equal((grad * loss.source.weight).sum(1).sign(), torch.full((4,), float(sign)))


def test_exact_norms_need_no_penalty():
    loss, x, y = ProjectedFeatureLoss(3, 8, exact=True), torch.rand(5, 3), torch.rand(5, 8)
    before = loss(x, y)
    with torch.no_grad():
        loss.source.weight.mul_(3)
    torch.testing.assert_close(loss(x, y), before)
    assert loss.norm_penalty() == 0
    assert ProjectedFeatureLoss(3, 8, both=False).source is None


def test_maps_of_different_size_are_averaged_to_the_smaller():
    loss, small, large = ProjectedFeatureLoss(2, 2), torch.rand(3, 2, 2, 2), torch.rand(3, 2, 4, 4)
    torch.testing.assert_close(loss(small, large), loss(small, F.avg_pool2d(large, 2)))


# The two steps


def test_each_head_of_a_target_reads_its_component_alone():
    x = images()
    kind, both = make(tasks=["kind"]), make(tasks=["kind", "age"])
    kind.student = network(4, 3)
    target = CustomizedStudent.of_components(network(4, 5), {"age": both, "kind": kind})
    assert target.tasks == ("age", "kind")
    assert target.columns == {"age": {0: [3, 4]}, "kind": {1: [0, 1, 2]}}
    out = target.student.train()(x)
    given = [copy.deepcopy(m.student).eval()(x) for m in (both, kind)]
    expected = F.mse_loss(out[:, :2], given[0][:, 3:]) + F.mse_loss(out[:, 2:], given[1])
    torch.testing.assert_close(target.loss(x), expected)
    with pytest.raises(ValueError, match="did you mean 'kind'"):
        CustomizedStudent.of_components(network(4, 3), {"kin": kind})
    with pytest.raises(ValueError, match="0 sources"):
        CustomizedStudent.of_components(network(4, 3), {})


def test_sources_stay_as_they_are_and_may_be_in_training_mode():
    model, x = make(), images()
    model.teacher.train()
    before = {name: value.clone() for name, value in model.teacher.state_dict().items()}
    assert not any(p is q for p in model.parameters() for q in model.teacher.parameters())
    optimizer = torch.optim.Adam(model.parameter_groups(0.01))
    expected, norm = by_hand(model, x)
    torch.testing.assert_close(model.loss(x), expected + norm)
    model.loss(x).backward()
    optimizer.step()
    assert all(torch.equal(before[n], value) for n, value in model.teacher.state_dict().items())
    assert all(p.grad is None for p in model.teacher.parameters())
    assert all(module.training for module in model.teacher.modules())
    with assert_no_trace(model), assert_no_trace(model.teacher):
        model.trust("kind", x)


# Graph networks


def test_gnns_learn_from_gnns_inside_a_trainer_and_sources_run_once():
    x, edge_index = torch.rand(40, 8), torch.randint(40, (2, 160))
    sources, calls = [GAT(8, 32, 2, 3), GCN(8, 24, 2, 3)], []
    model = CustomizedStudent(
        GCN(8, 16, 2, 3), sources, [{"kind": range(3)}] * 2, None, [["convs.0"] * 3], [[16, 32, 24]]
    )
    rows = torch.arange(20)
    task = TensorTask((torch.arange(40),), lambda m, rows: 0 * m(x, edge_index)[rows].sum(), 40)
    before = float(model.loss(x, edge_index).detach())
    handle = sources[0].register_forward_hook(lambda *_: calls.append(1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    trainer = Trainer(12, monitor=None, callbacks=[Distillation(model)], progress=False)
    trainer.fit(model, optimizer, task)
    handle.remove()
    assert len(calls) == 1
    assert float(model.loss(x, edge_index).detach()) < 0.7 * before
    chosen = model.trust("kind", x, edge_index).choice
    assert torch.equal(model.trust("kind", x, edge_index, rows=rows).choice, chosen[:20])
    assert model.loss(x, edge_index, rows=rows) != model.loss(x, edge_index)


class Pooled(nn.Module):
    """A GNN whose last features are those of graphs."""

    def __init__(self, width):
        super().__init__()
        self.conv, self.pool = GCN(3, width, 2), MeanAggregation()
        self.lin = nn.Linear(width, 2)

    def forward(self, x, edge_index, batch):
        return self.lin(self.pool(self.conv(x, edge_index).relu(), batch))


def test_features_of_graphs_fit_and_those_of_nodes_are_refused():
    graphs = [Data(x=torch.rand(n, 3), edge_index=torch.randint(n, (2, 3 * n))) for n in (4, 6, 5)]
    batch = Batch.from_data_list(graphs)
    given = batch.x, batch.edge_index, batch.batch
    for layer in ("pool", "conv"):
        model = CustomizedStudent(
            Pooled(4), [Pooled(5)], [{"kind": [0, 1]}], None, [[layer] * 2], [[4, 5]]
        )
        if layer == "pool":
            model.loss(*given).backward()
            continue
        with pytest.raises(ValueError, match="have 15 and 15 rows for 3 samples"):
            model.loss(*given)


# Bad input


def test_no_sample_costs_nothing():
    assert make().trust("kind", images(0)).choice.shape == (0,)
    model = CustomizedStudent(Says(torch.zeros(3, 3)), [Says(torch.ones(3, 3))], [{"a": range(3)}])
    value = model.loss(torch.zeros(0, 1))
    value.backward()
    assert value == 0


@pytest.mark.parametrize(
    ("match", "change"),
    [
        ("for 0 sources", {"sources": []}),
        ("'covers' has 1", {"covers": [{"kind": [0, 1]}]}),
        ("no source covers the task 'colour'", {"tasks": ["kind", "colour"]}),
        ("did you mean 'kind'", {"tasks": ["kinds"]}),
        ("'tasks' must name", {"tasks": ["kind", "kind"]}),
        ("the same classes", {"covers": [{"kind": [0, 1]}, {"kind": [0, 1, 2]}]}),
        ("at least two", {"covers": [{"kind": [0]}, {"kind": [1]}]}),
        ("twice, or below 0", {"covers": [{"kind": [0, 0]}, {"kind": [0, 1]}]}),
        ("twice, or below 0", {"covers": [{"kind": [0, -1]}, {"kind": [0, 1]}]}),
        ("'channels' has 0", {"layers": LAYERS}),
        ("groups of 3", {"layers": [["1", "1"]], "channels": CHANNELS}),
        ("groups of 3", {"layers": ["abc"], "channels": CHANNELS}),
        ("groups of 3", {"layers": LAYERS, "channels": [[4]]}),
        ("no submodule '1.9'", {"layers": [["1", "1", "9"]], "channels": CHANNELS}),
        ("'weight'", {"weight": -1.0}),
        ("'variant'", {"variant": "code"}),
    ],
)
def test_wrong_arguments_are_named(match, change):
    arguments = {
        "sources": [network(6, 3), network(8, 5)],
        "covers": [{"kind": [0, 1, 2]}, {"kind": [0, 1, 2]}],
    } | change
    with pytest.raises(ValueError, match=match):
        CustomizedStudent(network(4, 3), **arguments)


def test_what_networks_return_is_checked():
    model = make()
    with pytest.raises(RuntimeError, match="training mode"):
        model.penalty()
    with pytest.raises(ValueError, match="'task' is 'kinds'; did you mean 'kind'"):
        model.trust("kinds", images())
    model.student[-1] = nn.Linear(4, 4)
    with pytest.raises(ValueError, match=r"logits of shape \[6, 4\] for tasks of"):
        model.loss(images())
    wide = CustomizedStudent(network(4, 2), [network(6, 3)], [{"kind": [0, 3]}])
    with pytest.raises(ValueError, match="'covers' names column 3"):
        wide.loss(images())
    model = make()
    model.teacher[1][-1].bias.data[0] = torch.nan
    with pytest.raises(ValueError, match="logits of source 1 hold NaN"):
        model.loss(images())


def test_the_scale_is_on_the_students_side():
    loss = ScaledLogitLoss()
    with torch.no_grad():
        loss.scale.fill_(2.0)
    assert loss(torch.ones(1, 2), torch.full((1, 2), 2.0)) == 0
