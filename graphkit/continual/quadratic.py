"""A sum of quadratic penalties over any number of tasks, in two tensors per parameter."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from graphkit.catalog import no_method
from graphkit.precision import wide
from graphkit.refusals import refuse_importances, refuse_resized


@no_method("what EWC, MAS and TWP share")
class QuadraticPenalty:
    r"""The sum of one quadratic penalty per finished task, collapsed.

    .. math::
        \sum_n \sum_m I_{n,m} (w_m - w^*_{n,m})^2
        = \sum_m A_m (w_m - \mu_m)^2 + c, \qquad
        A = \sum_n I_n, \quad \mu = \frac{\sum_n I_n w^*_n}{A}

    Equal in value and gradient to the sum over tasks; time and memory are those of two
    tensors per parameter, :math:`O(|W|)`, for any number of tasks. Parameters of half precision
    are compared in float32, and the value is float32, too.

    Shapes:
        - **input:** importance and parameter of the same shape, per name
        - **output:** a scalar

    Example:
        >>> import torch
        >>> from graphkit.continual import QuadraticPenalty
        >>> penalty = QuadraticPenalty()
        >>> for place in (0.0, 2.0):
        ...     penalty.add({"w": torch.ones(1)}, {"w": torch.tensor([place])})
        >>> penalty({"w": torch.tensor([1.0])})
        tensor(2.)
    """

    def __init__(self) -> None:
        self.weight: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}
        self.constant = 0.0

    @torch.no_grad()
    def add(self, importance: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> None:
        """Adds the penalty of one more task, centred at the parameters as they are now.

        Raises:
            ValueError: If an importance is negative, not finite or of the wrong shape, or a
                parameter was resized after an earlier task; nothing is added then.
        """
        refuse_importances(importance, parameters)
        refuse_resized({n: w for n, w in self.weight.items() if n in importance}, parameters)
        for name, new in importance.items():
            place = wide(parameters[name].detach())
            if name not in self.weight:
                self.weight[name] = wide(new.detach()).clone()
                self.anchor[name] = place.clone()
                continue
            old, away = self.weight[name], place - self.anchor[name]
            total = old + wide(new.detach())
            share = torch.where(total > 0, new / total, 1.0)
            self.constant += float((old * share * away.square()).sum())
            self.anchor[name] += share * away
            self.weight[name] = total

    def move(self, parameters: Mapping[str, Tensor]) -> None:
        """Centres the whole penalty at the parameters as they are now."""
        self.anchor = {name: wide(parameters[name].detach()).clone() for name in self.anchor}
        self.constant = 0.0

    def move_to(self, device: torch.device) -> None:
        """Follows the model to another device."""
        for tensors in (self.weight, self.anchor):
            tensors |= {name: tensor.to(device) for name, tensor in tensors.items()}

    def __call__(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The penalty at these parameters, as a differentiable scalar.

        Raises:
            ValueError: If a parameter is gone or has another shape than before.
        """
        refuse_resized(self.weight, parameters)
        total: Tensor | None = None
        for name, weight in list(self.weight.items()):
            parameter = parameters[name]
            if weight.device != parameter.device:
                self.move_to(parameter.device)
                weight = self.weight[name]
            away = (wide(parameter) - self.anchor[name]).reshape(-1)
            term = torch.dot(weight.reshape(-1) * away, away)
            total = term if total is None else total + term
        if total is None:
            return next(iter(parameters.values())).new_zeros(())
        return total + self.constant

    def state_dict(self) -> dict[str, Any]:
        """Both tensors of every parameter, and the constant, as copies."""
        return copy.deepcopy(
            {"weight": self.weight, "anchor": self.anchor, "constant": self.constant}
        )

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes a copy of what :meth:`state_dict` gave: later tasks write into it."""
        self.weight, self.anchor = copy.deepcopy((dict(state["weight"]), dict(state["anchor"])))
        self.constant = float(state["constant"])
