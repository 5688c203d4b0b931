"""Training on all tasks seen so far: the upper bound."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.continual.strategy import LossFn, OutputFn, Strategy, losses_of


@method(
    paper="doi:10.1023/A:1007379606734",
    title="Multitask Learning",
    authors="Rich Caruana",
    venue="Machine Learning Journal 1997",
    year=1997,
    code=None,
    licence="none",
    takes="any model, the loss of each task",
    gives="the losses of all earlier tasks: nothing is forgotten, nothing is saved",
    deviations=["tasks join one after another; their losses are added with equal weight"],
    verified_by="tests/continual/test_joint_train.py",
    limits=[
        "where earlier data are gone: it is the upper bound that keeps them all",
    ],
)
class JointTrain(Strategy):
    r"""Training on all tasks seen so far, as in the `"Multitask Learning"
    <https://doi.org/10.1023/A:1007379606734>`_ paper: what could be had if old data stayed.

    .. math::
        \mathcal{L}' = \mathcal{L}_{k+1} + \sum_{n \le k} \mathcal{L}_n

    Time and memory of a step grow with the number of tasks: their loss functions are kept, with
    the data behind them.  Earlier tasks are trained on like the present one, so statistics of
    batch norms follow them, too.

    Args:
        model (torch.nn.Module): Any model.

    Shapes:
        - **input:** losses :math:`(n)` or their mean, per task
        - **output:** the sum of the earlier tasks' mean losses, a scalar

    Example:
        >>> import torch
        >>> from graphkit.continual import JointTrain
        >>> model = torch.nn.Linear(2, 2)
        >>> joint = JointTrain(model)
        >>> joint.finish_task(lambda model: model.weight.square().sum())
        >>> torch.equal(joint.penalty(), model.weight.square().sum())
        True
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.kept: list[list[LossFn]] = []

    def penalty(self, loss: Tensor | None = None, output_fn: OutputFn | None = None) -> Tensor:
        if not self.kept:
            return super().penalty()
        return torch.stack([self.task_loss(task) for task in self.kept]).sum()

    def task_loss(self, task: list[LossFn]) -> Tensor:
        """The mean loss over all samples of one task."""
        losses = [losses_of(loss_fn, self.model, constant=True).view(-1) for loss_fn in task]
        return torch.cat(losses).mean()

    def remember(
        self, loss_fns: list[LossFn], output_fns: list[OutputFn], columns: Tensor | None
    ) -> None:
        self.kept.append(loss_fns)

    def state_dict(self) -> dict[str, Any]:
        raise TypeError(
            "JointTrain keeps loss functions, which cannot be saved; finish the tasks anew"
        )
