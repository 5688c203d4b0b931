"""Lines between points as soft images, with gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops.dtypes import is_half, widened
from graphkit.precision import positive
from graphkit.refusals import refuse_infinite

__all__ = ["draw_strokes"]


def draw_strokes(points: Tensor, strokes: Tensor, size: int = 32, width: float = 0.04) -> Tensor:
    r"""Draws lines whose ink falls off with distance, so that it knows where to move.

    .. math::
        I(u) = 1 - \prod_s \left(1 - e^{-d_s(u)^2 / 2 w^2} \right)

    with the distance :math:`d_s` of a pixel's centre from a line. Time and memory grow with
    images times lines times pixels.

    Args:
        points (torch.Tensor): Column and row; the image is from -1 to 1.
        strokes (torch.Tensor): Numbers of the points between which lines are drawn.
        size (int, optional): Side of the image in pixels. (default: :obj:`32`)
        width (float, optional): :math:`w`. (default: :obj:`0.04`)

    Shapes:
        - **input:** points :math:`(B, V, 2)`, strokes :math:`(S, 2)`
        - **output:** :math:`(B, 1, H, H)`, in [0, 1]

    Raises:
        ValueError: If a shape or an option is wrong, or a point is not finite.

    Example:
        >>> import torch
        >>> points = torch.tensor([[[-0.75, -0.75], [0.75, -0.75]]])
        >>> draw_strokes(points, torch.tensor([[0, 1]]), size=4, width=0.1)[0, 0, :, 1].round()
        tensor([1., 0., 0., 0.])
    """
    if points.dim() != 3 or points.size(2) != 2 or strokes.dim() != 2 or strokes.size(1) != 2:
        raise ValueError(
            f"'points' must be [B, V, 2] and 'strokes' [S, 2], got {list(points.shape)} and "
            f"{list(strokes.shape)}"
        )
    if size < 1 or width <= 0:
        raise ValueError(f"'size' and 'width' must be positive, got {size} and {width}")
    if is_half(points):
        refuse_infinite("points", points)
        # All ink but a millionth is all ink in sixteen bits, and its logarithm infinite.
        return draw_strokes(widened(points), strokes, size, width).to(points.dtype)
    if not torch.compiler.is_compiling() and not points.sum().isfinite():
        raise ValueError("'points' holds NaN or infinite values")
    place = (torch.arange(size, device=points.device, dtype=points.dtype) + 0.5) / size * 2 - 1
    row, column = place.repeat_interleave(size), place.repeat(size)
    start, end = points[:, strokes[:, 0]], points[:, strokes[:, 1]]
    step = end - start
    length = positive(step.square().sum(-1))
    # One coordinate at a time: a tensor of images, lines, pixels and two is twice as large.
    across = column - start[..., :1]
    down = row - start[..., 1:]
    along = (across * step[..., :1] + down * step[..., 1:]) / length.unsqueeze(-1)
    along = along.clamp(0, 1)
    across = across - along * step[..., :1]
    down = down - along * step[..., 1:]
    ink = (-(across.square() + down.square()) / (2 * width**2)).exp()
    # A pixel on a line is all ink; its logarithm would be infinite.
    paper = torch.log1p(-ink.clamp(max=1 - 1e-6)).sum(1)
    return (1 - paper.exp()).unflatten(1, (1, size, size))
