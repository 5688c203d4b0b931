"""A class where an instance is meant, ``GCN`` for ``GCN(16, 32, 2)``, is refused by name."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import pytest
from torch import nn

ROOMS = (
    "adapters",
    "compress",
    "continual",
    "distill",
    "modes",
    "taps",
    "train",
    "transfer",
    "vision",
)
MODELS = ("nn.Module", "BasicGNN", "Callable[..., Any]", "Callable[[Tensor], Tensor]", "Criterion")
MADE_BY_THE_LIBRARY = {"Run"}


def arguments() -> Iterator[Any]:
    """Every argument of a public call that is one model, loss or fitted method."""
    for room in ROOMS:
        module = importlib.import_module(f"graphkit.{room}")
        for name in module.__all__:
            call = getattr(module, name)
            if name in MADE_BY_THE_LIBRARY or not callable(call):
                continue
            try:
                parameters = inspect.signature(call).parameters
            except ValueError:  # a built-in
                continue
            for parameter in parameters.values():
                if parameter.kind is parameter.VAR_POSITIONAL:
                    continue
                kind = str(parameter.annotation)
                if kind in MODELS or (parameter.name == "model" and kind[:1].isupper()):
                    yield pytest.param(call, parameter.name, id=f"{room}.{name}-{parameter.name}")


@pytest.mark.parametrize(("call", "name"), list(arguments()))
def test_a_class_is_refused_by_name(call: Callable[..., Any], name: str):
    parameters = inspect.signature(call).parameters.values()
    needed = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    inputs = {p.name: mock.MagicMock() for p in needed}
    inputs[name] = nn.Linear
    with pytest.raises(TypeError, match=r"is the class Linear; write Linear\(\.\.\.\)"):
        run(call, inputs)


def run(call: Callable[..., Any], inputs: dict[str, Any]) -> None:
    """Calls, and enters what is a context."""
    result = call(**inputs)
    if isinstance(result, AbstractContextManager):
        with result:
            pass


def test_there_are_such_arguments():
    assert len(list(arguments())) > 30
