"""From objects with boxes and masks to one picture of features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["boxes_to_layout", "masks_to_layout"]


def masks_to_layout(
    vectors: Tensor, boxes: Tensor, masks: Tensor, image: Tensor, num_images: int, size: int
) -> Tensor:
    r"""Paints each object's vector into its box, weighed by its mask, and adds up the objects of
    an image, as in the `"Image Generation from Scene Graphs"
    <https://arxiv.org/abs/1804.01622>`_ paper.

    .. math::
        \mathbf{Y}_{b}[y, x] = \sum_{o \in b} \mathbf{v}_o \, m_o\!\left(
        \frac{x - x^0_o}{x^1_o - x^0_o}, \frac{y - y^0_o}{y^1_o - y^0_o} \right)

    with the mask :math:`m_o` interpolated between its cells, corners on corners, and zero
    outside; in the released code masks blur outwards by one of their cells.  A box without area
    paints nothing and gives no gradient.  Memory and time grow with :math:`O \cdot D \cdot S^2`.

    Args:
        vectors (torch.Tensor): A vector per object.
        boxes (torch.Tensor): Left, top, right, bottom in :math:`[0, 1]`.
        masks (torch.Tensor): A mask per object.
        image (torch.Tensor): The image of each object.
        num_images (int): Number of images.
        size (int): Height and width :math:`S` of the result, in pixels.

    Shapes:
        - **input:** vectors :math:`(O, D)`, boxes :math:`(O, 4)`, masks :math:`(O, M, M)`,
          images :math:`(O)`
        - **output:** :math:`(B, D, S, S)`

    Raises:
        ValueError: If shapes do not fit.

    Example:
        >>> import torch
        >>> from graphkit.vision import masks_to_layout
        >>> box, mask = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1, 2, 2)
        >>> masks_to_layout(torch.tensor([[5.0]]), box, mask, torch.tensor([0]), 1, 2)
        tensor([[[[5., 5.],
                  [5., 5.]]]])
    """
    count = vectors.size(0)
    for name, value, shape in (("boxes", boxes, (count, 4)), ("image", image, (count,))):
        if tuple(value.shape) != shape:
            raise ValueError(f"'{name}' must have shape {shape}, got {tuple(value.shape)}")
    if masks.dim() != 3 or masks.size(0) != count:
        raise ValueError(f"'masks' must have shape ({count}, M, M), got {tuple(masks.shape)}")
    ticks = torch.linspace(0, 1, size, dtype=boxes.dtype, device=boxes.device)
    low, extent = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    there = (extent > 1e-6).all(1)
    extent = torch.where(there[:, None], extent, torch.ones_like(extent))
    grid = (2 * (ticks - low[:, :, None]) / extent[:, :, None] - 1).transpose(1, 2)
    columns = grid[:, None, :, 0].expand(-1, size, -1)
    rows = grid[:, :, None, 1].expand(-1, -1, size)
    inside = (columns.abs() <= 1 + 1e-6) & (rows.abs() <= 1 + 1e-6) & there[:, None, None]
    where = torch.stack([columns, rows], dim=-1)
    painted = F.grid_sample(masks[:, None], where, padding_mode="border", align_corners=True)
    painted = torch.where(inside[:, None], painted, torch.zeros_like(painted))
    layout = vectors.new_zeros(num_images, vectors.size(1), size, size)
    return layout.index_add(0, image, vectors[:, :, None, None] * painted)


def boxes_to_layout(
    vectors: Tensor, boxes: Tensor, image: Tensor, num_images: int, size: int
) -> Tensor:
    r"""Paints each object's vector all over its box; see :func:`masks_to_layout`.

    Args:
        vectors (torch.Tensor): A vector per object.
        boxes (torch.Tensor): Left, top, right, bottom in :math:`[0, 1]`.
        image (torch.Tensor): The image of each object.
        num_images (int): Number of images.
        size (int): Height and width of the result, in pixels.

    Shapes:
        - **input:** vectors :math:`(O, D)`, boxes :math:`(O, 4)`, images :math:`(O)`
        - **output:** :math:`(B, D, S, S)`

    Example:
        >>> import torch
        >>> from graphkit.vision import boxes_to_layout
        >>> half = torch.tensor([[0.0, 0.0, 0.5, 1.0]])
        >>> boxes_to_layout(torch.ones(1, 1), half, torch.tensor([0]), 1, 3)[0, 0, 0]
        tensor([1., 1., 0.])
    """
    masks = torch.ones(vectors.size(0), 2, 2, dtype=vectors.dtype, device=vectors.device)
    return masks_to_layout(vectors, boxes, masks, image, num_images, size)
