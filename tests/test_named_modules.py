"""Modules by name: looked up once, and again when the model is no longer the same."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from graphkit.named_modules import NamedModules


def test_a_module_that_was_replaced_is_looked_up_again() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 1))
    named = NamedModules(model, ["0.0", "", "1"])
    assert named.current() == {"0.0": model[0][0], "": model, "1": model[1]}
    model[0] = nn.Sequential(nn.Linear(2, 2))
    assert named.current()["0.0"] is model[0][0]
    model[0] = nn.ReLU()
    with pytest.raises(ValueError, match=r"'0\.0'"):
        named.current()


def test_a_module_that_was_compiled_since_is_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    named = NamedModules(model, ["0"])
    model[0].compile()
    with pytest.raises(TypeError, match="compiled"):
        named.current()
    with pytest.raises(TypeError, match="compiled"):
        NamedModules(torch.compile(nn.ReLU()), [""])
    with pytest.raises(ValueError, match="at least one"):
        NamedModules(model, [])


def test_one_module_has_all_of_its_names() -> None:
    shared = nn.Linear(2, 2)
    named = NamedModules(nn.Sequential(shared, nn.Sequential(shared)), ["1.0", "0"])
    assert named.current() == {"1.0": shared, "0": shared}


def test_a_name_that_is_hardly_similar_is_still_a_hint() -> None:
    with pytest.raises(ValueError, match=r"Sequential has no submodule 'conv'; did you mean 'c'\?"):
        NamedModules(nn.Sequential(OrderedDict(c=nn.ReLU())), ["conv"])
    # Less similar than other words must be: two letters of six are the same.
    with pytest.raises(ValueError, match="no submodule 'convo'; did you mean 'c'"):
        NamedModules(nn.Sequential(OrderedDict(c=nn.ReLU())), ["convo"])
    with pytest.raises(ValueError, match="there are 'c'"):
        NamedModules(nn.Sequential(OrderedDict(c=nn.ReLU())), ["convolu"])


def test_a_class_is_refused() -> None:
    with pytest.raises(TypeError, match="'model' is the class ReLU"):
        NamedModules(nn.ReLU, [""])


def test_one_name_alone_is_looked_up_again_when_its_module_is_another() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Tanh())
    named = NamedModules(model, ["1"])
    first = named.current()
    assert named.current() is first
    model[1] = nn.Sigmoid()
    assert named.current()["1"] is model[1]
