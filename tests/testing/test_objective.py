"""The objective suite on a sound strategy and a sound loss, and on one fault per check."""

import copy

import torch
from torch import nn
from torch_geometric.nn import GAT

from graphkit.taps import attention, tap
from graphkit.testing import ObjectiveSuite, example_graph
from tests.testing.faults import FaultList


class StayNear(nn.Module):
    """A strategy: weights may not leave the point where the task was finished."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for number, parameter in enumerate(model.parameters()):
            self.register_buffer(f"old{number}", parameter.detach().clone())

    def penalty(self, model: nn.Module, x, edge_index) -> torch.Tensor:
        terms = zip(model.parameters(), self.buffers(), strict=True)
        return sum((parameter - old).square().sum() for parameter, old in terms)


class StrategySuite(ObjectiveSuite):
    def make(self, model):
        return StayNear(model)

    def value(self, objective, model, x, edge_index):
        return objective.penalty(model, x, edge_index)

    def learn(self, objective, model):
        getattr(objective, "learn", lambda model: None)(model)


class TestStayNear(StrategySuite):
    """A sound strategy passes."""


class Imitate(nn.Module):
    """A distillation loss on inner features, with a copy of the model as the teacher."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.teacher = copy.deepcopy(model).requires_grad_(False)

    def penalty(self, model, x, edge_index):
        with tap(model, "convs.0") as student, tap(self.teacher, "convs.0") as teacher:
            model(x, edge_index)
            self.teacher(x, edge_index)
        apart = student["convs.0"].output - teacher["convs.0"].output
        if apart.isnan().any():
            raise ValueError("the features hold NaN")
        return apart.square().mean()


class TestImitate(StrategySuite):
    """A sound distillation loss on taps passes."""

    runs_training_step = True

    def make(self, model):
        return Imitate(model)


class AttendAlike(Imitate):
    """The same on the attention of each layer."""

    def penalty(self, model, x, edge_index):
        with attention(model) as student, attention(self.teacher) as teacher:
            model(x, edge_index)
            self.teacher(x, edge_index)
        terms = [student[name].alpha - teacher[name].alpha for name in student]
        if any(term.isnan().any() for term in terms):
            raise ValueError("the attention holds NaN")
        return sum(term.square().sum() for term in terms)


class TestAttendAlike(StrategySuite):
    """A sound loss on attention, differentiable in the weights behind it, passes."""

    runs_training_step = True

    def make_model(self, **kwargs):
        return GAT(self.in_channels, 6, num_layers=2, out_channels=4, heads=2, **kwargs)

    def make_normed_model(self):
        return self.make_model(norm="batch_norm")

    def make(self, model):
        return AttendAlike(model)


def suite_of(kind: type) -> type[ObjectiveSuite]:
    return type(f"{kind.__name__}Suite", (StrategySuite,), {"make": lambda self, m: kind(m)})


FAULTS = FaultList(suite_of)


class Changed(StayNear):
    """A penalty that is changed on its way out."""

    def penalty(self, model, x, edge_index):
        return self.spoil(super().penalty(model, x, edge_index), model, x, edge_index)

    def spoil(self, value, model, x, edge_index):
        raise ValueError("a fault to be planted")


@FAULTS.caught_by("follows_device")
class OnTheDefaultDevice(Changed):
    def spoil(self, value, *_):
        return value + torch.zeros(1, dtype=value.dtype).sum()


@FAULTS.caught_by("scalar")
class OneElement(Changed):
    def spoil(self, value, *_):
        return value[None]


@FAULTS.caught_by("scalar")
class Number(Changed):
    def spoil(self, value, *_):
        return value.item()


@FAULTS.caught_by("scalar")
class AlwaysDouble(Changed):
    def spoil(self, value, *_):
        return value.double()


@FAULTS.caught_by("zero_at_identity")
class Offset(Changed):
    def spoil(self, value, *_):
        return value + 1


@FAULTS.caught_by("zero_at_identity")
class Slanted(Changed):
    def spoil(self, value, model, *_):
        total = sum(parameter.sum() for parameter in model.parameters())
        return value + total - total.detach()


@FAULTS.caught_by("trains", "gradient")
class Uphill(Changed):
    def spoil(self, value, *_):
        return 2 * value.detach() - value


@FAULTS.caught_by("positive_away")
class Rewards(Changed):
    def spoil(self, value, *_):
        return -value


@FAULTS.caught_by("gradient")
class Constant(Changed):
    """The penalty is computed from detached tensors, as TWP's released code does."""

    def spoil(self, value, model, *_):
        return value.detach() + 0 * next(model.parameters()).sum()


@FAULTS.caught_by("gradient")
class WrongSlope(Changed):
    def spoil(self, value, *_):
        return value.detach() + 2 * (value - value.detach())


@FAULTS.caught_by("repeatable")
class Counts(Changed):
    calls = 0

    def spoil(self, value, *_):
        self.calls += 1
        return value * self.calls


@FAULTS.caught_by("repeatable")
class FreesItsGraph(Changed):
    cached = None

    def spoil(self, value, *_):
        self.cached = value if self.cached is None else self.cached
        return self.cached


@FAULTS.caught_by("model_restored")
class LeavesEval(Changed):
    def spoil(self, value, model, *_):
        model.train(not model.training)
        return value


@FAULTS.caught_by("model_restored")
class DirtyGradients(Changed):
    def spoil(self, value, model, *_):
        value.backward(retain_graph=True)
        return value


@FAULTS.caught_by("model_restored")
class ForgetsAHook(Changed):
    def spoil(self, value, model, *_):
        model.register_forward_hook(lambda *_: None)
        return value


@FAULTS.caught_by("model_restored")
class Freezes(StayNear):
    def __init__(self, model):
        super().__init__(model)
        model.requires_grad_(False)


@FAULTS.caught_by("restored_after_failure")
class HooksWithoutFinally(Changed):
    def spoil(self, value, model, x, edge_index):
        handle = model.register_forward_hook(lambda *_: None)
        model(x, edge_index)
        handle.remove()
        return value


@FAULTS.caught_by("restored_after_failure")
class ModeWithoutFinally(StayNear):
    def __init__(self, model):
        super().__init__(model)
        edge_index, num_nodes = example_graph("plain")
        model.eval()
        model(torch.zeros(num_nodes, 8).to(next(model.parameters())), edge_index)
        model.train()


@FAULTS.caught_by("input_not_mutated")
class ShiftsItsInput(Changed):
    def spoil(self, value, model, x, edge_index):
        x.add_(1)
        return value


@FAULTS.caught_by("degenerate_graphs")
class MeanOverEdges(Changed):
    def spoil(self, value, model, x, edge_index):
        return value + 0 * x[edge_index[0]].mean()


@FAULTS.caught_by("state_dict")
class ForgetsItsState(StayNear):
    def __init__(self, model):
        super().__init__(model)
        self.secret = [parameter.detach().clone() for parameter in model.parameters()]

    def penalty(self, model, x, edge_index):
        terms = zip(model.parameters(), self.secret, strict=True)
        return sum((parameter - old).square().sum() for parameter, old in terms)


class KeepsAList(StayNear):
    """A sound strategy without buffers, whose state is copied both ways."""

    def __init__(self, model):
        super().__init__(model)
        self.secret = [parameter.detach().clone() for parameter in model.parameters()]

    def penalty(self, model, x, edge_index):
        terms = zip(model.parameters(), self.secret, strict=True)
        return sum((parameter - old).square().sum() for parameter, old in terms)

    def state_dict(self):
        return {"secret": copy.deepcopy(self.secret)}

    def load_state_dict(self, state):
        self.secret = copy.deepcopy(state["secret"])

    def learn(self, model):
        for old, parameter in zip(self.secret, model.parameters(), strict=True):
            old += 0.5 * (parameter.detach() - old)


class TestKeepsAList(StrategySuite):
    """A sound strategy that learns more passes."""

    def make(self, model):
        return KeepsAList(model)


@FAULTS.caught_by("state_not_shared")
class KeepsTheCallersTensors(KeepsAList):
    def load_state_dict(self, state):
        self.secret = list(state["secret"])

    def learn(self, model):
        """Writes into nothing, so that only the caller's own writing shows."""


@FAULTS.caught_by("state_not_shared")
class WritesIntoTheCallersTensors(KeepsAList):
    def load_state_dict(self, state):
        self.secret = list(state["secret"])


@FAULTS.caught_by("statistics_untouched")
class LooksInTrainingMode(Changed):
    """Counts the outputs by a forward pass that moves batch norms."""

    def spoil(self, value, model, x, edge_index):
        with torch.no_grad():
            count = len(model(x, edge_index))
        return value * (count / len(x))


@FAULTS.caught_by("statistics_untouched")
class LearnsInTrainingMode(StayNear):
    def __init__(self, model):
        super().__init__(model)
        edge_index, num_nodes = example_graph("plain")
        model(torch.zeros(num_nodes, 8).to(next(model.parameters())), edge_index)


@FAULTS.caught_by("half_precision")
class NormalizesWithAnEpsThatVanishes(Changed):
    """1e-12 is 0 in float16."""

    def spoil(self, value, model, x, edge_index):
        return value + 0 * torch.nn.functional.normalize(model(x, edge_index)).sum()


@FAULTS.caught_by("half_precision")
class Overflows(Changed):
    def spoil(self, value, model, *_):
        factor = torch.tensor(1e5).to(next(model.parameters()))
        return value * factor / factor


@FAULTS.caught_by("half_precision")
class LosesSmallNumbers(Changed):
    """The squares of what is small are 0 in float16."""

    def spoil(self, value, model, *_):
        pairs = zip(model.parameters(), self.buffers(), strict=True)
        return sum(((p - old) * 1e-4).square().sum() for p, old in pairs) * 1e8


@FAULTS.caught_by("nan_is_named")
class ReturnsNaN(Changed):
    def spoil(self, value, model, x, edge_index):
        return value + 0 * x.sum()


@FAULTS.caught_by("nan_is_named")
class HidesNaN(Changed):
    def spoil(self, value, model, x, edge_index):
        return value + x.nan_to_num().square().mean() * value.detach()


@FAULTS.caught_by("nan_is_named")
class FailsObscurely(Changed):
    def spoil(self, value, model, x, edge_index):
        if x.isnan().any():
            raise ValueError("array must be clean")
        return value


@FAULTS.caught_by("frozen_parameters")
class SeesTrainableParametersOnly(StayNear):
    def penalty(self, model, x, edge_index):
        pairs = list(zip(model.parameters(), self.buffers(), strict=True))
        return sum((p - old).square().sum() for p, old in pairs if p.requires_grad) + 0 * x.sum()


@FAULTS.caught_by("frozen_parameters")
class LosesFrozenParameters(StayNear):
    def penalty(self, model, x, edge_index):
        trainable = [p for p in model.parameters() if p.requires_grad]
        terms = zip(trainable, self.buffers(), strict=True)
        return sum((parameter - old).square().sum() for parameter, old in terms)


@FAULTS.parametrize()
def test_fault_is_caught(kind, check):
    FAULTS.assert_caught(kind, check)


def test_every_check_has_a_fault():
    assert FAULTS.unproven(ObjectiveSuite) == set()
