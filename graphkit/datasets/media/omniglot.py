"""Omniglot's characters as tensors, read from the published archives."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.datasets.store.dataset_card import DatasetCard
from graphkit.datasets.store.loading import locate
from graphkit.guard import DamagedDataError, reading
from graphkit.tensor_files import open_zip
from graphkit.text_files import bounded_int

__all__ = ["OmniglotImages", "omniglot"]

PARTS = ("small1", "small2")
SIDE = 105
CARD = DatasetCard(
    name="Omniglot",
    about="handwritten characters of the two minimal sets of alphabets",
    loader="graphkit.datasets.media.omniglot:omniglot",
    folder="omniglot",
    files=tuple(f"images_background_{part}.zip" for part in PARTS),
    raw="",
    source="folder 'python' of https://github.com/brendenlake/omniglot",
    terms="MIT (repository)",
)


@dataclass(frozen=True)
class OmniglotImages:
    """Characters; those of one alphabet follow each other.

    Args:
        x (torch.Tensor): Ink in [0, 1], ``[N, 1, S, S]``.
        y (torch.Tensor): Character, ``[N]``.
        alphabet (torch.Tensor): Alphabet of each character, ``[K]``.
        alphabets (tuple of str): Names of the alphabets.
        drawer (torch.Tensor): Who drew each character, from 0, ``[N]``. Drawers of different
            alphabets are different people, though their numbers are the same.
    """

    x: Tensor
    y: Tensor
    alphabet: Tensor
    alphabets: tuple[str, ...]
    drawer: Tensor


def omniglot(
    part: str = "small1", size: int = 28, root: str | os.PathLike[str] | None = None
) -> OmniglotImages:
    r"""Characters of the `"Human-level concept learning through probabilistic program induction"
    <https://doi.org/10.1126/science.aab3050>`_ paper, averaged down from 105 × 105. The two
    parts share the alphabets Greek and Latin.

    Args:
        part (str, optional): ``"small1"``, 136 characters, or ``"small2"``, 156, each drawn by
            20 people. (default: ``"small1"``)
        size (int, optional): Side of the images. (default: :obj:`28`)
        root (str or Path, optional): Folder of the data sets.
            (default: ``GRAPHKIT_DATA``, else ``data`` in the cache folder)

    Raises:
        MissingDataError: If a file is missing; the message says where to get it.
        DamagedDataError: If the archive or an image in it cannot be read.
        ValueError: If there is no such part, or the size is out of range.
        ImportError: If Pillow is missing.

    Example:
        .. code-block:: python

            from graphkit.datasets import omniglot

            characters = omniglot("small1")
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError('Omniglot needs Pillow: pip install "graphkit[vision]"') from error
    if part not in PARTS:
        raise ValueError(f"'part' must be one of {PARTS}, got {part!r}")
    if not 1 <= size <= SIDE:
        raise ValueError(f"'size' must be in 1 … {SIDE}, got {size}")
    path = locate(CARD, root, fetch=False) / f"images_background_{part}.zip"
    names, images, drawers = [], [], []
    with open_zip(path) as archive:
        for (alphabet, character, file), member in drawings(archive.namelist()).items():
            # The member is named as well: there are thousands in one archive.
            with reading(path, member), Image.open(io.BytesIO(archive.read(member))) as image:
                if image.size != (SIDE, SIDE):
                    raise ValueError(f"its size is {image.size}, not {(SIDE, SIDE)}")
                images.append(drawn(image))
                drawers.append(bounded_int(file.rpartition("_")[2].rpartition(".")[0]))
                names.append((alphabet, character))
    if not images:
        raise DamagedDataError(f"'{path}' holds no image")
    # Numbers follow the names in order, whatever the order of the archive.
    characters = sorted(set(names))
    alphabets = sorted({alphabet for alphabet, _ in characters})
    number = {name: i for i, name in enumerate(characters)}
    x = torch.from_numpy(np.stack(images)).float().unsqueeze(1)
    return OmniglotImages(
        x=F.interpolate(x, size=(size, size), mode="area"),
        y=torch.tensor([number[name] for name in names]),
        alphabet=torch.tensor([alphabets.index(alphabet) for alphabet, _ in characters]),
        alphabets=tuple(alphabets),
        drawer=torch.tensor(drawers).unique(return_inverse=True)[1],
    )


def drawn(image: Any) -> np.ndarray:
    """Where there is ink, black on white in an image of any mode, on nothing if need be."""
    if image.mode != "1":
        whole = image.convert("RGBA")
        blank = whole.copy()
        blank.paste((255, 255, 255, 255), (0, 0, *whole.size))
        blank.alpha_composite(whole)
        return np.asarray(blank.convert("L")) < 128
    return ~np.asarray(image, dtype=bool)


def drawings(members: list[str]) -> dict[tuple[str, ...], str]:
    """The members of an archive that are drawings, by alphabet, character and file.

    What stands above the alphabet differs from archive to archive, and does not matter.
    """
    places: dict[tuple[str, ...], str] = {}
    for member in sorted(members):
        # Some programs of Windows pack their own separator.
        parts = member.replace("\\", "/").split("/")
        hidden = "__MACOSX" in parts or parts[-1].startswith(".")
        if hidden or not parts[-1].lower().endswith(".png"):
            continue
        if len(parts) < 3:
            raise ValueError(f"'{member}' is in no folder of a character in one of an alphabet")
        place = tuple(parts[-3:])
        if place in places:
            raise ValueError(f"'{places[place]}' and '{member}' are the same drawing")
        places[place] = member
    return places
