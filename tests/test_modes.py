"""Modes and gradients are put back, module by module, whatever happens in between."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from graphkit.modes import call_fixed, copied_buffers, evaluating, frozen, modes_kept


class Stubborn(nn.Module):
    """Stays in evaluation mode and merges a weight there, as some layers do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Dropout().eval()
        self.merged = False

    def train(self, mode: bool = True) -> Stubborn:
        self.training, self.merged = mode, not mode
        return self


def mixed() -> nn.Sequential:
    """A model in training mode with a part that is not, and parameters that do not learn."""
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2), nn.Linear(2, 2), Stubborn())
    model[1].eval()
    model[2].bias.requires_grad_(False)
    return model


def state(model: nn.Module) -> tuple[list[bool], list[bool]]:
    return [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]


@pytest.mark.parametrize("context", [modes_kept, evaluating, frozen])
@pytest.mark.parametrize("fails", [False, True])
def test_every_module_has_its_own_mode_back(context, fails: bool) -> None:
    model = mixed()
    before = state(model)
    try:
        with context(model):
            model.train().requires_grad_(True) if context is modes_kept else model.eval()
            assert state(model)[0] != before[0]
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    assert state(model)[0] == before[0]
    assert not model[3].merged
    if context is frozen:
        assert state(model) == before


def test_evaluating_switches_modes_and_leaves_gradients() -> None:
    model = mixed()
    before = state(model)
    with evaluating(model):
        assert not any(state(model)[0])
        assert model[3].merged
        assert state(model)[1] == before[1]


def test_a_model_in_evaluation_mode_stays_in_it() -> None:
    model = mixed().eval()
    with evaluating(model):
        assert not model.training
    assert not any(module.training for module in model.modules())


def test_contexts_nest() -> None:
    model = mixed()
    before = state(model)
    with frozen(model), frozen(model):
        assert not any(state(model)[0])
    assert state(model) == before


def test_frozen_gives_gradients_to_inputs_alone() -> None:
    model, x = mixed(), torch.ones(3, 2, requires_grad=True)
    with frozen(model):
        out = model[:3](x)
    out.sum().backward()
    assert x.grad is not None
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("context", [modes_kept, evaluating, frozen])
def test_a_function_is_left_alone(context) -> None:
    with context(torch.sin):
        assert torch.sin(torch.zeros(())) == 0


class Judge(nn.Module):
    """A discriminator with a condition and a tied weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        return scale * self.second(self.first(x).tanh()).sum()


def test_a_fixed_call_is_the_call_without_gradients_for_parameters() -> None:
    judge, x = Judge().double(), torch.ones(3, 2, dtype=torch.double, requires_grad=True)
    score = call_fixed(judge, x, scale=2.0)
    plain = judge(x, scale=2.0)
    assert torch.equal(score, plain)
    (wanted,) = torch.autograd.grad(plain, x)
    score.backward()
    assert torch.equal(x.grad, wanted)
    assert all(parameter.grad is None for parameter in judge.parameters())


def test_a_fixed_call_leaves_other_calls_their_gradients() -> None:
    judge, x = Judge(), torch.ones(3, 2)
    (judge(x) + call_fixed(judge, x)).backward()
    once = [parameter.grad.clone() for parameter in judge.parameters()]
    judge.zero_grad()
    judge(x).backward()
    for gradient, parameter in zip(once, judge.parameters(), strict=True):
        assert torch.equal(gradient, parameter.grad)


def test_a_fixed_call_compiles() -> None:
    judge, x = Judge(), torch.ones(3, 2, requires_grad=True)
    torch.compile(lambda t: call_fixed(judge, t), fullgraph=True, backend="aot_eager")(x).backward()
    assert x.grad is not None
    assert judge.first.weight.grad is None


class Shared(nn.Module):
    """Two modules with one batch norm between them, and a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm1d(2)
        self.second = nn.Sequential(self.first)
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("absent", None)

    def forward(self, x: Tensor) -> Tensor:
        self.steps += 1
        return self.second(self.first(x))


def test_a_pass_on_copied_buffers_moves_none_and_spoils_no_graph() -> None:
    model, x = Shared(), torch.randn(6, 2)
    before = model(x).square().sum()
    kept = {name: (buffer, buffer.clone()) for name, buffer in model.named_buffers()}
    with copied_buffers(model):
        inside = model(2 * x).square().sum()
        assert model.steps == 2
    with pytest.raises(RuntimeError, match="planted"), copied_buffers(model):
        raise RuntimeError("planted")
    for name, buffer in model.named_buffers():
        assert buffer is kept[name][0]
        assert torch.equal(buffer, kept[name][1])
    (before + inside).backward()


def test_copied_buffers_leave_no_name_behind() -> None:
    """Each module gets back its own buffers, and none those of its parts."""
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Sequential(nn.BatchNorm1d(2)))

    def names() -> list[set[str]]:
        return [{*vars(m), *dict(m.named_buffers(recurse=False))} for m in model.modules()]

    before = names()
    with copied_buffers(model):
        model(torch.randn(4, 2))
    assert names() == before


@pytest.mark.parametrize("context", [modes_kept, evaluating, frozen, copied_buffers])
def test_a_class_in_place_of_a_model_is_refused(context) -> None:
    with pytest.raises(TypeError, match="'model' is the class Judge"), context(Judge):
        pass
    with pytest.raises(TypeError, match="'model' is the class Judge"):
        call_fixed(Judge, torch.ones(1, 2))
