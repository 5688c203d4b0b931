"""DFAD: the contract of objectives, both steps, what each leaves alone, one stage, bad input."""

import copy

import pytest
import torch
from torch import nn

from graphkit.distill import DFAD, GraphGenerator, ImageGenerator
from graphkit.testing import ObjectiveSuite, assert_no_trace
from graphkit.train import NoiseTask, Opponent, Trainer, label_entropy


class TestDFAD(ObjectiveSuite):
    """The student's loss, on graphs that a generator makes of fixed noise."""

    not_claimed = {
        "state_dict": "the teacher is another model; its weights are not the student's",
        "follows_device": "without a generator noise is drawn where PyTorch draws",
    }

    def make(self, model):
        generator = GraphGenerator(6, self.in_channels, num_nodes=9, degree=3.0, hidden_channels=8)
        return DFAD(model, copy.deepcopy(model), generator.to(next(model.parameters()).dtype))

    def value(self, objective, model, x, edge_index):
        # Edges are drawn: from the same generator state, the same ones.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return objective.imitation(objective.noise(2))

    def test_statistics_untouched(self):
        """Batch norms move once, as in a training step on the generated graphs."""
        model = self.make_normed_model().double().train()
        objective = self.make(model)
        once = copy.deepcopy(model)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            made = objective.generator(objective.noise(2))
            once(made.x, made.edge_index)
        self.value(objective, model, *self.inputs()).backward()
        for buffer, expected in zip(model.buffers(), once.buffers(), strict=True):
            torch.testing.assert_close(buffer, expected)


def network(width=4, classes=3, norm=nn.Identity):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, 2, 1),
        norm(),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(16 * width, classes),
    )


def make(student=None, **options):
    torch.manual_seed(0)
    student = network(2) if student is None else student
    generator = ImageGenerator(5, size=8, hidden_channels=4)
    return DFAD(student, network(), generator, **options)


def twins(**options):
    """A student that is the teacher, in evaluation mode."""
    dfad = make(**options)
    return DFAD(copy.deepcopy(dfad.teacher).eval(), dfad.teacher, dfad.generator, **options)


def test_both_losses_by_hand():
    dfad = make()
    dfad.student.eval()
    z = dfad.noise(6)
    x = dfad.generator(z)
    gap = (dfad.student(x) - dfad.teacher.eval()(x)).abs().mean()
    dfad.teacher.train()
    torch.testing.assert_close(dfad.imitation(z), gap)
    assert torch.equal(dfad.generation(z), -dfad.imitation(z))
    dfad.damped = True
    torch.testing.assert_close(dfad.generation(z), -(1 + gap).log())
    dfad.balance = 0.5
    entropy = label_entropy(dfad.teach(x))
    torch.testing.assert_close(dfad.generation(z), -(1 + gap).log() - 0.5 * entropy)


def test_gradients_of_the_generation_by_hand():
    dfad = make()
    dfad.student.eval()
    z, weights = dfad.noise(6), list(dfad.generator.parameters())
    x = dfad.generator(z)
    gap = -(dfad.student(x) - dfad.teacher.eval()(x)).abs().mean()
    expected = torch.autograd.grad(gap, weights)
    found = torch.autograd.grad(dfad.generation(z), weights)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_each_step_leaves_the_others_alone():
    dfad = make(network(2, norm=lambda: nn.BatchNorm2d(2)))
    z = dfad.noise(6)
    with assert_no_trace(dfad.student), assert_no_trace(dfad.teacher):
        dfad.generation(z).backward()
    assert all(p.grad is None for m in (dfad.student, dfad.teacher) for p in m.parameters())
    assert all(p.grad.any() for p in dfad.generator.parameters() if p.dim() > 1)
    dfad.zero_grad()
    with assert_no_trace(dfad.teacher):
        dfad.imitation(z).backward()
    assert all(p.grad is None for m in (dfad.generator, dfad.teacher) for p in m.parameters())
    assert all(p.grad is not None for p in dfad.student.parameters())
    assert all(m.training for m in dfad.teacher.modules())


def test_what_the_released_program_does_to_batch_statistics():
    for variant, follows in (("paper", False), ("released", True)):
        dfad = make(network(2, norm=lambda: nn.BatchNorm2d(2)), variant=variant)
        before = copy.deepcopy(dfad.student.state_dict())
        dfad.generation(dfad.noise(6)).backward()
        same = all(torch.equal(before[n], v) for n, v in dfad.student.state_dict().items())
        assert same != follows
        assert dfad.student[1].running_mean is dict(dfad.student.named_buffers())["1.running_mean"]


def test_a_student_that_is_the_teacher_has_nothing_to_learn():
    dfad = twins()
    z = dfad.noise(6)
    assert float(dfad.imitation(z).detach()) == 0.0
    dfad.generation(z).backward()
    assert all(not p.grad.any() for p in dfad.generator.parameters())


def test_what_the_gap_does_not_see_and_what_it_does():
    dfad = make()
    student, teacher = torch.randn(2, 7, 3)
    gap, order = dfad.gap(student, teacher), torch.randperm(7)
    torch.testing.assert_close(dfad.gap(student[order], teacher[order]), gap)
    torch.testing.assert_close(dfad.gap(student + 2, teacher + 2), gap)
    torch.testing.assert_close(dfad.gap(3 * student, 3 * teacher), 3 * gap)
    assert (dfad.gap(student[order], teacher) - gap).abs() > 1e-3


def test_one_stage_has_the_gradients_of_both_steps():
    dfad = make()
    dfad.student.eval()
    z, student = dfad.noise(6), list(dfad.student.parameters())
    theirs = torch.autograd.grad(dfad.imitation(z), student)
    ours = torch.autograd.grad(dfad.generation(z), list(dfad.generator.parameters()))
    calls = []
    for model in (dfad.student, dfad.teacher, dfad.generator):
        model.register_forward_hook(lambda module, *_: calls.append(module))
    dfad.one_stage(z).backward()
    assert calls == [dfad.generator, dfad.student, dfad.teacher]
    for p, expected in zip(student, theirs, strict=True):
        torch.testing.assert_close(p.grad, expected)
    for p, expected in zip(dfad.generator.parameters(), ours, strict=True):
        torch.testing.assert_close(p.grad, expected)
    assert all(p.grad is None for p in dfad.teacher.parameters())
    for options in ({"damped": True}, {"balance": 1.0}):
        with pytest.raises(ValueError, match="use step"):
            make(**options).one_stage(z)


def test_an_iteration_imitates_so_often_and_generates_once():
    for imitations in (0, 3):
        dfad = make(imitations=imitations)
        before = copy.deepcopy(dfad.state_dict())
        optimizers = [torch.optim.SGD(m.parameters(), 0.1) for m in (dfad.student, dfad.generator)]
        steps = []
        for optimizer in optimizers:
            optimizer.register_step_post_hook(lambda one, *_, steps=steps: steps.append(one))
        gap = dfad.step(*optimizers, batch_size=4)
        assert steps == [optimizers[0]] * imitations + [optimizers[1]]
        assert gap.generation < 0
        moved = {n.split(".")[0] for n, v in dfad.state_dict().items() if (before[n] != v).any()}
        assert moved == ({"student", "generator"} if imitations else {"generator"})


def test_the_gap_of_a_small_student_closes():
    dfad = make(network(4))
    for model in (dfad.student, dfad.teacher):
        model[3].p = 0.0
    sgd = torch.optim.SGD(dfad.student.parameters(), 0.05, 0.9)
    adam = torch.optim.Adam(dfad.generator.parameters(), 1e-3)
    z = dfad.noise(64)
    start = float(dfad.imitation(z).detach())
    for _ in range(40):
        dfad.step(sgd, adam, 32)
    assert float(dfad.imitation(z).detach()) < 0.5 * start


def test_in_a_trainer_with_a_monitor():
    dfad = make(imitations=2)
    adam = torch.optim.Adam(dfad.generator.parameters(), 1e-3)
    rival = Opponent(adam, lambda run: dfad.generation(dfad.noise(8)), every=dfad.imitations)
    task = NoiseTask(dfad.noise, lambda m, z: m.imitation(z), 8, steps=6)
    sgd = torch.optim.SGD(dfad.student.parameters(), 0.02)
    trainer = Trainer(2, monitor=None, seed=0, callbacks=[rival, dfad.monitor(32)], progress=False)
    history = trainer.fit(dfad, sgd, task).history
    names = {"train_loss", "opponent_loss", "label_entropy", "discrepancy", "dead_channels"}
    assert names | {"gradient_ratio"} <= set(history[-1])
    assert rival.steps == 12


def test_segmentation():
    dfad = DFAD(nn.Conv2d(1, 3, 1), nn.Conv2d(1, 3, 3, 1, 1), make().generator, damped=True)
    z = dfad.noise(4)
    assert dfad.teach(dfad.generator(z)).shape == (4, 3, 8, 8)
    torch.testing.assert_close(dfad.generation(z), -torch.log1p(dfad.imitation(z)))
    assert 0 <= dfad.monitor(4).read()["label_entropy"] <= 1


def test_one_sample():
    dfad = make()
    dfad.imitation(dfad.noise(1)).backward()
    dfad = make(network(2, norm=lambda: nn.BatchNorm2d(2)))
    with pytest.raises(ValueError, match="one sample, and the student's BatchNorm2d"):
        dfad.imitation(dfad.noise(1))
    dfad.student.eval()
    dfad.imitation(dfad.noise(1)).backward()


def test_noise_is_drawn_from_the_generator_given():
    dfad = make()
    first, again = (dfad.noise(3, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == (3, 5)
    assert dfad.double().noise(2).dtype == torch.float64


class Wide(nn.Module):
    """A generator of one's own, without a word on its noise, for two arguments."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 6)

    def forward(self, z):
        return tuple(self.lin(z).chunk(2, 1))


class Sum(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 2)

    def forward(self, a, b):
        return self.lin(a + b)


def test_generators_of_several_arguments():
    with pytest.raises(ValueError, match="'noise_channels' must say"):
        DFAD(Sum(), Sum(), Wide())
    dfad = DFAD(Sum(), Sum(), Wide(), noise_channels=4)
    z = dfad.noise(5)
    dfad.one_stage(z).backward()
    assert all(p.grad.any() for p in dfad.parameters())
    assert torch.equal(dfad.generation(z), -dfad.imitation(z))


def test_wrong_arguments_are_named():
    for match, options in (
        ("'imitations'", {"imitations": -1}),
        ("'balance'", {"balance": -0.1}),
        ("'variant'", {"variant": "code"}),
    ):
        with pytest.raises(ValueError, match=match):
            make(**options)
    dfad = make()
    with pytest.raises(ValueError, match="at least one sample"):
        dfad.noise(0)
    with pytest.raises(ValueError, match=r"\[B, 5\], got \[3, 4\]"):
        dfad.imitation(torch.randn(3, 4))
    for loss in (dfad.imitation, dfad.generation, dfad.one_stage):
        with pytest.raises(ValueError, match="'z' holds no sample"):
            loss(torch.randn(0, 5))
    with pytest.raises(ValueError, match="'student' and 'teacher' are one network"):
        DFAD(dfad.teacher, dfad.teacher, dfad.generator)


def test_networks_and_generators_that_do_not_fit_are_named():
    dfad = make()
    small = DFAD(dfad.student, dfad.teacher, ImageGenerator(5, size=12, hidden_channels=4))
    with pytest.raises(RuntimeError, match=r"the teacher does not take .* \[4, 1, 12, 12\]"):
        small.imitation(small.noise(4))
    colour = DFAD(
        nn.Conv2d(1, 3, 1), nn.Conv2d(3, 3, 1), ImageGenerator(5, 3, size=8, hidden_channels=4)
    )
    with pytest.raises(RuntimeError, match=r"the student does not take .* \[4, 3, 8, 8\]"):
        colour.generation(colour.noise(4))
    other = DFAD(network(2, classes=4), dfad.teacher, dfad.generator)
    with pytest.raises(RuntimeError, match=r"shape \[4, 4\], the teacher \[4, 3\]"):
        other.imitation(other.noise(4))
    dfad.teacher[0].weight.data.fill_(torch.nan)
    optimizers = [torch.optim.SGD(m.parameters(), 0.1) for m in (dfad.student, dfad.generator)]
    with pytest.raises(FloatingPointError, match="generator's loss became nan"):
        dfad.step(*optimizers, batch_size=4)
