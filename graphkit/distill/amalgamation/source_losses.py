"""What a student learns from one of several sources, for the samples on which it is trusted."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.distill.amalgamation.common_space import align
from graphkit.distill.loss import DistillationLoss
from graphkit.ops.dtypes import is_half
from graphkit.precision import normalize, wide

__all__ = ["ProjectedFeatureLoss", "ScaledLogitLoss", "entropy"]


def entropy(logits: Tensor) -> Tensor:
    r"""The entropy of the softmax of every row, in nats, finite for any finite logits.

    Args:
        logits (torch.Tensor): Logits.

    Shapes:
        - **input:** :math:`(N, K)`
        - **output:** :math:`(N)`, between 0 and :math:`\log K`

    Example:
        >>> import torch
        >>> entropy(torch.zeros(1, 4)) / torch.log(torch.tensor(4.0))
        tensor([1.])
    """
    log_p = wide(logits).log_softmax(1)
    return -(log_p.exp() * log_p).sum(1)


def shared(errors: Tensor, share: Tensor | None) -> Tensor:
    """The sum of errors per sample by each sample's share; their mean without."""
    if share is None:
        return errors.sum() / max(len(errors), 1)
    return (errors * share).sum()


@no_method("a term of CustomizedStudent")
class ScaledLogitLoss(DistillationLoss):
    r"""Mean squared error between logits, one side scaled by a learned number :math:`m`.

    Args:
        learned (bool, optional): :obj:`False` keeps :math:`m = 1`. (default: :obj:`True`)

    Shapes:
        - **input:** student and teacher :math:`(N, K)`, shares :math:`(N)` (optional)
        - **output:** a scalar
    """

    def __init__(self, learned: bool = True) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()), requires_grad=learned)

    def forward(self, student: Tensor, teacher: Tensor, share: Tensor | None = None) -> Tensor:
        if is_half(student):
            return self.forward(wide(student), wide(teacher), share).to(student.dtype)
        return shared((self.scale * student - teacher).square().mean(1), share)


@no_method("a term of CustomizedStudent")
class ProjectedFeatureLoss(DistillationLoss):
    r"""Mean squared error between projected features of a student and of a source.

    A projection is a convolution of size 1, which on features of nodes is a linear layer. Both
    could become zero, and the loss with them: :meth:`norm_penalty` keeps the filters of the
    source's side at length one, and ``exact`` divides them by their length instead.

    Args:
        in_channels (int): Of the student's features.
        source_channels (int): Of the source's features.
        both (bool, optional): Projects both sides to half of the source's channels; else the
            student alone, to the source's. (default: :obj:`True`)
        exact (bool, optional): Filters of the source's side have length one at all times.
            (default: :obj:`False`)

    Shapes:
        - **input:** student :math:`(N, C_s, *)`, source :math:`(N, C_t, *)`, shares :math:`(N)`
          (optional)
        - **output:** a scalar
    """

    def __init__(
        self, in_channels: int, source_channels: int, both: bool = True, exact: bool = False
    ) -> None:
        super().__init__()
        width = max(source_channels // 2, 1) if both else source_channels
        self.student = nn.Linear(in_channels, width, bias=False)
        self.source = nn.Linear(source_channels, width, bias=False) if both else None
        self.exact = exact
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Random filters, those of the source's side of length one."""
        self.student.reset_parameters()
        if self.source is not None:
            self.source.reset_parameters()
            with torch.no_grad():
                self.source.weight.copy_(normalize(self.source.weight))

    def forward(self, student: Tensor, teacher: Tensor, share: Tensor | None = None) -> Tensor:
        if student.dim() == 4:
            student, teacher = align([student, teacher])
        ours = project(student, self.student.weight)
        if self.source is not None:
            weight = normalize(self.source.weight) if self.exact else self.source.weight
            teacher = project(teacher, weight)
        if is_half(ours):
            apart = wide(ours) - wide(teacher)
            return shared(apart.square().flatten(1).mean(1), share).to(ours.dtype)
        return shared((ours - teacher).square().flatten(1).mean(1), share)

    def norm_penalty(self) -> Tensor:
        r"""The mean of :math:`(\lVert w \rVert^2 - 1)^2` over the filters of the source's side."""
        if self.source is None or self.exact:
            return self.student.weight.new_zeros(())
        return (self.source.weight.square().sum(1) - 1).square().mean()


def project(x: Tensor, weight: Tensor) -> Tensor:
    """A linear map of the channels, dimension 1."""
    return F.linear(x.movedim(1, -1), weight).movedim(-1, 1)
