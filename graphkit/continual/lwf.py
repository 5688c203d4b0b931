"""Learning without forgetting."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.continual.strategy import LossFn, OutputFn, Strategy, nonnegative


@method(
    paper="arXiv:1606.09282",
    title="Learning without Forgetting",
    authors="Zhizhong Li, Derek Hoiem",
    venue="ECCV 2016",
    year=2016,
    code="https://github.com/lizhitwo/LearningWithoutForgetting",
    licence="none",
    takes="any classifier, its outputs for the present training samples",
    gives="a penalty that keeps the old outputs on the new data",
    deviations=[
        "the KL divergence replaces the cross entropy; they differ by a constant",
        "no warm-up of the new columns alone",
        "old responses are computed in every step, not recorded once, so that batches may change",
        "multi_label=True compares every column on its own, for labels that exclude none",
    ],
    verified_by="tests/continual/test_lwf.py",
)
class LwF(Strategy):
    r"""Learning without forgetting from the `"Learning without Forgetting"
    <https://arxiv.org/abs/1606.09282>`_ paper.

    On the data of the new task, the outputs for the old tasks shall stay what they were:

    .. math::
        \mathcal{L}' = \mathcal{L} + \lambda \sum_{n \le k} \frac{1}{N} \sum_{i=1}^{N}
        \mathrm{KL} \left( \sigma(\mathbf{z}^{old}_{i,n} / \tau) \, \middle\| \,
        \sigma(\mathbf{z}_{i,n} / \tau) \right)

    with :math:`\mathbf{z}_{i,n}` the columns of task :math:`n`.  Where samples have several labels
    (``multi_label``), the divergence is that of one Bernoulli variable per column, and their mean
    over the columns takes the softmax's place.  Unlike in the program that TWP
    was published with, the gradient does reach the model.  One copy of the model is kept for any
    number of tasks; a step costs two more forward passes.

    Args:
        model (torch.nn.Module): Any classifier.
        weight (float, optional): :math:`\lambda`. (default: :obj:`1.0`)
        temperature (float, optional): :math:`\tau`. (default: :obj:`2.0`)
        multi_label (bool, optional): Whether columns are labels of their own, as with a binary
            cross entropy, and not classes of which one is right; without it a task of one column
            keeps nothing, as its softmax is constant. (default: :obj:`False`)

    Shapes:
        - **input:** outputs :math:`(N, C)`
        - **output:** the penalty, a scalar

    Raises:
        ValueError: If an argument is out of range, or :meth:`penalty` gets no ``output_fn`` after
            a task was finished.

    Example:
        >>> import torch
        >>> from graphkit.continual import LwF
        >>> x = torch.randn(6, 2)
        >>> model = torch.nn.Linear(2, 4)
        >>> lwf = LwF(model)
        >>> lwf.finish_task(lambda model: model(x).sum(), columns=torch.tensor([0, 1]))
        >>> penalty = lwf.penalty(output_fn=lambda model: model(x))
        >>> round(penalty.item(), 4)
        0.0
    """

    def __init__(
        self,
        model: nn.Module,
        weight: float = 1.0,
        temperature: float = 2.0,
        multi_label: bool = False,
    ) -> None:
        super().__init__(model)
        nonnegative(weight=weight)
        if not 0 < temperature < float("inf"):
            raise ValueError(f"'temperature' must be positive and finite, got {temperature}")
        self.weight, self.temperature, self.multi_label = weight, temperature, multi_label
        self.teacher: nn.Module | None = None
        self.groups: list[Tensor | None] = []

    def penalty(self, loss: Tensor | None = None, output_fn: OutputFn | None = None) -> Tensor:
        if self.teacher is None:
            return super().penalty()
        if output_fn is None:
            raise ValueError("LwF needs the outputs: call penalty(loss, output_fn)")
        with torch.no_grad():
            old = output_fn(self.teacher) / self.temperature
        new = output_fn(self.model) / self.temperature
        compare = label_divergence if self.multi_label else divergence
        terms = [compare(pick(new, group), pick(old, group)) for group in self.groups]
        return self.weight * torch.stack(terms).sum()

    def remember(
        self, loss_fns: list[LossFn], output_fns: list[OutputFn], columns: Tensor | None
    ) -> None:
        self.teach()
        self.groups.append(columns)

    def teach(self) -> None:
        """Makes the model as it is now the teacher."""
        self.teacher = copy.deepcopy(self.model).eval().requires_grad_(False)

    def state_dict(self) -> dict[str, Any]:
        weights = None if self.teacher is None else self.teacher.state_dict()
        return {**super().state_dict(), "teacher": weights, "groups": self.groups}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.groups, self.teacher = list(state["groups"]), None
        if state["teacher"] is not None:
            self.teach()
            assert self.teacher is not None
            self.teacher.load_state_dict(state["teacher"])


def pick(out: Tensor, columns: Tensor | None) -> Tensor:
    """The given columns."""
    return out if columns is None else out[:, columns]


def divergence(new: Tensor, old: Tensor) -> Tensor:
    """Mean divergence of the new distributions from the old ones."""
    return F.kl_div(new.log_softmax(1), old.log_softmax(1), reduction="batchmean", log_target=True)


def label_divergence(new: Tensor, old: Tensor) -> Tensor:
    """The same with a Bernoulli distribution per column, averaged over columns."""
    both_new, both_old = (torch.stack([F.logsigmoid(z), F.logsigmoid(-z)]) for z in (new, old))
    return (both_old.exp() * (both_old - both_new)).sum(dim=0).mean()
