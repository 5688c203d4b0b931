"""Maximum mean discrepancy of two sets of samples under several Gaussian kernels at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphkit.distill.loss import DistillationLoss, alike
from graphkit.precision import normalize, wide

__all__ = ["SIGMAS", "MultiKernelMMDLoss", "multi_kernel", "unit_rows"]

SIGMAS = (0.001, 0.01, 0.05, 0.1, 0.2, 1.0, 2.0)


def unit_rows(features: Tensor) -> Tensor:
    """Samples as vectors of length one; what is zero stays zero, with a finite gradient.

    Half precision becomes float32.

    Args:
        features (torch.Tensor): One row, map or other block of numbers per sample.

    Shapes:
        - **input:** :math:`(N, *)`
        - **output:** :math:`(N, D)`

    Example:
        >>> import torch
        >>> unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    return normalize(wide(features.flatten(1)), dim=1, eps=0.0)


def multi_kernel(left: Tensor, right: Tensor, sigmas: Sequence[float] = SIGMAS) -> Tensor:
    r"""The sum of several Gaussian kernels of samples scaled to length one.

    .. math::
        k(u, v) = \sum_\sigma \exp\left(-\frac{1}{2 \sigma^2}
        \left\lVert \frac{u}{\lVert u \rVert} - \frac{v}{\lVert v \rVert} \right\rVert^2\right)

    Distances come from differences, not from dot products as those of
    :class:`~graphkit.distill.MMDLoss`, whose rounding the narrowest kernel would see. Memory
    grows with :math:`N M` per kernel, time with :math:`N M D`.

    Args:
        left, right (torch.Tensor): Two sets of samples.
        sigmas (sequence of float, optional): The widths :math:`\sigma`.

    Shapes:
        - **input:** :math:`(N, *)`, :math:`(M, *)`
        - **output:** :math:`(N, M)`

    Example:
        >>> import torch
        >>> multi_kernel(torch.eye(2), 5 * torch.eye(2), sigmas=[1.0])
        tensor([[1.0000, 0.3679],
                [0.3679, 1.0000]])
    """
    exact = "donot_use_mm_for_euclid_dist"
    square = torch.cdist(unit_rows(left), unit_rows(right), compute_mode=exact).square()
    widths = square.new_tensor([-2 * sigma**2 for sigma in sigmas])
    return torch.exp(square / widths.view(-1, 1, 1)).sum(0)


class MultiKernelMMDLoss(DistillationLoss):
    r"""The maximum mean discrepancy of two sets of samples under :func:`multi_kernel`.

    .. math::
        \mathrm{MMD}^2(s, t) = \Big[ \mathrm{mean}_{ij}\, k(s_i, s_j)
        + \mathrm{mean}_{ij}\, k(t_i, t_j) - 2\, \mathrm{mean}_{ij}\, k(s_i, t_j) \Big]_+

    It compares distributions: which sample is which does not matter, nor how many there are.
    Of two disjoint sets each kernel too narrow for any pair adds :math:`1 / N_s + 1 / N_t`, a
    floor that no training lowers.

    Args:
        sigmas (sequence of float, optional): The widths of the kernels.

    Shapes:
        - **input:** :math:`(N_s, *)`, :math:`(N_t, *)`
        - **output:** a scalar

    Raises:
        ValueError: If a set is empty or not finite, the samples differ in size, or a width is not
            positive.

    Example:
        >>> import torch
        >>> x = torch.rand(5, 3)
        >>> bool(MultiKernelMMDLoss()(x, 7 * x.flip(0)) < 1e-6)
        True
    """

    def __init__(self, sigmas: Sequence[float] = SIGMAS) -> None:
        super().__init__()
        if not len(sigmas) or min(sigmas) <= 0:
            raise ValueError(f"'sigmas' must be positive, at least one, got {list(sigmas)}")
        self.sigmas = tuple(sigmas)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        if student.shape[1:] != teacher.shape[1:] or not (len(student) and len(teacher)):
            raise ValueError(
                f"'student' {list(student.shape)} and 'teacher' {list(teacher.shape)} must hold "
                "samples of the same size, at least one each"
            )
        student, teacher = alike(student, teacher)
        within = multi_kernel(student, student, self.sigmas).mean()
        other = multi_kernel(teacher, teacher, self.sigmas).mean()
        between = multi_kernel(student, teacher, self.sigmas).mean()
        return (within + other - 2 * between).clamp(min=0)

    def extra_repr(self) -> str:
        return f"sigmas={list(self.sigmas)}"
