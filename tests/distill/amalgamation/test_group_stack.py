"""Group-stack amalgamation: the stack, what learns when, what is refused."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GCN

from graphkit.compress import cut_gnn
from graphkit.distill import GroupStackAmalgamation
from graphkit.distill.amalgamation.group_stack import ChannelGate
from graphkit.train import NoiseTask, Trainer

KNOWN = [["a", "b", "c"], ["d", "e"]]


def conv(a, b, stride):
    return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1), nn.ReLU())


def blocks(classes):
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes))
    return [conv(1, 4, 1), conv(4, 6, 2), head]


def stack():
    up = nn.Upsample(scale_factor=2)
    first = nn.Sequential(nn.Linear(5, 24), nn.Unflatten(1, (6, 2, 2)))
    return [first, nn.Sequential(up, nn.Conv2d(6, 4, 3, 1, 1)), nn.Conv2d(4, 1, 3, 1, 1)]


def make(labels=("d", "a"), **options):
    arguments = {
        "generator": stack(),
        "teachers": [blocks(3), blocks(2)],
        "student": blocks(max(len(labels), 1)),
        "known": KNOWN,
        "labels": labels,
        "z": torch.randn(2, 5),
    } | options
    return GroupStackAmalgamation(**arguments)


def noise(count=7):
    return torch.randn(count, 5)


def open_gates(model):
    for group in (model.gates, model.filters):
        for gates in group:
            for level in range(len(gates)):
                gates[level] = nn.Identity()
    return model


# The stack


def test_each_group_gives_what_a_block_of_the_teachers_takes():
    model, z = make(), noise()
    made = model.generate(z)
    assert [list(f.shape[1:]) for f in made] == [[6, 2, 2], [4, 4, 4], [1, 4, 4]]
    for teacher in model.teachers:
        x = made[-1]
        for level in range(3):
            assert made[2 - level].shape == x.shape
            x = teacher[level](x)


def test_the_last_group_enters_the_whole_teacher_and_the_first_its_last_block():
    model, z = open_gates(make()), noise()
    made = model.generate(z)
    whole, _ = model.enter(0, made[-1], model.gates, {})
    tail, last = model.enter(2, made[0], model.gates, {})
    for teacher, all_of_it, end, h in zip(model.teachers, whole, tail, last, strict=True):
        torch.testing.assert_close(all_of_it, teacher(made[-1]))
        torch.testing.assert_close(end, teacher[2](made[0]))
        assert h is made[0]


def test_gates_multiply_channels():
    for x in (torch.randn(3, 4, 2, 2), torch.randn(3, 4)):
        out = ChannelGate(4)(x)
        ratio = (out / x).flatten(2) if x.dim() == 4 else (out / x).unsqueeze(2)
        assert ((ratio > 0) & (ratio < 1)).all()
        torch.testing.assert_close(ratio, ratio[:, :, :1].expand_as(ratio))


def test_what_teachers_say_of_a_sample_is_what_the_student_learns():
    model = make().eval()
    sample = model.generate(noise())[-1]
    logits, _ = model.enter(0, sample, model.gates, {})
    for teacher, own in zip(model.teachers, logits, strict=True):
        torch.testing.assert_close(own, teacher(sample))


# The generator's terms


def test_terms_by_hand():
    model, z = open_gates(make()), noise(9)
    terms = model.generator_terms(z)
    made = model.generate(z)
    logits = torch.cat([teacher(made[-1]) for teacher in model.teachers], 1)
    y = logits.sigmoid().double()
    target = (y >= 0.5).double()
    expected = {
        "one_hot": F.binary_cross_entropy(y, target),
        "sparse": y.mean(),
        "entropy": -torch.distributions.Bernoulli(y.mean(0)).entropy().mean(),
        "loud": -sum(t[:2](made[-1]).abs().mean() for t in model.teachers).double() / 2,
    }
    inner = []
    for feature, level in ((made[0], 2), (made[1], 1)):
        guess = torch.cat([teacher[level:](feature) for teacher in model.teachers], 1)
        inner.append(F.binary_cross_entropy(guess.sigmoid().double(), y))
    expected["stack"] = sum(inner) / 2
    for name, value in expected.items():
        torch.testing.assert_close(terms[name].double(), value, msg=name, rtol=1e-4, atol=1e-5)
    total = terms["one_hot"] + 0.05 * terms["loud"] + 2 * terms["entropy"] + 2 * terms["sparse"]
    torch.testing.assert_close(model.generator_loss(z), total + terms["stack"])


class Logits(nn.Module):
    """A last block whose logits are all the same number."""

    def __init__(self, value, classes):
        super().__init__()
        self.value, self.classes = value, classes

    def forward(self, x):
        return x.flatten(1)[:, :1] * 0 + torch.full((1, self.classes), self.value)


@pytest.mark.parametrize(
    ("value", "one_hot", "sparse"), [(0.0, math.log(2), 0.5), (60.0, 0.0, 1.0), (-60.0, 0.0, 0.0)]
)
def test_certain_predictions_cost_nothing_and_halves_log_two(value, one_hot, sparse):
    teachers = [[*blocks(3)[:2], Logits(value, 3)], [*blocks(2)[:2], Logits(value, 2)]]
    terms = make(teachers=teachers).generator_terms(noise())
    assert terms["one_hot"].item() == pytest.approx(one_hot, abs=1e-6)
    assert terms["sparse"].item() == pytest.approx(sparse, abs=1e-6)
    assert all(term.isfinite() for term in terms.values())
    make(teachers=teachers).generator_loss(noise()).backward()


# What learns when


def test_stages_train_their_own_parts_and_teachers_stay():
    given = [blocks(3), blocks(2)]
    before = copy.deepcopy([b.state_dict() for own in given for b in own])
    model, z = make(teachers=given), noise()
    model.train()
    assert not any(module.training for module in model.teachers.modules())
    everything = dict(model.named_parameters())
    for stage in (None, 0, 1, 2):
        model.zero_grad(set_to_none=True)
        loss = model.generator_loss(z) if stage is None else model.block_loss(stage, z)
        loss.backward()
        own = {id(p) for p in model.groups(stage)}
        touched = {name for name, p in everything.items() if p.grad is not None}
        assert touched == {name for name, p in everything.items() if id(p) in own}, stage
        torch.optim.Adam(model.groups(stage), lr=0.1).step()
    after = [b.state_dict() for own in model.teachers for b in own]
    for old, new in zip(before, after, strict=True):
        assert all(torch.equal(old[name], new[name]) for name in old)
    assert model.training


def test_block_losses_by_hand():
    model, z = open_gates(make(labels=("d", "c", "a"))), noise()
    made = model.generate(z)
    targets = [teacher(made[-1]).sigmoid().detach() for teacher in model.teachers]
    h = model.student[0](made[-1])
    loss = F.binary_cross_entropy_with_logits
    first = loss(model.teachers[0][1:](h)[:, [2, 0]], targets[0][:, [2, 0]])
    first = first + loss(model.teachers[1][1:](h)[:, [0]], targets[1][:, [0]])
    torch.testing.assert_close(model.block_loss(0, z), first)
    last = 0
    for stream in (model.student[1](h), made[0]):
        out = model.student[2](stream)
        last += loss(out[:, [1, 2]], targets[0][:, [2, 0]]) / 2
        last += loss(out[:, [0]], targets[1][:, [0]]) / 2
    torch.testing.assert_close(model.block_loss(2, z), last)
    with pytest.raises(ValueError, match="'block' must be from 0 to 2"):
        model.block_loss(3, z)


def test_the_share_of_generated_features_weighs_the_two_streams():
    model, z = make(), noise()
    ends = []
    for inner in (0.0, 1.0, 0.25):
        model.inner = inner
        ends.append([model.block_loss(block, z) for block in range(3)])
    for only, without, mixed in zip(*ends, strict=True):
        torch.testing.assert_close(mixed, 0.75 * only + 0.25 * without)
    # A sample has no other stream: the first block learns from it whatever the share.
    assert ends[0][0] == ends[1][0]
    assert ends[0][2] != ends[1][2]


def test_teachers_in_training_mode_teach_as_in_evaluation_mode():
    given = [blocks(3), blocks(2)]
    for own in given:
        own[0].append(nn.BatchNorm2d(4))
        own[2].insert(2, nn.Dropout())
    model, z = make(teachers=[[part.train() for part in own] for own in given]), noise()
    before = copy.deepcopy(model.teachers.state_dict())
    model.train()
    assert model.block_loss(1, z) == model.block_loss(1, z)
    assert model.generator_loss(z) == model.generator_loss(z)
    assert all(torch.equal(before[k], v) for k, v in model.teachers.state_dict().items())
    assert all(part.training for own in given for part in own)


# The wanted labels


def test_all_labels_in_order_are_the_identity_and_shared_ones_the_mean():
    model = make(labels=("a", "b", "c", "d", "e"))
    assert torch.equal(model.select, torch.eye(5))
    model = make(labels=("d", "a"), known=[["a", "b", "d"], ["d", "e"]])
    assert model.select.t().tolist() == [[0, 0, 0.5, 0.5, 0], [1, 0, 0, 0, 0]]
    assert model.columns == [([2, 0], [0, 1]), ([0], [0])]
    assert model.block_loss(2, noise()).isfinite()


def test_regrouped_networks_have_the_teachers_heads():
    model, x = make(), torch.randn(4, 1, 4, 4)
    grouped = model.eval().regroup()
    h = model.student[1](model.student[0](x))
    branches = [t[2](f[2](h)) for t, f in zip(model.teachers, model.filters, strict=True)]
    torch.testing.assert_close(grouped(x)[:, 0], branches[1][:, 0])
    torch.testing.assert_close(grouped(x)[:, 1], branches[0][:, 0])
    assert model(x).shape == grouped(x).shape


# Graph networks and the trainer


def test_graph_networks_are_amalgamated_and_the_losses_fall():
    edge_index = torch.randint(12, (2, 40))

    def gnn(sizes, classes):
        return cut_gnn(GCN(sizes[0], sizes[1], 2, classes))

    model = GroupStackAmalgamation(
        gnn((3, 6), 8),
        [gnn((8, 6), 3), gnn((8, 6), 2)],
        gnn((8, 6), 2),
        KNOWN,
        ["d", "a"],
        torch.randn(12, 3),
        edge_index,
    )

    def draw(count, generator):
        return torch.randn(count, 3, generator=generator)

    z = torch.randn(12, 3)
    for stage in (None, 0, 1):

        def loss(m, z, stage=stage):
            if stage is None:
                return m.generator_loss(z, edge_index)
            return m.block_loss(stage, z, edge_index)

        before = float(loss(model, z).detach())
        optimizer = torch.optim.Adam(model.groups(stage), lr=0.02)
        Trainer(1, monitor=None, progress=False).fit(
            model, optimizer, NoiseTask(draw, loss, 12, 25)
        )
        assert float(loss(model, z).detach()) < before
    assert model.regroup()(torch.randn(12, 8), edge_index).shape == (12, 2)


# Bad input


@pytest.mark.parametrize(
    ("match", "change"),
    [
        ("at least one teacher", {"teachers": []}),
        ("same number of blocks", {"student": blocks(2)[1:]}),
        ("no teacher knows the wanted label 'f'", {"labels": ("a", "f")}),
        ("'labels' must name", {"labels": ()}),
        ("'labels' must name", {"labels": ("a", "a")}),
        ("'known' has 1", {"known": KNOWN[:1]}),
        (r"'known\[1\]'", {"known": [["a", "b", "c"], []]}),
        ("teacher 0 gives", {"known": [["a", "b"], ["d", "e"]]}),
        ("the student gives", {"student": blocks(3)}),
        ("group 1 gives", {"generator": [stack()[0], nn.Conv2d(6, 4, 1), stack()[2]]}),
        ("holds no sample", {"z": torch.randn(0, 5)}),
        ("weights must not", {"sparsity": -1.0}),
        ("'inner' must be", {"inner": 1.5}),
    ],
)
def test_wrong_arguments_are_named(match, change):
    with pytest.raises(ValueError, match=match):
        make(**change)


def test_no_noise_is_refused_by_both_losses():
    model = make()
    for loss in (model.generator_loss, lambda z: model.block_loss(1, z)):
        with pytest.raises(ValueError, match="'z' holds no sample"):
            loss(noise(0))


def test_one_teacher_is_enough():
    model = make(labels=("c",), teachers=[blocks(3)], known=KNOWN[:1])
    for stage in range(3):
        assert model.block_loss(stage, noise()).isfinite()
    assert model.generator_loss(noise()).isfinite()
