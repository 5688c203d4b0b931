"""Pictures of several digits with their scene graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from graphkit.datasets.scenes.vocabulary import SceneVocabulary

__all__ = ["DigitScenes"]

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGIT_VOCABULARY = SceneVocabulary(NAMES, ("left of", "above"))
CANVAS, CELL, GRID = 32, 10, 3


class DigitScenes(InMemoryDataset):
    r"""Handwritten digits on a canvas, with the scene graph that describes them: real pixels
    that come with scikit-learn, a layout that follows from the graph, and a rule.

    .. math::
        d_{r, c} = (d_0 + c + 2 r) \bmod 10

    Two to :obj:`max_digits` joined cells of a :math:`3 \times 3` grid hold a digit each; the
    one to the right of a digit is larger by one, the one below by two, modulo ten.  Each pair
    of neighbours is a triple, *three left of four* or *three above five*.  The cells are centred
    on the canvas and moved by up to a pixel, so boxes follow from the graph alone, up to that.
    Digits are scikit-learn's, of :math:`8 \times 8` pixels, drawn from the first 1,200 for
    training scenes and from the other 597 for test scenes.

    Nothing is written to disk; 2,000 scenes take about a second.

    Args:
        num_graphs (int, optional): Number of scenes. (default: :obj:`2000`)
        split (str, optional): ``"train"`` or ``"test"``. (default: :obj:`"train"`)
        max_digits (int, optional): Most digits in a scene. (default: :obj:`4`)
        seed (int, optional): Seed of the generator. (default: :obj:`0`)
        transform (callable, optional): Applied at every access. (default: :obj:`None`)

    Shapes:
        - **output:** per scene digits :obj:`x` :math:`(N)`, :obj:`edge_index` :math:`(2, T)`,
          predicates :obj:`edge_attr` :math:`(T)`, boxes :obj:`box` :math:`(N, 4)` as left, top,
          right, bottom in :math:`[0, 1]`, and :obj:`image` :math:`(1, 1, 32, 32)` in
          :math:`[0, 1]`

    Raises:
        ValueError: If an option is out of range.

    Example:
        >>> from graphkit.datasets import DigitScenes, format_scene
        >>> scenes = DigitScenes(num_graphs=3)
        >>> scenes[0].image.shape, scenes[0].box.size(0) == scenes[0].num_nodes
        (torch.Size([1, 1, 32, 32]), True)
    """

    def __init__(
        self,
        num_graphs: int = 2000,
        split: str = "train",
        max_digits: int = 4,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        super().__init__(None, transform)
        if split not in ("train", "test"):
            raise ValueError(f"'split' must be 'train' or 'test', got {split!r}")
        if num_graphs < 1 or not 2 <= max_digits <= GRID**2:
            raise ValueError(
                f"'num_graphs' must be at least 1 and 'max_digits' from 2 to {GRID**2}, got "
                f"{num_graphs} and {max_digits}"
            )
        generator = torch.Generator().manual_seed(2 * seed + (split == "test"))
        pixels, labels = digits(split)
        images = [torch.nonzero(labels == digit)[:, 0] for digit in range(10)]
        graphs = [scene(pixels, images, max_digits, generator) for _ in range(num_graphs)]
        self.data, self.slices = self.collate(graphs)

    @property
    def vocabulary(self) -> SceneVocabulary:
        """The names of digits and predicates."""
        return DIGIT_VOCABULARY

    @property
    def num_classes(self) -> int:
        """The number of digits."""
        return DIGIT_VOCABULARY.num_objects


def digits(split: str) -> tuple[Tensor, Tensor]:
    """The digits of a split as pictures of 8 by 8 in [0, 1], and their labels."""
    from sklearn.datasets import load_digits

    whole = load_digits()
    part = slice(None, 1200) if split == "train" else slice(1200, None)
    pixels = torch.from_numpy(whole.images[part]).float() / 16
    return pixels, torch.from_numpy(whole.target[part])


def scene(
    pixels: Tensor, images: list[Tensor], max_digits: int, generator: torch.Generator
) -> Data:
    """One picture with its graph."""

    def number(limit: int) -> int:
        return int(torch.randint(limit, (1,), generator=generator))

    cells = joined_cells(2 + number(max_digits - 1), number)
    place = torch.tensor(cells)
    first = number(10)
    # The rule that a network is to find: one step right adds 1, one step down adds 2.
    x = (first + place[:, 1] + 2 * place[:, 0]) % 10
    middle = (place.amin(0) + place.amax(0) + 1).float() / 2
    jitter = torch.randint(-1, 2, (2,), generator=generator)
    corner = (CANVAS / 2 + CELL * (place - middle)).round().long() + 1 + jitter
    corner = corner.clamp(0, CANVAS - 8)
    canvas = torch.zeros(CANVAS, CANVAS)
    for digit, (top, left) in zip(x.tolist(), corner.tolist(), strict=True):
        picture = pixels[images[digit][number(images[digit].numel())]]
        # A window is a view: writing into it draws on the canvas.
        window = canvas[top : top + 8, left : left + 8]
        window.copy_(torch.maximum(window, picture))
    where = {cell: row for row, cell in enumerate(cells)}
    triples = [
        (where[cell], predicate, where[other])
        for cell in cells
        for predicate, other in enumerate(((cell[0], cell[1] + 1), (cell[0] + 1, cell[1])))
        if other in where
    ]
    table = torch.tensor(triples).view(-1, 3)
    box = torch.cat([corner.flip(1), corner.flip(1) + 8], 1).float() / CANVAS
    return Data(
        x=x,
        edge_index=table[:, [0, 2]].t().contiguous(),
        edge_attr=table[:, 1].contiguous(),
        box=box,
        image=canvas[None, None],
        num_nodes=len(cells),
    )


def joined_cells(count: int, number: Callable[[int], int]) -> list[tuple[int, int]]:
    """Cells of the grid, each next to one before it."""
    cells = [(number(GRID), number(GRID))]
    while len(cells) < count:
        near = [
            (row + down, column + right)
            for row, column in cells
            for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0))
        ]
        free = [cell for cell in near if cell not in cells and 0 <= min(cell) <= max(cell) < GRID]
        cells.append(free[number(len(free))])
    return cells


def crops(images: Tensor, boxes: Tensor, image: Tensor) -> Tensor:
    """What is in each box, as pictures of 8 by 8, ``[O, 8, 8]``."""
    ticks = (torch.arange(8, dtype=boxes.dtype) + 0.5) / 8
    low, extent = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    where = 2 * (low[:, None] + ticks[None, :, None] * extent[:, None]) - 1
    columns = where[:, None, :, 0].expand(-1, 8, -1)
    rows = where[:, :, None, 1].expand(-1, -1, 8)
    grid = torch.stack([columns, rows], dim=-1)
    return F.grid_sample(images[image], grid, align_corners=False)[:, 0]
