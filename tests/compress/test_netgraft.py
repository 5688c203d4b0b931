import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphkit.compress import BlockNet, GraftTask, NetGraft, graft_loss
from graphkit.train import Trainer
from tests.compress.networks import conv_blocks, graph, graph_blocks, images
from tests.torchvision_networks import CLASSES, network
from tests.torchvision_networks import images as torchvision_images


def make(norm=False, bias=False, depth=3, **options):
    torch.manual_seed(0)
    teacher, student = (
        conv_blocks(6, depth, norm, **options),
        conv_blocks(2, depth, norm, **options),
    )
    for block in teacher + student:
        for module in block.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)
    return NetGraft(teacher, student, images(), bias=bias)


def make_graph(kind="gcn", bias=False):
    torch.manual_seed(0)
    return NetGraft(graph_blocks(8, kind), graph_blocks(3, kind), *graph(), bias=bias)


def shake(net):
    """Random adapter biases, so that a bias forgotten is a bias seen."""
    for adapter in [*net.t2s, *net.s2t]:
        if adapter.bias is not None:
            nn.init.normal_(adapter.bias)


def test_the_loss_is_two_minus_two_cosines():
    s, t = torch.randn(2, 9, 4, dtype=torch.double).unbind()
    expected = (2 - 2 * F.cosine_similarity(s, t, dim=1)).mean()
    assert torch.allclose(graft_loss(s, t), expected)
    assert torch.allclose(graft_loss(3 * s, t / 7), expected)
    assert torch.allclose(graft_loss(t, -5 * t), torch.tensor(4.0, dtype=torch.double))
    assert graft_loss(t, 2 * t) < 1e-12
    assert torch.allclose(graft_loss(s, t, normalize=False), F.mse_loss(s, t))
    assert torch.autograd.gradcheck(lambda a: graft_loss(a, t), (s.requires_grad_(),))


def test_no_logits_and_zero_logits_have_a_finite_loss():
    zero = torch.zeros(3, 4, requires_grad=True)
    loss = graft_loss(zero, torch.ones(3, 4))
    loss.backward()
    assert loss == 1
    assert zero.grad.isfinite().all()
    assert graft_loss(zero[:0], zero[:0]) == 0
    with pytest.raises(ValueError, match=r"\[3, 4\]"):
        graft_loss(zero, zero[:, 1:])


@pytest.mark.parametrize("bias", [False, True])
def test_hybrids_are_composed_as_in_the_formula(bias):
    net, x = make(bias=bias), images()
    shake(net)
    t, s = net.teacher, net.student
    wrapped = [
        lambda h: net.s2t[0](s[0](h)),
        lambda h: net.s2t[1](s[1](net.t2s[0](h))),
        lambda h: s[2](net.t2s[1](h)),
    ]
    for number in range(8):
        grafted = [bool(number >> level & 1) for level in range(3)]
        h = x
        for level, own in enumerate(grafted):
            h = wrapped[level](h) if own else t[level](h)
        assert torch.equal(net(x, grafted=grafted), h)
    assert torch.equal(net(x, grafted=(False,) * 3), t(x))
    assert torch.equal(net(x), wrapped[2](wrapped[1](wrapped[0](x))))


def test_own_blocks_with_identities_are_the_teacher_bit_by_bit():
    teacher, x = conv_blocks(4), images()
    net = NetGraft(teacher, copy.deepcopy(teacher), x)
    for adapter in [*net.t2s, *net.s2t]:
        nn.init.dirac_(adapter.weight)
    target = BlockNet(*teacher)(x)
    for grafted in net.stages():
        assert torch.equal(net(x, grafted=grafted), target)
        assert GraftTask(x, grafted).loss(net, (torch.arange(6),)) == 0


@pytest.mark.parametrize(
    "make_net", [lambda: (make(norm=True), images()), lambda: (make_graph(), *graph())]
)
def test_a_stage_trains_its_own_blocks_and_nothing_else(make_net):
    net, *args = make_net()
    context = dict(zip(("edge_index",), args[1:], strict=False))
    before = copy.deepcopy(net.state_dict())
    for grafted in net.stages():
        own = {f"student.{level}." for level, on in enumerate(grafted) if on}
        own |= {f"t2s.{level - 1}." for level, on in enumerate(grafted) if on}
        own |= {f"s2t.{level}." for level, on in enumerate(grafted) if on}
        net.load_state_dict(before)
        groups = net.groups(grafted, lr=0.01, adapter_lr=0.1)
        listed = {id(p) for group in groups for p in group["params"]}
        for name, parameter in net.named_parameters():
            parameter.grad = None
            assert (id(parameter) in listed) == name.startswith(tuple(own)), name
        optimizer = torch.optim.SGD(groups, lr=0.01)
        task = GraftTask(args[0], grafted, steps=2, **context)
        Trainer(1, monitor=None, progress=False).fit(net, optimizer, task)
        for name, parameter in net.named_parameters():
            assert (parameter.grad is not None) == name.startswith(tuple(own)), name
        for name, value in net.state_dict().items():
            still = torch.equal(value, before[name])
            assert still or name.startswith(tuple(own)), name
        assert not net.teacher.training
        assert {group["lr"] for group in groups} == {0.01, 0.1}


def test_the_callers_teacher_is_left_alone():
    teacher = conv_blocks(6, norm=True)
    net = NetGraft(teacher, conv_blocks(2, norm=True), images())
    assert all(block.training for block in teacher)
    assert all(p.requires_grad for block in teacher for p in block.parameters())
    assert all(block.training for block in net.student)
    assert not any(module.training for module in net.teacher.modules())
    assert not any(module.training for module in net.eval().modules())
    net.train()
    assert not any(module.training for module in net.teacher.modules())


def test_the_stages_are_single_blocks_and_then_prefixes():
    net = make()
    alone = [(True, False, False), (False, True, False), (False, False, True)]
    assert net.stages() == [*alone, (True, True, False), (True, True, True)]
    assert net.stages([2, 0, 1]) == [*alone, (True, False, True), (True, True, True)]
    with pytest.raises(ValueError, match="'order'"):
        net.stages([0, 1, 1])


def test_one_block_is_plain_distillation():
    teacher, student, x = BlockNet(*conv_blocks(6)), BlockNet(*conv_blocks(2)), images()
    net = NetGraft([teacher], [student], x)
    assert net.stages() == [(True,)]
    assert not [*net.t2s, *net.s2t]
    loss = GraftTask(x, (True,)).loss(net, (torch.arange(6),))
    assert torch.equal(loss, graft_loss(student(x), teacher(x)))
    loss.backward()
    alone = torch.autograd.grad(graft_loss(student(x), teacher(x)), list(student.parameters()))
    for parameter, expected in zip(student.parameters(), alone, strict=True):
        assert torch.allclose(parameter.grad, expected)


def sizes(net):
    return sorted(tuple(p.shape) for p in net.parameters())


@pytest.mark.parametrize(
    "options",
    [{}, {"norm": True}, {"padding": 0, "bias": True}, {"padding_mode": "circular", "bias": True}],
)
def test_merging_changes_no_output(options):
    net, x = make(**options), images()
    shake(net)
    net.eval()
    before = net(x)
    merged = net.merge(x)
    assert torch.allclose(merged(x), before, atol=1e-5)
    assert not torch.allclose(net.student(x), before, atol=1e-2)
    assert sizes(merged) == sizes(net.student)
    assert torch.equal(net(x), before)


@pytest.mark.parametrize("kind", ["gcn", "sage", "gat", "gin"])
def test_merging_message_passing_changes_no_output(kind):
    net, (x, edge_index) = make_graph(kind), graph()
    before = net(x, edge_index)
    merged = net.merge(x, edge_index)
    assert torch.allclose(merged(x, edge_index), before, atol=1e-5)
    assert sizes(merged) == sizes(net.student)


def test_what_cannot_be_merged_exactly_is_refused():
    net = make(bias=True)
    assert net.merge(images()) is not None
    shake(net)
    with pytest.raises(ValueError, match="zeros"):
        net.merge(images())
    first = [nn.Conv2d(1, w, 3) for w in (6, 2)]
    rest = [nn.Sequential(nn.ReLU(), nn.Conv2d(w, 4, 6), nn.Flatten()) for w in (6, 2)]
    net = NetGraft([first[0], rest[0]], [first[1], rest[1]], images())
    with pytest.raises(ValueError, match="linear"):
        net.merge(images())


def test_blocks_that_do_not_fit_are_named():
    x = images()
    with pytest.raises(ValueError, match="3 blocks and 'student' 2"):
        NetGraft(conv_blocks(6), conv_blocks(2, 2), x)
    with pytest.raises(ValueError, match=r"block 0: the teacher gives \[6, 6, 8, 8\]"):
        NetGraft(conv_blocks(6), conv_blocks(2, padding=0), x)
    narrow = conv_blocks(2)
    narrow[-1][-1] = nn.Linear(6, 4)
    with pytest.raises(ValueError, match="block 2"):
        NetGraft(conv_blocks(6), narrow, x)
    with pytest.raises(ValueError, match="'grafted'"):
        make()(x, grafted=(True,))


def test_unseen_modes_come_back_and_running_statistics_stay():
    student = conv_blocks(2, norm=True)
    student[1].eval()
    before = copy.deepcopy([block.state_dict() for block in student])
    NetGraft(conv_blocks(6, norm=True), student, images())
    assert [block.training for block in student] == [True, False, True]
    for block, state in zip(student, before, strict=True):
        for name, value in block.state_dict().items():
            assert torch.equal(value, state[name])


def test_copies_and_compiled_ones_are_alike():
    net, x = make(), images()
    grafted = (True, False, True)
    expected = net(x, grafted=grafted)
    assert torch.equal(copy.deepcopy(net)(x, grafted=grafted), expected)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(x, grafted=grafted), expected)
    other = make()
    other.reset_parameters()
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(x, grafted=grafted), expected)


def test_grafting_learns_what_the_teacher_does():
    net, x = make(), images(12)
    wrong = float(graft_loss(net(x), net.teacher(x)).detach())
    for grafted in net.stages():
        optimizer = torch.optim.Adam(net.groups(grafted, 0.01))
        task = GraftTask(x, grafted, steps=30)
        Trainer(1, monitor=None, progress=False).fit(net, optimizer, task)
    assert graft_loss(net.merge(x)(x), net.teacher(x)) < 0.2 * wrong


@pytest.mark.vision
def test_a_torchvision_network_takes_the_blocks_of_another():
    """With what its blocks write in place; a residual block reads its input in two places."""
    from torchvision.models import resnet

    large, x = network("resnet"), torchvision_images()
    pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    teacher = [
        nn.Sequential(large.conv1, large.bn1, large.relu, large.maxpool),
        nn.Sequential(large.layer1, large.layer2),
        nn.Sequential(large.layer3, large.layer4, *pooled, large.fc),
    ]
    student = [
        nn.Sequential(resnet.conv1x1(3, 8, 4), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
        nn.Sequential(resnet.conv3x3(8, 16, 2), nn.BatchNorm2d(16), nn.ReLU(inplace=True)),
        nn.Sequential(nn.Conv2d(16, 8, 3), nn.ReLU(inplace=True), *pooled, nn.Linear(8, CLASSES)),
    ]
    net = NetGraft(teacher, [block.double() for block in student], x).double().eval()
    torch.testing.assert_close(net(x, grafted=(False,) * 3), large(x))
    torch.testing.assert_close(net.merge(x)(x), net(x))
    shortcut = nn.Sequential(resnet.conv1x1(8, 16, 2), nn.BatchNorm2d(16))
    student[1] = resnet.BasicBlock(8, 16, 2, shortcut).double()
    with pytest.raises(ValueError, match="does not take up its adapters"):
        NetGraft(teacher, student, x).double().eval().merge(x)
