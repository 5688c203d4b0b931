"""Common feature learning: the objective by hand, order of heads, what stays and what learns."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GAT, GCN, MeanAggregation

from graphkit.distill import CommonFeatureLearning, Distillation, SoftTargetLoss
from graphkit.distill.amalgamation.common_space import CommonSpace
from graphkit.distill.losses.multi_kernel import MultiKernelMMDLoss
from graphkit.testing import assert_no_trace
from graphkit.train import TensorTask, Trainer

LAYER = "2"


def network(width, classes, stride=2):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, stride, 1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, classes),
    )


def make(strides=(2, 2, 2), **options):
    student, *teachers = (
        network(w, c, s) for w, c, s in zip((5, 7, 6), (5, 3, 2), strides, strict=True)
    )
    return CommonFeatureLearning(student, teachers, [LAYER] * 3, (5, 7, 6), 4, **options)


def images(count=6):
    return torch.rand(count, 1, 8, 8)


def test_the_objective_by_hand():
    model, x = make(weight=3.0, reconstruction=0.5, temperature=2.0), images()
    found = model.loss(x)
    seen = [copy.deepcopy(model.student)(x)] + [t.eval()(x) for t in model.teacher]
    target = (torch.cat(seen[1:], 1) / 2).softmax(1)
    soft = 4 * (target * (target.log() - (seen[0] / 2).log_softmax(1))).sum(1).mean()
    nets = [copy.deepcopy(model.student).train(), *model.teacher]
    maps = [net[:3](x) for net in nets]
    space, loss = model.space, MultiKernelMMDLoss()
    hidden = [space.extractor(a(f).relu()) for a, f in zip(space.adapt, maps, strict=True)]
    total = soft
    for number in (1, 2):
        error = (space.decoders[number - 1](hidden[number]) - maps[number]).square().mean()
        total = total + 3 * (loss(hidden[0], hidden[number]) + 0.5 * error)
    torch.testing.assert_close(found, total)


def test_soft_targets_are_the_cross_entropy_less_the_teachers_entropy():
    model, x = make(weight=0.0), images()
    logits = model.student(x)
    target = torch.cat([teacher.eval()(x) for teacher in model.teacher], 1).softmax(1)
    cross = F.cross_entropy(logits, target)
    entropy = -(target * target.log()).sum(1).mean()
    torch.testing.assert_close(model.loss(x), cross - entropy)
    assert F.cross_entropy(target.log(), target).item() == pytest.approx(entropy.item())
    assert entropy > 0.1
    assert cross > entropy


def test_the_head_is_in_the_order_of_the_teachers():
    model, x = make(weight=0.0), images()
    joint = torch.cat([teacher.eval()(x) for teacher in model.teacher], 1)
    assert torch.equal(model.teacher(x), joint)
    same = CommonFeatureLearning(Constant(joint), [*model.teacher], ["lin", "", ""], (8, 3, 2))
    same.weight = 0.0
    assert same.loss(x) < 1e-6
    same.student.out = joint.roll(3, 1)
    assert same.loss(x) > 0.01


class Constant(nn.Module):
    def __init__(self, out):
        super().__init__()
        self.out, self.lin = out, nn.Identity()

    def forward(self, x):
        return self.lin(self.out)


def test_centred_logits_have_mean_zero_per_teacher():
    model, x = make(centred=True), images()
    first, second = model.teacher.eval()(x).split([3, 2], 1)
    assert torch.allclose(first.mean(1), torch.zeros(6), atol=1e-6)
    assert torch.allclose(second.mean(1), torch.zeros(6), atol=1e-6)
    with torch.no_grad():
        plain = model.teacher[0](x)
    assert torch.allclose(first, plain - plain.mean(1, keepdim=True))


def test_teachers_stay_as_they_are():
    model, x = make(), images()
    model.teacher.train()
    teachers = {name: value.clone() for name, value in model.teacher.state_dict().items()}
    student = copy.deepcopy(model.student.state_dict())
    assert not any(p is q for p in model.parameters() for q in model.teacher.parameters())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(2):
        model.loss(x).backward()
        optimizer.step()
    assert all(torch.equal(teachers[n], value) for n, value in model.teacher.state_dict().items())
    assert all(p.grad is None for p in model.teacher.parameters())
    assert all(module.training for module in model.teacher.modules())
    assert any((student[n] != value).any() for n, value in model.student.state_dict().items())


def test_one_extractor_serves_all_networks_and_learns_from_teachers_alone():
    model, x = make(), images()
    runs = []
    handle = model.space.extractor.register_forward_hook(lambda *call: runs.append(call[2]))
    model(x)
    terms = model.terms()
    handle.remove()
    assert len(runs) == 3
    terms["reconstruction"].backward()
    assert all(p.grad.abs().sum() > 0 for p in model.space.extractor.parameters())
    assert all(p.grad is None for p in model.student.parameters())
    assert model.space.adapt[0].weight.grad is None


def test_the_discrepancy_reaches_the_student():
    model, x = make(), images()
    model(x)
    model.terms()["mmd"].backward()
    assert model.student[0].weight.grad.abs().sum() > 0
    assert model.student[-1].weight.grad is None


def test_maps_of_different_size_are_averaged_to_the_smallest():
    model, x = make(strides=(2, 1, 4)), images()
    seen = model.common(x)
    assert [list(f.shape) for f in seen.features] == [[6, 5, 2, 2], [6, 7, 2, 2], [6, 6, 2, 2]]
    with torch.no_grad():
        wide = model.teacher.eval()[0][:3](x)
    torch.testing.assert_close(seen.features[1], F.avg_pool2d(wide, 4))
    assert [h.shape for h in seen.common] == [(6, 4, 2, 2)] * 3
    assert [f.shape for f in seen.decoded] == [f.shape for f in seen.features[1:]]
    model.loss(x).backward()


def test_looking_leaves_no_trace():
    model, x = make(), images()
    with assert_no_trace(model), assert_no_trace(model.teacher):
        first, second = model.common(x), model.common(x)
    assert all(torch.equal(a, b) for a, b in zip(first.common, second.common, strict=True))
    assert [z.shape for z in first.logits] == [(6, 5), (6, 3), (6, 2)]
    assert model.training
    assert torch.equal(model.eval()(x), first.logits[0])


def test_rows_are_the_samples_that_count():
    torch.manual_seed(1)
    student, teachers = GCN(4, 6, 2, 5), [GAT(4, 8, 2, 3), GCN(4, 7, 2, 2)]
    options = {"layers": ["convs.0"] * 3, "channels": (6, 8, 7), "spatial": False}
    model = CommonFeatureLearning(student, teachers, hidden_channels=4, **options)
    x, edge_index, rows = torch.rand(9, 4), torch.randint(9, (2, 30)), torch.tensor([1, 4, 8])
    part = model.loss(x, edge_index, rows=rows)
    whole = model.loss(x, edge_index)
    seen = model.common(x, edge_index)
    gap = sum(MultiKernelMMDLoss()(seen.common[0][rows], h[rows]) for h in seen.common[1:])
    pairs = zip(seen.decoded, seen.features[1:], strict=True)
    error = sum(F.mse_loss(a[rows], b[rows]) for a, b in pairs)
    soft = SoftTargetLoss(1.0)(seen.logits[0][rows], torch.cat(seen.logits[1:], 1)[rows])
    torch.testing.assert_close(part, soft + gap + error)
    assert (part - whole).abs() > 1e-4


def test_gnns_learn_from_gnns_and_teachers_run_once():
    """Two kinds of layers, disjoint labels, node features; inside a Trainer by the callback."""
    student, teachers = GCN(8, 16, 2, 5), [GAT(8, 32, 2, 3), GCN(8, 24, 2, 2)]
    model = CommonFeatureLearning(
        student, teachers, ["convs.0"] * 3, [16, 32, 24], 12, spatial=False
    )
    x, edge_index = torch.rand(40, 8), torch.randint(40, (2, 160))
    calls = []
    handle = teachers[0].register_forward_hook(lambda *_: calls.append(1))
    task = TensorTask((torch.arange(40),), lambda m, rows: 0 * m(x, edge_index)[rows].sum(), 40)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    before = float(model.loss(x, edge_index).detach())
    trainer = Trainer(30, monitor=None, callbacks=[Distillation(model)], progress=False)
    calls.clear()
    trainer.fit(model, optimizer, task)
    handle.remove()
    assert float(model.loss(x, edge_index).detach()) < 0.7 * before
    assert len(calls) == 1


class Pooled(nn.Module):
    """A GNN whose last features are those of graphs."""

    def __init__(self, width, classes):
        super().__init__()
        self.conv, self.pool = GCN(3, width, 2), MeanAggregation()
        self.lin = nn.Linear(width, classes)

    def forward(self, x, edge_index, batch):
        return self.lin(self.pool(self.conv(x, edge_index).relu(), batch))


def test_pooled_features_of_graphs():
    graphs = [Data(x=torch.rand(n, 3), edge_index=torch.randint(n, (2, 3 * n))) for n in (4, 6, 5)]
    batch = Batch.from_data_list(graphs)
    model = CommonFeatureLearning(
        Pooled(8, 4), [Pooled(5, 2), Pooled(6, 2)], ["pool"] * 3, (8, 5, 6), 4, spatial=False
    )
    model.loss(batch.x, batch.edge_index, batch.batch).backward()
    seen = model.common(batch.x, batch.edge_index, batch.batch)
    assert [h.shape for h in seen.common] == [(3, 4)] * 3


def test_weight_zero_is_soft_targets_alone():
    model, x = make(weight=0.0), images()
    model.loss(x).backward()
    assert all(p.grad is None for p in model.space.parameters())
    assert set(make_terms(model, x)) == {"soft"}


def make_terms(model, x):
    model(x)
    return model.terms()


def test_the_released_learning_rates():
    model = make()
    slow, fast = model.parameter_groups(1e-4, head="5")
    assert (slow["lr"], fast["lr"]) == (1e-4, 1e-3)
    assert {id(p) for p in model.student[5].parameters()} <= {id(p) for p in fast["params"]}
    both = [id(p) for group in (slow, fast) for p in group["params"]]
    assert sorted(both) == sorted(id(p) for p in model.parameters())
    with pytest.raises(ValueError, match="'head' is 'fc'"):
        model.parameter_groups(1e-4, head="fc")


def test_the_space_compiles():
    space, maps = CommonSpace((3, 5), 4), [torch.rand(2, 3, 4, 4), torch.rand(2, 5, 2, 2)]
    compiled = torch.compile(space, fullgraph=True, backend="aot_eager")
    for found, expected in zip(compiled(maps), space(maps), strict=True):
        torch.testing.assert_close(found, expected)


def test_wrong_arguments_are_named():
    student, teachers = network(5, 5), [network(7, 3), network(6, 2)]
    for match, change in (
        ("'teachers' is empty", {"teachers": []}),
        ("'layers' has 2", {"layers": [LAYER] * 2}),
        ("'channels' has 1", {"channels": [5]}),
        ("'weight'", {"weight": -1.0}),
        ("'temperature'", {"temperature": 0.0}),
        ("no submodule '9'", {"layers": ["9", LAYER, LAYER]}),
        ("no submodule '1.9'", {"layers": [LAYER, LAYER, "9"]}),
    ):
        arguments = {"teachers": teachers, "layers": [LAYER] * 3, "channels": (5, 7, 6)} | change
        with pytest.raises(ValueError, match=match):
            CommonFeatureLearning(student, **arguments)
    model = make()
    with pytest.raises(RuntimeError, match="training mode"):
        model.penalty()


def test_features_that_do_not_fit_are_named():
    model = make(spatial=False)
    with pytest.raises(ValueError, match=r"the student have shape \[6, 5, 4, 4\], expected 2"):
        model.loss(images())
    model = make()
    model.teacher[1][0].weight.data[0] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        model.loss(images())
    wrong = CommonFeatureLearning(network(5, 4), [*make().teacher], [LAYER] * 3, (5, 7, 6), 4)
    with pytest.raises(ValueError, match="'student' has 4 columns and 'teacher' 5"):
        wrong.loss(images())
