"""Learning without forgetting."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.continual.strategy import (
    LossFn,
    OutputFn,
    Strategy,
    columns_of,
    nonnegative,
    outputs_of,
)
from graphkit.modes import evaluating
from graphkit.precision import wide
from graphkit.refusals import refuse_negative

Group = Tensor | int | None
"""The columns of a task: these, the first so many, or all that the teacher has."""


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
        "both networks answer in evaluation mode: with dropout in one of them alone, its noise is "
        "what the penalty works against",
        "old responses are computed in every step, not recorded once, so that batches may change",
        "multi_label=True compares every column on its own, for labels that exclude none",
    ],
    verified_by="tests/continual/test_lwf.py",
    limits=[
        "GAT on raw features: it gains nothing over fine-tuning, and can lose",
    ],
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
    number of tasks; a step costs two more forward passes, both in evaluation mode, which leave the
    statistics of batch norms alone. (With dropout in the new outputs, a GAT with dropout .6 on
    Cora's raw features ended 8.5 points below plain fine-tuning; without it, 1.7 above, and 2.2 on
    CiteSeer, which had no say; one seed each.)

    The model may get more output columns with every task, new ones behind the old: a task that
    was finished without ``columns`` stands for all that there were then.

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
        ValueError: If an argument is out of range, :meth:`penalty` gets no ``output_fn`` after a
            task was finished, outputs are not finite, or the model has fewer columns than before.

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
        self.width: int | None = None
        self.resized = False
        self.groups: list[Group] = []

    def penalty(self, loss: Tensor | None = None, output_fn: OutputFn | None = None) -> Tensor:
        if self.teacher is None:
            return super().penalty()
        if output_fn is None:
            raise ValueError("LwF needs the outputs: call penalty(loss, output_fn)")
        with torch.no_grad():
            old = wide(self.old_outputs(output_fn)) / self.temperature
        # The teacher speaks without dropout: against the model with it, noise would be unlearned.
        with evaluating(self.model):
            new = wide(outputs_of(output_fn, self.model)) / self.temperature
        if len(new) != len(old) or new.size(1) < old.size(1):
            raise ValueError(
                f"'output_fn' gave {list(new.shape)} where the model before the present task gave "
                f"{list(old.shape)}: the rows must be the same, and columns may only be added"
            )
        compare = label_divergence if self.multi_label else divergence
        terms = [compare(pick(new, group), pick(old, group)) for group in self.groups]
        return self.weight * torch.stack(terms).sum()

    def old_outputs(self, output_fn: OutputFn) -> Tensor:
        """What the teacher says, in as many columns as it had when its task was finished."""
        assert self.teacher is not None
        try:
            old = outputs_of(output_fn, self.teacher)
        except RuntimeError as error:
            if not self.resized:
                raise
            raise ValueError(
                "the teacher, a copy of the grown model with the smaller weights it had before, "
                f"does not run ({error}); give load_state_dict(state, teacher=…) a model of the "
                "old size"
            ) from error
        self.settle(old.size(1))
        return old[:, : self.width]

    def settle(self, width: int) -> None:
        """Notes how many columns the teacher has, and the tasks that stand for all of them."""
        if self.width is None:
            self.width = width
        self.groups = [self.width if group is None else group for group in self.groups]

    def remember(
        self, loss_fns: list[LossFn], output_fns: list[OutputFn], columns: Tensor | None
    ) -> None:
        # From the end they would be others once the outputs have grown.
        refuse_negative("columns", columns)
        # Before anything is kept: outputs may be refused.
        with evaluating(self.model), torch.no_grad():
            widths = [outputs_of(output_fn, self.model).size(1) for output_fn in output_fns[:1]]
        self.teach()
        self.groups.append(columns)
        self.width = None
        for width in widths:
            self.settle(width)

    def teach(self) -> None:
        """Makes the model as it is now the teacher."""
        self.teacher = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.resized = False

    def state_dict(self) -> dict[str, Any]:
        weights = None if self.teacher is None else self.teacher.state_dict()
        state = {"teacher": weights, "groups": self.groups, "width": self.width}
        return {**super().state_dict(), **copy.deepcopy(state)}

    def load_state_dict(self, state: dict[str, Any], teacher: nn.Module | None = None) -> None:
        r"""Takes a copy of what :meth:`state_dict` gave.

        Args:
            state (dict): The state.
            teacher (torch.nn.Module, optional): A model of the size that the model had when its
                last task was finished.  The model itself serves as long as its layers take their
                size from their weights, also after its outputs have grown. (default: the model)

        Raises:
            ValueError: If the state does not fit the model.
        """
        super().load_state_dict(state)
        self.groups, self.width = copy.deepcopy(list(state["groups"])), state.get("width")
        self.teacher = None
        if state["teacher"] is not None:
            self.teacher = copy.deepcopy(self.model if teacher is None else teacher)
            self.resized = restore(self.teacher, state["teacher"], self.width is not None)
            self.teacher.eval().requires_grad_(False)


def restore(model: nn.Module, weights: dict[str, Any], width_known: bool) -> bool:
    """Puts weights into a model, in their own size; tells whether any has another than before."""
    present = model.state_dict()
    gone = sorted(set(weights) - set(present))
    new = sorted(set(present) - set(weights))
    if gone:
        raise ValueError(f"the model has no {gone} any more, which 'state' has weights for")
    if new and not width_known:
        raise ValueError(
            f"the model has {new}, which 'state' has no weights for, and how many columns it had "
            "before is not known: give 'output_fn' to finish_task, or load_state_dict a 'teacher'"
        )
    others = [
        name
        for name, value in weights.items()
        if isinstance(value, Tensor) and value.shape != present[name].shape
    ]
    for name in others:
        owner, _, leaf = name.rpartition(".")
        module = model.get_submodule(owner)
        value = weights[name].to(present[name])
        parameter = isinstance(getattr(module, leaf), nn.Parameter)
        setattr(module, leaf, nn.Parameter(value) if parameter else value)
    model.load_state_dict(weights, strict=False)
    return bool(others)


def pick(out: Tensor, group: Group) -> Tensor:
    """The columns of a task."""
    return columns_of(out, group) if isinstance(group, Tensor) else out[:, :group]


def divergence(new: Tensor, old: Tensor) -> Tensor:
    """Mean divergence of the new distributions from the old ones."""
    return F.kl_div(new.log_softmax(1), old.log_softmax(1), reduction="batchmean", log_target=True)


def label_divergence(new: Tensor, old: Tensor) -> Tensor:
    """The same with a Bernoulli distribution per column, averaged over columns."""
    both_new, both_old = (torch.stack([F.logsigmoid(z), F.logsigmoid(-z)]) for z in (new, old))
    return (both_old.exp() * (both_old - both_new)).sum(dim=0).mean()
