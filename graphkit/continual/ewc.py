"""Elastic weight consolidation."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.continual.gradients import Gradients, draw, mean_gradient, sample_gradients, zeros
from graphkit.continual.quadratic import QuadraticPenalty
from graphkit.continual.strategy import (
    LossFn,
    OutputFn,
    Strategy,
    losses_of,
    nonnegative,
)
from graphkit.modes import evaluating
from graphkit.precision import wide


@method(
    paper="arXiv:1612.00796",
    title="Overcoming catastrophic forgetting in neural networks",
    authors="James Kirkpatrick, Razvan Pascanu, Neil Rabinowitz, Joel Veness, et al.",
    venue="PNAS 2017",
    year=2017,
    code=None,
    licence="none",
    takes="any model, one loss per training sample",
    gives="a penalty that keeps what earlier tasks learned",
    deviations=[
        "the Fisher information is that of the given labels (empirical), as in common use",
        "the factor 1/2 of the paper is part of the weight",
        "fisher='batch' squares the gradient of the mean loss instead, as the TWP authors' "
        "baseline does",
    ],
    verified_by="tests/continual/test_ewc.py",
)
class EWC(Strategy):
    r"""Elastic weight consolidation from the `"Overcoming catastrophic forgetting in neural
    networks" <https://arxiv.org/abs/1612.00796>`_ paper.

    .. math::
        \mathcal{L}' = \mathcal{L}
        + \lambda \sum_{n \le k} \sum_m F_{n,m} (w_m - w^*_{n,m})^2,
        \qquad
        F_{k,m} = \frac{1}{N_k} \sum_{i=1}^{N_k}
        \left( \frac{\partial \ell_i}{\partial w_m} \right)^2

    A step costs :math:`O(|W|)` more than plain training for any number of tasks; finishing a
    task costs one backward pass per sample that the Fisher information is estimated from.

    Args:
        model (torch.nn.Module): Any model.
        weight (float, optional): :math:`\lambda`. (default: :obj:`1e4`)
        samples (int, optional): Estimate the Fisher information from so many samples of each
            batch, drawn at random; :obj:`None` takes all. (default: :obj:`None`)
        fisher (str, optional): :obj:`"sample"`, or :obj:`"batch"` for the square of the mean
            loss's gradient. (default: :obj:`"sample"`)
        chunk (int, optional): Samples differentiated at a time. (default: :obj:`8`)
        seed (int, optional): Seed of the draw. (default: :obj:`0`)

    Shapes:
        - **input:** losses :math:`(n)`, one per sample
        - **output:** the penalty, a scalar

    Raises:
        ValueError: If an argument is out of range, or ``loss_fn`` gives a mean although
            ``fisher="sample"``.

    Example:
        >>> import torch
        >>> from graphkit.continual import EWC
        >>> x, y = torch.randn(6, 2), torch.tensor([0, 1, 0, 1, 0, 1])
        >>> model = torch.nn.Linear(2, 2)
        >>> ewc = EWC(model)
        >>> ewc.finish_task(
        ...     lambda model: torch.nn.functional.cross_entropy(model(x), y, reduction="none"))
        >>> ewc.penalty().item()
        0.0
    """

    def __init__(
        self,
        model: nn.Module,
        weight: float = 1e4,
        samples: int | None = None,
        fisher: Literal["sample", "batch"] = "sample",
        chunk: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__(model)
        nonnegative(weight=weight)
        check_sampling(samples, chunk)
        if fisher not in ("sample", "batch"):
            raise ValueError(f"'fisher' must be 'sample' or 'batch', got '{fisher}'")
        self.weight, self.samples, self.fisher = weight, samples, fisher
        self.chunk, self.seed = chunk, seed
        self.quadratic = QuadraticPenalty()

    def penalty(self, loss: Tensor | None = None, output_fn: OutputFn | None = None) -> Tensor:
        return self.quadratic(self.all_parameters())

    def remember(
        self, loss_fns: list[LossFn], output_fns: list[OutputFn], columns: Tensor | None
    ) -> None:
        parameters = self.parameters()
        with evaluating(self.model):
            if self.fisher == "batch":
                mean = mean_gradient(self.model, loss_fns, parameters)
                squares = {name: value.square() for name, value in mean.items()}
            else:
                squares = self.fisher_information(loss_fns)
        importance = {name: self.weight * value for name, value in squares.items()}
        self.quadratic.add(importance, parameters)

    def fisher_information(self, loss_fns: list[LossFn]) -> Gradients:
        """The mean square of the samples' gradients."""
        parameters = self.parameters()
        total = zeros(parameters)
        count = 0
        for loss_fn in loss_fns:
            losses = losses_of(loss_fn, self.model)
            if losses.dim() == 0:
                raise ValueError(
                    "EWC needs one loss per sample: let 'loss_fn' give losses of shape [n] "
                    "(reduction='none'), or use fisher='batch'"
                )
            losses = losses[draw(losses.numel(), self.samples, self.seed + self.tasks)]
            for gradients in sample_gradients(losses, parameters, self.chunk):
                for name, value in gradients.items():
                    total[name] += wide(value).square().sum(dim=0)
            count += losses.numel()
        return {name: value / count for name, value in total.items()}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "quadratic": self.quadratic.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.quadratic.load_state_dict(state["quadratic"])


def check_sampling(samples: int | None, chunk: int) -> None:
    """Refuses numbers of samples below one, by name."""
    for name, value in (("samples", samples), ("chunk", chunk)):
        if value is not None and value < 1:
            raise ValueError(f"'{name}' must be at least 1, got {value}")
