"""What every distillation loss shares: its contract and its checks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.precision import wide


@no_method("the contract of losses, no method of its own")
class DistillationLoss(nn.Module):
    r"""A scalar that compares what a student and a teacher made of the same nodes.

    Subclasses implement ``forward(student, teacher)``; those that look at the graph set
    :attr:`takes_edges` and get ``edge_index`` and ``edge_index_teacher``, those that look at
    the graphs of a batch set :attr:`takes_batch` and get ``batch``. No gradient has to reach
    the teacher, none is stopped: :class:`~graphkit.distill.Distiller` runs it without.

    Shapes:
        - **input:** student :math:`(N, C_s)`, teacher :math:`(N, C_t)`
        - **output:** a scalar

    Example:
        >>> import torch
        >>> class Distance(DistillationLoss):
        ...     def forward(self, student, teacher):
        ...         return (student - teacher).square().mean()
        >>> Distance()(torch.ones(2, 3), torch.zeros(2, 3))
        tensor(1.)
    """

    takes_edges = False
    takes_batch = False
    teaches_task = False
    """Whether it says what the labels say, so that it may well weigh more than they do."""
    usual_weight = 1.0
    """What :class:`~graphkit.distill.Distiller` multiplies it with unless told otherwise."""


def check_pair(student: Tensor, teacher: Tensor, same_width: bool = False) -> tuple[Tensor, Tensor]:
    """Both in one type, float32 at least: squares and small constants are beyond half precision.

    Args:
        student, teacher (torch.Tensor): The features.
        same_width (bool, optional): Whether they must have as many columns.
            (default: :obj:`False`)

    Raises:
        TypeError: If one is not of a floating dtype.
        ValueError: If they are not finite matrices with one row for each of the same nodes.
    """
    for name, value in (("student", student), ("teacher", teacher)):
        if value.is_floating_point() and value.dim() != 2:
            raise ValueError(f"'{name}' must have shape [N, C], got {list(value.shape)}")
    student, teacher = alike(student, teacher)
    if student.size(0) != teacher.size(0):
        raise ValueError(
            f"'student' has {student.size(0)} rows and 'teacher' {teacher.size(0)}; "
            "both must describe the same nodes"
        )
    if same_width and student.size(1) != teacher.size(1):
        raise ValueError(
            f"'student' has {student.size(1)} columns and 'teacher' {teacher.size(1)}; "
            "this loss compares column by column"
        )
    return student, teacher


def alike(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one floating type, float32 at least, or an error that names what is not finite."""
    for name, value in (("student", student), ("teacher", teacher)):
        if not value.is_floating_point():
            raise TypeError(f"'{name}' must be of a floating dtype, got {value.dtype}")
        # A compiled graph cannot branch on values; there NaN passes on and shows.
        if not (torch.compiler.is_compiling() or torch.isfinite(wide(value).sum())):
            raise ValueError(f"'{name}' of shape {list(value.shape)} holds NaN or infinite values")
    dtype = torch.promote_types(wide(student).dtype, wide(teacher).dtype)
    return student.to(dtype), teacher.to(dtype)


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raises if an option is not one of those there are."""
    if value not in known:
        raise ValueError(f"'{name}' must be one of {list(known)}, got {value!r}")


def rows_mean(values: Tensor) -> Tensor:
    """Mean over rows; 0, not NaN, where there is none."""
    return values.sum() / max(values.size(0), 1)


def check_edges(edge_index: Tensor, num_nodes: int) -> None:
    """Raises unless every entry of ``edge_index`` is a node."""
    if edge_index.numel() == 0:
        return
    low, high = (int(value) for value in torch.aminmax(edge_index))
    if low < 0 or high >= num_nodes:
        wrong = low if low < 0 else high
        raise IndexError(f"'edge_index' holds {wrong}, but there are {num_nodes} nodes")
