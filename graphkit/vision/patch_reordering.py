"""Feature maps whose blocks are sorted by energy."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.ops.dtypes import is_half, widened

__all__ = ["PatchReorder", "PatchReorderCNN"]

CARD: dict[str, Any] = {
    "paper": "arXiv:1911.12682",
    "title": "Patch Reordering: A Novel Way to Achieve Rotation and Translation Invariance in "
    "Convolutional Neural Networks",
    "authors": "Xu Shen, Xinmei Tian, Shaoyan Sun, Dacheng Tao",
    "venue": "AAAI 2017",
    "year": 2017,
    "code": "https://github.com/jasonustc/caffe-multigpu",
    "licence": "BSD-2-Clause",
    "takes": "feature maps",
    "gives": "feature maps with their blocks in order of energy",
    "deviations": [
        "one order for all channels of an image (consistent=True); the released layer's default "
        "is an order per channel, consistent=False here",
        "blocks of equal energy, common after a ReLU, keep their order; in the released layer "
        "it is left to an unstable sort",
        "exact invariance holds for permutations of whole blocks alone; that to rotation, which "
        "the title speaks of, is not seen in our runs without rotated training images",
    ],
}


@method(**CARD)
class PatchReorder(nn.Module):
    r"""The layer of the `"Patch Reordering: A Novel Way to Achieve Rotation and Translation
    Invariance in Convolutional Neural Networks" <https://arxiv.org/abs/1911.12682>`_ paper:
    :math:`n \times n` blocks are sorted by energy, largest first, row by row, and so are the
    blocks inside each of them, :math:`L` times.

    .. math::
        e(b) = \sum_{c, (i, j) \in b} F_{cij}^2, \qquad
        \mathrm{PR}(F)_k = F_{b_{\pi(k)}}, \quad e(b_{\pi(1)}) \ge e(b_{\pi(2)}) \ge \dots

    The output is the same for every order of the blocks in the input, as long as no two of
    them have the same energy. Rows and columns that do not fill a block stay where they are.
    No gradient passes through the order. Time grows with the size of the map and, for the
    sort, with :math:`L n^{2L} \log n`.

    Args:
        n (int, optional): Blocks along each side, at each level. (default: :obj:`2`)
        levels (int, optional): :math:`L`; 0 changes nothing. (default: :obj:`1`)
        norm (str, optional): ``"l2"``, sums of squares, or ``"l1"``, sums of sizes.
            (default: ``"l2"``)
        consistent (bool, optional): One order for all channels; else each channel has its own.
            (default: :obj:`True`)

    Shapes:
        - **input:** :math:`(B, C, H, W)`
        - **output:** :math:`(B, C, H, W)`; with ``return_order`` also which finest block, counted
          row by row, has come to each place :math:`(B, 1 \text{ or } C, n^L, n^L)`

    Raises:
        ValueError: If an option is out of range, or the map has fewer rows or columns than
            blocks.

    Example:
        >>> import torch
        >>> from graphkit.vision import PatchReorder
        >>> image = torch.tensor([[1.0, 2.0], [4.0, 3.0]])[None, None]
        >>> PatchReorder()(image)[0, 0]
        tensor([[4., 3.],
                [2., 1.]])
    """

    def __init__(
        self, n: int = 2, levels: int = 1, norm: str = "l2", consistent: bool = True
    ) -> None:
        super().__init__()
        if n < 1 or levels < 0:
            raise ValueError(f"'n' must be at least 1 and 'levels' 0, got {n} and {levels}")
        if norm not in ("l1", "l2"):
            raise ValueError(f"'norm' must be 'l1' or 'l2', got {norm!r}")
        self.n, self.levels, self.norm, self.consistent = n, levels, norm, consistent

    @property
    def side(self) -> int:
        """Finest blocks along each side."""
        return self.n**self.levels

    def blocks(self, x: Tensor) -> Tensor:
        """Finest blocks, row by row: ``[B, C, side * side, cells]``."""
        if x.dim() != 4 or not x.is_floating_point():
            raise ValueError(f"'x' must hold floats [B, C, H, W], got {x.dtype} {list(x.shape)}")
        side, (high, wide) = self.side, (x.size(2) // self.side, x.size(3) // self.side)
        if not (high and wide):
            raise ValueError(f"'x' has {list(x.shape[2:])} cells for {side} x {side} blocks")
        inner = x[:, :, : high * side, : wide * side]
        parts = inner.reshape(*x.shape[:2], side, high, side, wide).transpose(3, 4)
        return parts.reshape(*x.shape[:2], side * side, high * wide)

    def energy(self, blocks: Tensor) -> Tensor:
        """Energies of the finest blocks, ``[B, 1 or C, side, side]``."""
        if is_half(blocks):
            blocks = widened(blocks)
        energy = blocks.square().sum(3) if self.norm == "l2" else blocks.abs().sum(3)
        energy = energy.sum(1, keepdim=True) if self.consistent else energy
        return energy.unflatten(2, (self.side, self.side))

    def order(self, energy: Tensor) -> Tensor:
        """Which finest block comes to each place, ``[B, 1 or C, side, side]``."""
        place = torch.arange(self.side**2, device=energy.device).view(self.side, self.side)
        place = place.expand_as(energy).flatten(0, 1)
        blocks = sort_blocks(energy.detach().flatten(0, 1), place, self.n, self.levels)
        return blocks.view_as(energy)

    def forward(self, x: Tensor, return_order: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """The reordered maps."""
        blocks = self.blocks(x)
        order = self.order(self.energy(blocks))
        rows = order.flatten(2).unsqueeze(3).expand_as(blocks)
        side, (high, wide) = self.side, (x.size(2) // self.side, x.size(3) // self.side)
        parts = blocks.gather(2, rows).view(*x.shape[:2], side, side, high, wide).transpose(3, 4)
        inner = parts.reshape(*x.shape[:2], side * high, side * wide)
        right = torch.cat([inner, x[:, :, : side * high, side * wide :]], 3)
        out = torch.cat([right, x[:, :, side * high :]], 2)
        return (out, order) if return_order else out

    def extra_repr(self) -> str:
        """The options."""
        return f"n={self.n}, levels={self.levels}, consistent={self.consistent}"


def sort_blocks(energy: Tensor, place: Tensor, n: int, levels: int) -> Tensor:
    """Squares ``[M, S, S]`` of places, their blocks sorted by energy, level after level."""
    if levels == 0:
        return place
    count, side = energy.size(0), energy.size(1) // n

    def cut(square: Tensor) -> Tensor:
        parts = square.reshape(count, n, side, n, side).transpose(2, 3)
        return parts.reshape(count, n * n, side * side)

    energy, place = cut(energy), cut(place)
    rank = energy.sum(2).argsort(dim=1, descending=True, stable=True)
    rank = rank.unsqueeze(2).expand_as(energy)
    energy, place = energy.gather(1, rank), place.gather(1, rank)
    inner = (count * n * n, side, side)
    place = sort_blocks(energy.view(inner), place.view(inner), n, levels - 1)
    square = place.view(count, n, n, side, side).transpose(2, 3)
    return square.reshape(count, n * side, n * side)


@method(**CARD)
class PatchReorderCNN(nn.Module):
    r"""A classifier of images with a :class:`PatchReorder` behind its convolutions, as in the
    `"Patch Reordering: A Novel Way to Achieve Rotation and Translation Invariance in
    Convolutional Neural Networks" <https://arxiv.org/abs/1911.12682>`_ paper.

    .. math::
        \hat y = W_2\, \sigma\big(W_1\, \mathrm{vec}\, \mathrm{PR}(
        \sigma(\mathrm{conv}(\mathrm{pool}\,\sigma(\mathrm{conv}(x))))\big)

    It is trained by cross entropy. A convolution behind the layer would see the seams between
    blocks that were no neighbours, so there is none.

    Args:
        in_channels (int): Channels of the images.
        out_channels (int): Classes.
        size (int): Side of the images, even.
        channels (int, optional): Of the first convolution; the second has twice as many.
            (default: :obj:`24`)
        hidden_channels (int, optional): Of the hidden layer. (default: :obj:`64`)
        reorder (PatchReorder, optional): The layer; :obj:`None` gives the plain network.
            (default: :obj:`None`)

    Shapes:
        - **input:** :math:`(B, C, S, S)`
        - **output:** logits :math:`(B, K)`; :meth:`features` gives :math:`(B, 2D, S/2, S/2)`

    Raises:
        ValueError: If ``size`` is odd.

    Example:
        >>> import torch
        >>> from graphkit.vision import PatchReorder, PatchReorderCNN
        >>> model = PatchReorderCNN(1, 10, 16, reorder=PatchReorder())
        >>> model(torch.rand(3, 1, 16, 16)).shape
        torch.Size([3, 10])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        channels: int = 24,
        hidden_channels: int = 64,
        reorder: PatchReorder | None = None,
    ) -> None:
        super().__init__()
        if size % 2:
            raise ValueError(f"'size' must be even, got {size}")
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.reorder = PatchReorder(levels=0) if reorder is None else reorder
        self.lin1 = nn.Linear(2 * channels * (size // 2) ** 2, hidden_channels)
        self.lin2 = nn.Linear(hidden_channels, out_channels)

    def features(self, x: Tensor) -> Tensor:
        """The maps that are reordered."""
        return F.relu(self.conv2(F.max_pool2d(F.relu(self.conv1(x)), 2)))

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        maps = self.reorder(self.features(x))
        return self.lin2(F.relu(self.lin1(maps.flatten(1))))
