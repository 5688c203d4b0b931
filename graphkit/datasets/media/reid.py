"""Images for re-identification: who is on them, and which camera saw them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.datasets.media.omniglot import PARTS, omniglot
from graphkit.datasets.store.dataset_card import DatasetCard
from graphkit.datasets.store.errors import MissingDataError
from graphkit.datasets.store.folders import search_path, visible
from graphkit.guard import DamagedDataError, reading

__all__ = ["ReIDImages", "digits_reid", "market1501", "omniglot_reid"]

MARKET = DatasetCard(
    name="Market-1501",
    about="people seen by six cameras",
    loader="graphkit.datasets.media.reid:market1501",
    folder="Market-1501-v15.09.15",
    files=("bounding_box_train", "query", "bounding_box_test"),
    raw="",
    source="ask for Market-1501-v15.09.15.zip as its authors say (https://zheng-lab-anu.github.io/"
    "Project/project_reid.html) and unpack it",
    terms="research only",
)
LARGEST = 1 << 24
"""Pixels of an image; the published ones have 128 x 64."""
NAME = re.compile(r"(-1|\d{4})_c([1-6])s\d_\d{6}_\d{2}\.jpg")


@dataclass(frozen=True)
class ReIDImages:
    """Images with identities and cameras.

    Args:
        x (torch.Tensor): Images, ``[N, C, H, W]``.
        identity (torch.Tensor): Who is on each, ``[N]``; -1 is junk, which does not count.
        camera (torch.Tensor): Who saw it, ``[N]``.
        domain (torch.Tensor): Which part of the data it belongs to, ``[N]``.
    """

    x: Tensor
    identity: Tensor
    camera: Tensor
    domain: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def select(self, rows: Tensor) -> ReIDImages:
        """Some of the images, by a mask or by numbers."""
        return ReIDImages(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def split(self, share: float, seed: int = 0) -> tuple[ReIDImages, ReIDImages]:
        """Two parts without a common identity, the first with so large a share of them.

        Args:
            share (float): Between 0 and 1.
            seed (int, optional): Which identities. (default: :obj:`0`)
        """
        names = self.identity.unique()
        count = round(share * len(names))
        if not 0 < count < len(names):
            raise ValueError(f"'share' {share} of {len(names)} identities leaves a part empty")
        order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
        first = torch.isin(self.identity, names[order[:count]])
        return self.select(first), self.select(~first)


def omniglot_reid(
    alphabets: Sequence[str] | None = None,
    size: int = 28,
    root: str | os.PathLike[str] | None = None,
) -> ReIDImages:
    r"""Omniglot's characters as re-identification: a character is an identity, a drawer a camera
    and an alphabet a domain, so that cameras differ as hands do.

    Every drawer drew every character of an alphabet once. Greek and Latin stand in both archives
    and are read from the first.

    Args:
        alphabets (sequence of str, optional): Which; see the example. (default: all eight)
        size (int, optional): Side of the images. (default: :obj:`28`)
        root (str or Path, optional): Folder of the data sets.
            (default: ``GRAPHKIT_DATA``, else ``data`` in the cache folder)

    Shapes:
        - **output:** images :math:`(N, 1, S, S)` in [0, 1]

    Raises:
        MissingDataError: If a file is missing; the message says where to get it.
        DamagedDataError: If an archive or an image in it cannot be read.
        ValueError: If there is no such alphabet, or the size is out of range.
        ImportError: If Pillow is missing.

    Example:
        .. code-block:: python

            from graphkit.datasets import omniglot_reid

            source = omniglot_reid(["Balinese", "Early_Aramaic", "Greek", "Korean", "Latin"])
            target = omniglot_reid(["Japanese_(katakana)", "Sanskrit", "Tagalog"])
    """
    sets = [omniglot(part, size, root) for part in PARTS]
    names: list[str] = []
    columns: list[tuple[Tensor, ...]] = []
    identities = 0
    for images in sets:
        fresh = torch.tensor([name not in names for name in images.alphabets])
        rows = fresh[images.alphabet[images.y]]
        # Numbers of alphabets follow the order in which they are met.
        met = [name for name in images.alphabets if name not in names]
        domain = torch.tensor([(names + met).index(name) for name in images.alphabets])
        names += met
        alphabet = domain[images.alphabet[images.y]][rows]
        people = images.drawer[rows] + alphabet * (int(images.drawer.max()) + 1)
        columns.append((images.x[rows], images.y[rows] + identities, people, alphabet))
        identities += len(images.alphabet)
    whole = ReIDImages(*(torch.cat(column) for column in zip(*columns, strict=True)))
    if alphabets is None:
        return whole
    unknown = [name for name in alphabets if name not in names]
    if unknown or not alphabets:
        raise ValueError(f"'alphabets' must be among {names}, got {list(alphabets)}")
    wanted = torch.tensor([names.index(name) for name in alphabets])
    return whole.select(torch.isin(whole.domain, wanted))


def digits_reid(
    domain: int = 0,
    identities: int = 80,
    views: int = 3,
    cameras: int = 4,
    seed: int = 0,
) -> ReIDImages:
    r"""scikit-learn's digits as re-identification, on a canvas of 12 x 12: an identity is one
    drawn digit, a camera a way to photograph it.

    A camera has a gain, a bias, a blur, light that falls off from above, and noise; every view is
    moved by a pixel at most. Cameras depend on the domain alone, and identities of two domains are
    different drawings. They are drawn far from each other: each is the digit that is farthest from
    those before it, among eight. Cameras are made up: prefer :func:`omniglot_reid` where the change
    between them has to be real.

    Args:
        domain (int, optional): Which, 0 or 1. (default: :obj:`0`)
        identities (int, optional): How many, at most 800. (default: :obj:`80`)
        views (int, optional): Images of an identity by each camera. (default: :obj:`3`)
        cameras (int, optional): How many. (default: :obj:`4`)
        seed (int, optional): Which identities, and the noise. (default: :obj:`0`)

    Shapes:
        - **output:** :math:`I \cdot K \cdot V` images :math:`(1, 12, 12)`, about in [0, 1]

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> from graphkit.datasets import digits_reid
        >>> images = digits_reid(identities=5)
        >>> images.x.shape, images.identity.unique().tolist()
        (torch.Size([60, 1, 12, 12]), [0, 1, 2, 3, 4])
    """
    from sklearn.datasets import load_digits

    if domain not in (0, 1) or not 1 <= identities <= 800 or min(views, cameras) < 1:
        raise ValueError(
            "'domain' must be 0 or 1, 'identities' in 1 … 800, 'views' and 'cameras' at least 1, "
            f"got {domain}, {identities}, {views} and {cameras}"
        )
    generator = torch.Generator().manual_seed(1000 * seed + domain)
    pixels = torch.from_numpy(load_digits(return_X_y=True)[0][domain::2]).float() / 16
    drawn = pixels[far_apart(pixels, identities, generator)].view(-1, 1, 8, 8)
    identity, camera, _ = torch.meshgrid(
        *(torch.arange(n) for n in (identities, cameras, views)), indexing="ij"
    )
    identity, camera = identity.flatten(), camera.flatten()
    x = shifted(drawn[identity], generator)
    return ReIDImages(
        photographed(x, camera, cameras, domain, generator),
        identity,
        camera,
        torch.full_like(identity, domain),
    )


def far_apart(pixels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Numbers of images, each the farthest from those before it among eight drawn ones."""
    order = torch.randperm(len(pixels), generator=generator)
    left, taken = order.tolist(), [int(order[0])]
    left.remove(taken[0])
    nearest = (pixels - pixels[taken[0]]).norm(dim=1)
    while len(taken) < count:
        place = torch.randint(len(left), (8,), generator=generator).tolist()
        best = max((left[i] for i in place), key=lambda one: float(nearest[one]))
        left.remove(best)
        taken.append(best)
        nearest = torch.minimum(nearest, (pixels - pixels[best]).norm(dim=1))
    return torch.tensor(taken)


def shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Images ``[B, 1, 8, 8]`` on canvases of 12 x 12, at most a pixel from the centre."""
    corner = torch.randint(1, 4, (len(x), 2), generator=generator)
    place = torch.arange(12).unsqueeze(0)
    rows, cols = (place - corner[:, axis : axis + 1] for axis in (0, 1))
    inside = ((rows >= 0) & (rows < 8)).unsqueeze(2) & ((cols >= 0) & (cols < 8)).unsqueeze(1)
    number = torch.arange(len(x)).view(-1, 1, 1)
    canvas = x[number, 0, rows.clamp(0, 7).unsqueeze(2), cols.clamp(0, 7).unsqueeze(1)]
    return (canvas * inside).unsqueeze(1)


def photographed(
    x: Tensor, camera: Tensor, cameras: int, domain: int, generator: torch.Generator
) -> Tensor:
    """The images as their cameras see them; what a camera is like is fixed by the domain."""
    style = torch.Generator().manual_seed(77 + domain)
    gain, bias, blur, light, noise = (
        low + (high - low) * torch.rand(cameras, 1, 1, 1, generator=style)[camera]
        for low, high in ((0.6, 1.2), (0.0, 0.3), (0.0, 0.8), (-0.4, 0.4), (0.02, 0.1))
    )
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1)
    slope = torch.linspace(-1, 1, x.size(2)).view(1, 1, -1, 1)
    seen = gain * ((1 - blur) * x + blur * soft) * (1 + light * slope) + bias
    return seen + noise * torch.randn(x.shape, generator=generator)


def market1501(
    part: str = "train",
    size: tuple[int, int] = (128, 64),
    root: str | os.PathLike[str] | None = None,
) -> ReIDImages:
    r"""People of the `"Scalable Person Re-identification: A Benchmark"
    <https://doi.org/10.1109/ICCV.2015.133>`_ paper, from its published folders.

    Gives the images as one tensor, 128 x 64 at 32,668 images 3.2 GB. The domain is 0 throughout;
    identity 0 in ``"gallery"`` are people in nobody's query, -1 is junk.

    Args:
        part (str, optional): ``"train"``, ``"query"`` or ``"gallery"``. (default: ``"train"``)
        size (tuple of int, optional): Height and width. (default: 128 and 64)
        root (str or Path, optional): Folder of the data sets.
            (default: ``GRAPHKIT_DATA``, else ``data`` in the cache folder)

    Shapes:
        - **output:** images :math:`(N, 3, H, W)` in [0, 1], cameras from 0

    Raises:
        MissingDataError: If a folder is missing; the message says which and where to get it.
        DamagedDataError: If there is no image, a file has another name than the published ones, or
            an image cannot be read.
        ValueError: If there is no such part, or the size is out of range.
        ImportError: If Pillow is missing.

    Example:
        .. code-block:: python

            from graphkit.datasets import market1501

            gallery = market1501("gallery")
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError('Market-1501 needs Pillow: pip install "graphkit[vision]"') from error
    folders = dict(zip(("train", "query", "gallery"), MARKET.files, strict=True))
    if part not in folders:
        raise ValueError(f"'part' must be one of {tuple(folders)}, got {part!r}")
    sides = tuple(size) if isinstance(size, Sequence) else ()
    if len(sides) != 2 or not all(isinstance(side, int) and 0 < side <= 4096 for side in sides):
        raise ValueError(f"'size' must be a height and a width in 1 … 4096, got {size!r}")
    height, width = size
    images, identity, camera = [], [], []
    for path, person, number in market_files(folders[part], root):
        with reading(path), Image.open(path) as image:
            if image.width * image.height > LARGEST:
                raise ValueError(f"it has {image.width} x {image.height} pixels")
            pixels = np.asarray(
                image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
            )
        images.append(torch.from_numpy(pixels.copy()).permute(2, 0, 1))
        identity.append(person)
        camera.append(number)
    x = torch.stack(images).float() / 255
    numbers = torch.tensor(identity)
    return ReIDImages(x, numbers, torch.tensor(camera), torch.zeros_like(numbers))


def market_files(
    folder: str, root: str | os.PathLike[str] | None
) -> Iterator[tuple[Path, int, int]]:
    """Images of a folder in order, with identity and camera as their names say."""
    places = search_path(root)
    candidates = [base / MARKET.folder / folder for base in places]
    place = next((path for path in candidates if path.is_dir()), None)
    if place is None:
        where = " nor ".join(f"'{path}'" for path in candidates)
        raise MissingDataError(
            f"data set 'Market-1501' is not here: there is no folder {where}. How to get it: "
            f"{MARKET.source}, so that '{places[0] / MARKET.folder}' holds "
            f"{', '.join(MARKET.files)}; or set GRAPHKIT_DATA to the folder that holds "
            f"'{MARKET.folder}'."
        )
    paths = visible(place.glob("*.jpg"))
    if not paths:
        raise DamagedDataError(f"'{place}' holds no .jpg image")
    for path in paths:
        match = NAME.fullmatch(path.name)
        if match is None:
            raise DamagedDataError(
                f"'{path.name}' in '{place}' is no name of Market-1501, such as "
                "0002_c1s1_000451_03.jpg"
            )
        yield path, int(match[1]), int(match[2]) - 1
