"""Distillation of a teacher's softened predictions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from graphkit.catalog import method
from graphkit.distill.loss import DistillationLoss, check_pair, rows_mean


@method(
    paper="arXiv:1503.02531",
    title="Distilling the Knowledge in a Neural Network",
    authors="Geoffrey Hinton, Oriol Vinyals, Jeff Dean",
    venue="NIPS 2014 Deep Learning Workshop",
    year=2015,
    code=None,
    licence="none",
    takes="logits of a student and a teacher",
    gives="a scalar to add to the student's loss",
    deviations=[
        "multilabel=True, one Bernoulli divergence per label, is not in the paper.",
        "The divergence in place of the cross entropy: the same gradient, and 0 at equality.",
    ],
    verified_by="tests/distill/losses/test_soft_target.py",
    limits=[
        "a student that has not converged: the gain of 1.5 points on Cora is that of a "
        "converged shallow one",
    ],
)
class SoftTargetLoss(DistillationLoss):
    r"""Makes a student predict the teacher's softened class probabilities, as in the
    `"Distilling the Knowledge in a Neural Network" <https://arxiv.org/abs/1503.02531>`_ paper.

    .. math::
        \mathcal{L} = \frac{T^2}{N} \sum_i D_{KL} \left(
        \mathrm{softmax}(t_i / T) \,\Vert\, \mathrm{softmax}(s_i / T) \right)

    With several labels per node the softmax is a sigmoid per label and the divergences of the
    labels are added up. Memory and time grow with the size of the logits.

    Args:
        temperature (float, optional): :math:`T`. (default: :obj:`2.0`)
        multilabel (bool, optional): One yes-or-no prediction per column.
            (default: :obj:`False`)

    Shapes:
        - **input:** logits :math:`(N, K)` of the student and of the teacher
        - **output:** a scalar

    Raises:
        ValueError: If ``temperature`` is not positive, shapes differ or values are not finite.

    Example:
        >>> import torch
        >>> SoftTargetLoss(temperature=4.0)(torch.eye(3), torch.eye(3))
        tensor(0.)
    """

    teaches_task = True

    def __init__(self, temperature: float = 2.0, multilabel: bool = False) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"'temperature' must be positive, got {temperature}")
        self.temperature, self.multilabel = temperature, multilabel

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        student, teacher = check_pair(student, teacher, same_width=True)
        student, teacher = student / self.temperature, teacher / self.temperature
        if self.multilabel:
            yes = teacher.sigmoid() * (F.logsigmoid(teacher) - F.logsigmoid(student))
            no = (-teacher).sigmoid() * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
            divergence = yes + no
        else:
            log_p, log_q = teacher.log_softmax(-1), student.log_softmax(-1)
            divergence = F.kl_div(log_q, log_p, reduction="none", log_target=True)
        return self.temperature**2 * rows_mean(divergence.sum(-1))

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}, multilabel={self.multilabel}"
