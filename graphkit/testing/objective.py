"""The contract of an objective (loss, penalty, strategy), as a pytest class to inherit."""

from __future__ import annotations

import copy
import io
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCN

from graphkit.testing.asserts import (
    assert_close,
    assert_no_trace,
    assert_not_mutated,
    count_hooks,
)
from graphkit.testing.graphs import example_graph
from graphkit.testing.suite import Suite, seed_everything


class ObjectiveSuite(Suite, ABC):
    """The contract of an objective: something that is added to the loss of another's model.

    A test supplies :meth:`make`, which builds the objective around a model *as it is now* (a
    strategy finishes its task, a distillation loss takes a copy as its teacher), and
    :meth:`value`, which computes the scalar for the model *as it has become*. At the moment
    of :meth:`make` the value is zero, away from it positive.

    Example:
        >>> class StayNear:
        ...     def __init__(self, model):
        ...         self.old = {n: p.detach().clone() for n, p in model.named_parameters()}
        ...     def penalty(self, model):
        ...         return sum((p - self.old[n]).square().sum()
        ...                    for n, p in model.named_parameters())
        >>> class TestStayNear(ObjectiveSuite):
        ...     not_claimed = {"state": "keeps nothing across processes"}
        ...     def make(self, model):
        ...         return StayNear(model)
        ...     def value(self, objective, model, x, edge_index):
        ...         return objective.penalty(model)
        >>> for name in ("zero_at_identity", "gradient", "model_restored"):
        ...     TestStayNear.check(name)()
    """

    in_channels: int = 8
    """Width of the node features."""

    runs_training_step: bool = False
    """Whether :meth:`value` includes the forward pass that trains the model, as for a wrapper
    that is called in the model's place; its batch norms then move once."""

    @abstractmethod
    def make(self, model: nn.Module) -> Any:
        """Builds the objective around the model as it is now."""

    @abstractmethod
    def value(self, objective: Any, model: nn.Module, x: Tensor, edge_index: Tensor) -> Tensor:
        """The scalar for the model as it has become."""

    def make_model(self) -> nn.Module:
        """The model the objective is attached to; by default PyG's two-layer GCN."""
        return GCN(self.in_channels, 6, num_layers=2, out_channels=4)

    def make_normed_model(self) -> nn.Module:
        """A model with batch norms, whose statistics the objective must not move."""
        return GCN(self.in_channels, 6, num_layers=2, out_channels=4, norm="batch_norm")

    def learn(self, objective: Any, model: nn.Module) -> None:
        """What writes into the objective's state, such as finishing another task; by default
        nothing."""

    def inputs(self, name: str = "plain", dtype: torch.dtype = torch.float64) -> tuple:
        """Node features and edge indices of an example graph."""
        edge_index, num_nodes = example_graph(name)
        return torch.randn(num_nodes, self.in_channels, dtype=torch.float64).to(dtype), edge_index

    def build(self, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Any]:
        """A seeded model in train mode and the objective made around it."""
        seed_everything()
        model = self.make_model().to(dtype).train()
        return model, self.make(model)

    def build_twins(self, dtype: torch.dtype) -> list[tuple[nn.Module, Any]]:
        """A model of some type and its copy in float32, each with its objective."""
        seed_everything()
        model = self.make_model().to(dtype).train()
        pairs = []
        for one in (model, copy.deepcopy(model).float()):
            seed_everything(1)
            pairs.append((one, self.make(one)))
        return pairs

    def test_scalar(self) -> None:
        """The value is a finite scalar tensor of the model's type, in float32 and float64."""
        for dtype in (torch.float32, torch.float64):
            model, objective = self.build(dtype)
            _move(model)
            value = self.value(objective, model, *self.inputs(dtype=dtype))
            assert isinstance(value, Tensor), f"a {type(value).__name__}, not a tensor"
            assert value.dim() == 0, f"shape {tuple(value.shape)}, not a scalar"
            assert value.dtype == dtype, f"{value.dtype} for a model of {dtype}"
            assert value.isfinite(), f"value {value}"

    def test_zero_at_identity(self) -> None:
        """Zero, with a zero or absent gradient, while the model is as it was."""
        model, objective = self.build()
        value = self.value(objective, model, *self.inputs())
        assert_close(value, torch.zeros_like(value), "value at identity and zero", atol=1e-10)
        if value.requires_grad:
            for name, grad in _gradients(value, model).items():
                assert_close(
                    grad, torch.zeros_like(grad), f"gradient of {name} and zero", atol=1e-7
                )

    def test_positive_away(self) -> None:
        """Positive once the model has moved."""
        model, objective = self.build()
        _move(model)
        assert self.value(objective, model, *self.inputs()) > 0, "not positive away from identity"

    def test_gradient(self) -> None:
        """A finite gradient reaches the model and agrees with finite differences."""
        model, objective = self.build()
        _move(model)
        inputs = self.inputs()
        grads = _gradients(self.value(objective, model, *inputs), model)
        assert any(grad.abs().sum() > 0 for grad in grads.values()), "no gradient on the model"
        parameters = dict(model.named_parameters())
        direction = {name: torch.randn_like(p) for name, p in parameters.items()}
        slope = sum((grads[name] * direction[name]).sum() for name in grads)
        values = []
        for step in (1e-6, -2e-6):
            with torch.no_grad():
                for name, parameter in parameters.items():
                    parameter.add_(direction[name], alpha=step)
            values.append(self.value(objective, model, *inputs).detach())
        measured = (values[0] - values[1]) / 2e-6
        assert_close(measured, torch.as_tensor(slope), "slopes", rtol=1e-4, atol=1e-6)

    def test_repeatable(self) -> None:
        """Asking twice gives the same value; both backward passes work and leave no hook."""
        model, objective = self.build()
        _move(model)
        inputs, hooks = self.inputs(), count_hooks(model)
        first, second = (self.value(objective, model, *inputs) for _ in range(2))
        assert torch.equal(first, second), f"{first} and then {second}"
        first.backward()
        second.backward()
        assert count_hooks(model) == hooks, "a hook is left after two steps"

    def test_model_restored(self) -> None:
        """Making and asking leave weights, modes, switches, gradients and hooks as they were."""
        seed_everything()
        for training in (True, False):
            model = self.make_model().double().train(training)
            for parameter in model.parameters():
                parameter.grad = torch.full_like(parameter, 3.0)
            with assert_no_trace(model):
                objective = self.make(model)
            _move(model)
            with assert_no_trace(model):
                self.value(objective, model, *self.inputs())
            for name, parameter in model.named_parameters():
                unchanged = parameter.grad is not None and bool((parameter.grad == 3.0).all())
                assert unchanged, f"making or asking changed the gradient of {name}"

    def test_restored_after_failure(self) -> None:
        """If the model raises, early or late, while the objective runs it, nothing stays behind."""

        def fail(*_: object) -> None:
            raise RuntimeError("planted")

        for early in (True, False):
            model, objective = self.build()
            inputs = self.inputs()
            for module in model.modules() if early else [model]:
                module.register_forward_hook(fail)
            for run in (
                partial(self.make, model),
                partial(self.value, objective, model, *inputs),
            ):
                with assert_no_trace(model), suppress(RuntimeError):
                    run()

    def test_input_not_mutated(self) -> None:
        """Features and edges are left as they were."""
        model, objective = self.build()
        _move(model)
        x, edge_index = self.inputs()
        with assert_not_mutated(x=x, edge_index=edge_index):
            self.value(objective, model, x, edge_index).backward()

    def test_follows_device(self) -> None:
        """Tensors are made on the device of the arguments, not on the default device."""
        values = []
        for device in ("cpu", "meta"):
            model, objective = self.build()
            _move(model)
            inputs = self.inputs()
            seed_everything(2)
            with torch.device(device):
                values.append(self.value(objective, model, *inputs))
        assert values[1].device.type == "cpu", "the value is on the default device"
        assert_close(values[1], values[0], "values with another default device")

    def test_degenerate_graphs(self) -> None:
        """Isolated nodes, self loops, duplicates, no edges: finite value and gradient."""
        for name in ("isolated", "self_loops", "duplicates", "no_edges", "single_node"):
            model, objective = self.build()
            _move(model)
            value = self.value(objective, model, *self.inputs(name))
            assert value.isfinite(), f"{name}: value {value}"
            if value.requires_grad:
                for key, grad in _gradients(value, model).items():
                    assert grad.isfinite().all(), f"{name}: gradient of {key} is not finite"

    def test_trains(self) -> None:
        """A few short steps down the gradient of the value alone make it smaller."""
        model, objective = self.build()
        _move(model)
        inputs = self.inputs()
        parameters = dict(model.named_parameters())
        start = self.value(objective, model, *inputs)
        for _ in range(5):
            grads = _gradients(self.value(objective, model, *inputs), model)
            length = torch.stack([grad.square().sum() for grad in grads.values()]).sum().sqrt()
            with torch.no_grad():
                for name, grad in grads.items():
                    parameters[name].sub_(grad, alpha=1e-4 / max(float(length), 1e-12))
        end = self.value(objective, model, *inputs)
        assert end < start, f"from {start.item()} to {end.item()}"

    def test_state_dict(self) -> None:
        """The state, saved and loaded weights-only, gives a fresh objective the same value."""
        model, objective = self.build()
        file = io.BytesIO()
        torch.save(objective.state_dict(), file)
        file.seek(0)
        other_model = copy.deepcopy(model)
        _move(other_model, seed=9)
        fresh = self.make(other_model)
        fresh.load_state_dict(torch.load(file, weights_only=True))
        _move(model)
        other_model.load_state_dict(model.state_dict())
        inputs = self.inputs()
        expected = self.value(objective, model, *inputs)
        assert_close(self.value(fresh, other_model, *inputs), expected, "values")

    def test_state_not_shared(self) -> None:
        """A state that was loaded stays the caller's, and what he does with it has no effect."""
        model, objective = self.build()
        saved = copy.deepcopy(objective.state_dict())
        branches = [self.make(copy.deepcopy(model)) for _ in range(2)]
        for branch in branches:
            branch.load_state_dict(saved)
        _move(model)
        inputs = self.inputs()
        expected = self.value(branches[1], model, *inputs).detach().clone()
        before = copy.deepcopy(list(_tensors(saved)))
        self.learn(branches[0], model)
        for tensor, old in zip(_tensors(saved), before, strict=True):
            assert torch.equal(tensor, old), "the objective wrote into the state it was given"
        for tensor in _tensors(saved):
            tensor.zero_()
        value = self.value(branches[1], model, *inputs)
        assert_close(value, expected, "values before and after the caller wrote into the state")

    def test_statistics_untouched(self) -> None:
        """Batch norms stay as they are, or move once if the value is the training step itself."""
        seed_everything()
        model = self.make_normed_model().double().train()
        with assert_no_trace(model):
            objective = self.make(model)
        _move(model)
        inputs = self.inputs()
        once = copy.deepcopy(model)
        if self.runs_training_step:
            once(*inputs)
        value = self.value(objective, model, *inputs)
        if value.requires_grad:
            value.backward()
        for (name, buffer), expected in zip(model.named_buffers(), once.buffers(), strict=True):
            assert_close(buffer, expected, f"{name} and what one training step leaves in it")

    def test_half_precision(self) -> None:
        """In float16 and bfloat16: finite, with a finite gradient, and the float32 value nearly.

        At identity with features of zero, too, which a division by their norm makes NaN.
        """
        for dtype in (torch.float16, torch.bfloat16):
            (model, objective), (twin, wide) = self.build_twins(dtype)
            x, edge_index = self.inputs(dtype=dtype)
            for features, moved in ((torch.zeros_like(x), False), (x, True)):
                if moved:
                    _move(model)
                    twin.load_state_dict(model.state_dict())
                value = self.value(objective, model, features, edge_index)
                expected = self.value(wide, twin, features.float(), edge_index)
                where = f"{dtype}, {'moved' if moved else 'features of zero'}"
                assert value.isfinite(), f"{where}: value {value.item()}"
                assert_close(value, expected, f"values in {where} and in float32", 0.25, 2e-2)
                for name, grad in _gradients(value, model).items() if value.requires_grad else ():
                    assert grad.isfinite().all(), f"{where}: gradient of {name} is not finite"

    def test_nan_is_named(self) -> None:
        """Features with NaN are refused by an error that says so, or not looked at."""
        model, objective = self.build()
        _move(model)
        x, edge_index = self.inputs()
        expected = self.value(objective, model, x, edge_index)
        x[0, 0] = torch.nan
        try:
            value = self.value(objective, model, x, edge_index)
        except (ValueError, FloatingPointError) as error:
            if re.search("nan|finite", str(error), re.IGNORECASE):
                return
            raise AssertionError(f"the error does not speak of NaN: {error}") from error
        assert torch.equal(value, expected), f"NaN in the features, and the value is {value}"

    def test_frozen_parameters(self) -> None:
        """Parameters that are frozen later change neither the value nor the others' gradients."""
        model, objective = self.build()
        _move(model)
        inputs = self.inputs()
        expected = self.value(objective, model, *inputs)
        grads = _gradients(expected, model)
        parameters = dict(model.named_parameters())
        half = len(parameters) // 2
        for frozen in (list(parameters)[:half], list(parameters)[half:], list(parameters)):
            for name, parameter in parameters.items():
                parameter.requires_grad_(name not in frozen)
            value = self.value(objective, model, *inputs)
            assert_close(value, expected, f"values with and without {frozen} frozen")
            if value.requires_grad and len(frozen) < len(parameters):
                for name, grad in _gradients(value, model).items():
                    assert_close(grad, grads[name], f"gradients of {name} with {frozen} frozen")


def _move(model: nn.Module, seed: int = 1) -> None:
    """Moves every parameter a little, always in the same way."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(noise.to(parameter), alpha=0.1)


def _gradients(value: Tensor, model: nn.Module) -> dict[str, Tensor]:
    assert value.requires_grad, "the value does not require a gradient"
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    grads = torch.autograd.grad(
        value, list(named.values()), allow_unused=True, materialize_grads=True
    )
    return dict(zip(named, grads, strict=True))


def _tensors(state: Any) -> Iterator[Tensor]:
    """All tensors in nested dictionaries and lists."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, Mapping):
        for value in state.values():
            yield from _tensors(value)
    elif isinstance(state, list | tuple):
        for value in state:
            yield from _tensors(value)
