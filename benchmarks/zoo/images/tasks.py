"""Tasks on digits, objects and letters: 28 × 28 images of three channels in [0, 1]."""

from __future__ import annotations

import io
import tarfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.datasets import MissingDataError, cache_root, data_root
from graphkit.datasets.store.reading.archives import read_arrays
from graphkit.files import replacing
from graphkit.guard import reading
from graphkit.tensor_files import open_zip

__all__ = ["TASKS", "Pool", "Task", "load_pool", "probe_images", "task"]

SIZE = 28
LARGEST, WIDEST = 1 << 20, 1024
"""What an image in an archive may have: bytes, and pixels a side."""
FILES = {
    "digits": ("MNIST/mnist.npz",),
    "objects": ("CIFAR10/cifar10_jpg.tar.gz",),
    "letters": (
        "omniglot/images_background_small1.zip",
        "omniglot/images_background_small2.zip",
    ),
}
OBJECTS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
VEHICLES = (0, 1, 8, 9)
ANIMALS = (2, 3, 4, 5, 6, 7)
ALPHABETS = (
    "Balinese",
    "Early_Aramaic",
    "Greek",
    "Japanese_(katakana)",
    "Korean",
    "Latin",
    "Sanskrit",
    "Tagalog",
)
COUNTS = {"digits": (400, 150), "objects": (500, 150)}
LETTER_TRAIN = 14


@dataclass
class Pool:
    """The images of one domain: for training and for testing, with labels, as bytes.

    Args:
        train (torch.Tensor): ``uint8`` images :math:`(n, 3, 28, 28)`.
        train_y (torch.Tensor): Their labels; letters have two, alphabet and character.
        test (torch.Tensor): Images that no network is trained on.
        test_y (torch.Tensor): Their labels.
    """

    train: Tensor
    train_y: Tensor
    test: Tensor
    test_y: Tensor


@dataclass
class Task:
    """What a network is trained for.

    Args:
        name (str): Its name.
        domain (str): ``"digits"``, ``"objects"`` or ``"letters"``.
        x (torch.Tensor): Training images in [0, 1].
        y (torch.Tensor): Their classes.
        test_x (torch.Tensor): Test images.
        test_y (torch.Tensor): Their classes.
    """

    name: str
    domain: str
    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.y.max()) + 1


def find(name: str) -> Path:
    """A raw file under the data root."""
    path = data_root() / name
    if not path.is_file():
        raise MissingDataError(
            f"the image zoo needs '{path}'; set GRAPHKIT_DATA to the folder that holds '{name}'"
        )
    return path


@cache
def load_pool(domain: str) -> Pool:
    """The images of a domain, read once and then kept in the cache folder."""
    file_of = cache_root() / "zoo" / f"{domain}.npz"
    if not file_of.is_file():
        arrays = {"digits": read_digits, "objects": read_objects, "letters": read_letters}[domain]()
        with reading(find(FILES[domain][0])):
            check(domain, arrays)
        with replacing(file_of) as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    arrays = read_arrays(file_of, [field.name for field in fields(Pool)])
    with reading(file_of, advice="delete it, and the images are read again"):
        check(domain, arrays)
    return Pool(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def read_digits() -> dict[str, np.ndarray]:
    """The first digits of every class."""
    path = find(FILES["digits"][0])
    arrays: dict[Any, Any] = {}
    file = read_arrays(path, [f"{kind}_{part}" for kind in "xy" for part in ("train", "test")])
    with reading(path):
        for part, count in zip(("train", "test"), COUNTS["digits"], strict=True):
            y = file[f"y_{part}"].astype(np.int64)
            rows = np.concatenate([np.flatnonzero(y == c)[:count] for c in range(10)])
            images = np.repeat(file[f"x_{part}"][rows][:, None], 3, axis=1)
            arrays |= {part: images, f"{part}_y": y[rows]}
    return arrays


def decoded(stream: IO[bytes] | None, size: int, mode: str) -> np.ndarray:
    """A small image out of an archive."""
    from PIL import Image

    if stream is None or size > LARGEST:
        raise ValueError(f"it holds an image of {size:,} bytes")
    with Image.open(io.BytesIO(stream.read())) as image:
        if max(image.size) > WIDEST:
            raise ValueError(f"it holds an image of {image.size} pixels")
        return np.asarray(image.convert(mode))


def read_objects() -> dict[str, np.ndarray]:
    """The first objects of every class, without a border of two pixels."""
    path, wanted = (
        find(FILES["objects"][0]),
        dict(zip(("train", "test"), COUNTS["objects"], strict=True)),
    )
    images: dict[tuple[str, int], dict[str, np.ndarray]] = defaultdict(dict)
    with reading(path), tarfile.open(path) as archive:
        for member in archive:
            parts = Path(member.name).parts
            if not member.isfile() or len(parts) < 3 or parts[-2] not in OBJECTS:
                continue
            place = images[parts[-3], OBJECTS.index(parts[-2])]
            if len(place) < wanted.get(parts[-3], 0):
                pixels = decoded(archive.extractfile(member), member.size, "RGB")
                place[parts[-1]] = pixels[2:-2, 2:-2].transpose(2, 0, 1)
    arrays: dict[str, np.ndarray] = {}
    with reading(path):
        for part in wanted:
            groups = [[images[part, c][n] for n in sorted(images[part, c])] for c in range(10)]
            arrays[part] = np.concatenate([np.stack(group) for group in groups])
            arrays[f"{part}_y"] = np.repeat(np.arange(10), [len(group) for group in groups])
    return arrays


def read_letters() -> dict[str, np.ndarray]:
    """All characters of both small sets, white on black, shrunk by averaging areas."""
    drawn: dict[tuple[str, str], dict[str, np.ndarray]] = defaultdict(dict)
    for name in FILES["letters"]:
        path = find(name)
        with open_zip(path) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".png"):
                    _, alphabet, character, file = entry.filename.split("/")
                    with archive.open(entry) as stream:
                        image = decoded(stream, entry.file_size, "L")
                    drawn[alphabet, character][file] = 255 - image
    arrays: dict[str, list[np.ndarray]] = defaultdict(list)
    # Which of the archives a character is from is known no more.
    with reading(find(FILES["letters"][0]).parent):
        for alphabet, character in sorted(drawn):
            files = drawn[alphabet, character]
            stack = torch.from_numpy(np.stack([files[n] for n in sorted(files)]))[:, None].float()
            shrunk = F.adaptive_avg_pool2d(stack, SIZE)
            small = (255 * shrunk / shrunk.amax((2, 3), keepdim=True)).round().byte().numpy()
            label = [ALPHABETS.index(alphabet), int(character[-2:]) - 1]
            for part, rows in (("train", slice(LETTER_TRAIN)), ("test", slice(LETTER_TRAIN, None))):
                arrays[part].append(np.repeat(small[rows], 3, axis=1))
                arrays[f"{part}_y"].append(np.tile(label, (len(small[rows]), 1)))
        return {name: np.concatenate(parts) for name, parts in arrays.items()}


def check(domain: str, arrays: dict[str, np.ndarray]) -> None:
    """Raises unless these are small images and their labels."""
    letters, most = domain == "letters", [len(ALPHABETS), 100] if domain == "letters" else 10
    for part in ("train", "test"):
        x, y = arrays[part], arrays[f"{part}_y"]
        if x.dtype != np.uint8 or x.shape != (len(x), 3, SIZE, SIZE):
            raise ValueError(f"'{part}' holds {x.dtype} of {x.shape}, which are no such images")
        if y.dtype != np.int64 or y.shape != (len(x), 2)[: 1 + letters]:
            raise ValueError(f"'{part}' has labels {y.dtype} of {y.shape} for {len(x)} images")
        if ((y < 0) | (y >= most)).any():
            raise ValueError(f"'{part}' has labels that no {domain} have")


Rule = Callable[[Tensor], Tensor]


def chosen(classes: tuple[int, ...]) -> Rule:
    """Labels by place in a list of classes; the rest is left out."""

    def label(y: Tensor) -> Tensor:
        out = torch.full((len(y),), -1)
        for place, value in enumerate(classes):
            out[y == value] = place
        return out

    return label


def characters(alphabet: str) -> Rule:
    """Labels of one alphabet's characters."""
    number = ALPHABETS.index(alphabet)
    return lambda y: torch.where(y[:, 0] == number, y[:, 1], -1)


def same(y: Tensor) -> Tensor:
    """The labels as they are."""
    return y


def rotation(y: Tensor) -> Tensor:
    """Quarter turns, in turn; :func:`labelled` turns the images accordingly."""
    return torch.arange(len(y)) % 4


TASKS: dict[str, tuple[str, Rule]] = {
    "digits": ("digits", same),
    "digits-low": ("digits", chosen((0, 1, 2, 3, 4))),
    "digits-high": ("digits", chosen((5, 6, 7, 8, 9))),
    "digits-parity": ("digits", lambda y: y % 2),
    "digits-rotation": ("digits", rotation),
    "objects": ("objects", same),
    "animals": ("objects", chosen(ANIMALS)),
    "vehicles": ("objects", chosen(VEHICLES)),
    "animal-or-vehicle": (
        "objects",
        lambda y: (y[:, None] == torch.tensor(VEHICLES)).any(1).long(),
    ),
    "objects-rotation": ("objects", rotation),
    "greek": ("letters", characters("Greek")),
    "latin": ("letters", characters("Latin")),
    "korean": ("letters", characters("Korean")),
    "katakana": ("letters", characters("Japanese_(katakana)")),
    "alphabets": ("letters", lambda y: y[:, 0]),
    "letters-rotation": ("letters", rotation),
}
"""Name of every task, with its domain and the function that makes its labels."""


def labelled(images: Tensor, y: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """The images and labels of a task."""
    x, label = images.float() / 255, rule(y)
    if rule is rotation:
        turned = torch.stack([torch.rot90(x, k, (2, 3)) for k in range(4)])
        x = turned[label, torch.arange(len(x))]
    return x[label >= 0], label[label >= 0]


@cache
def task(name: str) -> Task:
    """The task of that name."""
    domain, rule = TASKS[name]
    pool = load_pool(domain)
    return Task(
        name,
        domain,
        *labelled(pool.train, pool.train_y, rule),
        *labelled(pool.test, pool.test_y, rule),
    )


def probe_images(per_domain: int, seed: int = 0) -> Tensor:
    """Test images of all three domains, the same number of each, without labels."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for domain in FILES:
        images = load_pool(domain).test
        parts.append(images[torch.randperm(len(images), generator=generator)[:per_domain]])
    return torch.cat(parts).float() / 255
