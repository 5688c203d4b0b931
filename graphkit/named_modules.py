"""Modules of a model by their names, where hooks can be set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from graphkit.words import did_you_mean, refuse_class

__all__ = ["NamedModules"]


class NamedModules:
    """Modules of a model, looked up once and again only if one was replaced.

    Args:
        model (torch.nn.Module): Any model.
        names (sequence of str): Names as in :meth:`torch.nn.Module.named_modules`; ``""`` is the
            model itself.

    Raises:
        ValueError: If no name is given, or one is unknown; the nearest names are listed.
        TypeError: If the model, or a part of it on the way to a name, is compiled: hooks set
            after :func:`torch.compile` do not run.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
        >>> NamedModules(model, ["0"]).current()
        {'0': Linear(in_features=2, out_features=3, bias=True)}
    """

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        refuse_class("model", model)
        if not names:
            raise ValueError("name at least one submodule")
        self.model, self.names = model, tuple(names)
        self.look_up()

    def look_up(self) -> None:
        """Finds the modules by their names."""
        modules = dict(self.model.named_modules(remove_duplicate=False))
        refuse_compiled(self.model, [self.model])
        self.links: list[tuple[dict[str, Any], str, nn.Module]] = []
        for name in self.names:
            if name not in modules:
                hint = did_you_mean(name, modules, cutoff=0.3)
                raise ValueError(f"{type(self.model).__name__} has no submodule {name!r}; {hint}")
            parent = self.model
            for part in name.split(".") if name else ():
                children = vars(parent)["_modules"]
                self.links.append((children, part, children[part]))
                parent = children[part]
        refuse_compiled(self.model, [module for _, _, module in self.links])
        self.modules = {name: modules[name] for name in self.names}

    def current(self) -> dict[str, nn.Module]:
        """The modules by name, looked up again if one on the way was replaced or compiled."""
        refuse_compiled(self.model, [self.model])
        for children, part, module in self.links:
            if children.get(part) is not module or module._compiled_call_impl is not None:
                self.look_up()
                break
        return self.modules


def refuse_compiled(model: nn.Module, path: list[nn.Module]) -> None:
    """Raises if a module was compiled, by :func:`torch.compile` or in place."""
    for module in path:
        wrapped = isinstance(module, torch._dynamo.OptimizedModule)
        if wrapped or module._compiled_call_impl is not None:
            raise TypeError(
                f"{type(model).__name__} is compiled, and hooks set after torch.compile do not "
                "run: tap the module that was given to torch.compile (it shares the weights) and "
                "call it"
            )
