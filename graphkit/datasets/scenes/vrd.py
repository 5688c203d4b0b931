"""Scene graphs of real photographs: Visual Relationship Detection."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data, InMemoryDataset

from graphkit.datasets.scenes.vocabulary import SceneVocabulary
from graphkit.datasets.scenes.vrd_names import VRD_VOCABULARY
from graphkit.datasets.store.in_place import InPlace
from graphkit.guard import DamagedDataError, reading
from graphkit.json_values import whole
from graphkit.text_files import read_json

__all__ = ["VRDSceneGraphs"]

FILES = ("annotations_train.json", "annotations_test.json")


class VRDSceneGraphs(InPlace, InMemoryDataset):
    r"""The scene graphs of the `"Visual Relationship Detection with Language Priors"
    <https://arxiv.org/abs/1608.00187>`_ paper: 4,000 training and 1,000 test photographs with
    37,993 triples of 100 object categories and 70 predicates.

    .. math::
        \mathcal{V} = \{(c, b) : \text{category } c \text{ with box } b \text{ in a triple}\}

    The published files list triples; mentions with the same category and box are one object.
    Triples that are listed twice are kept twice. 265 photographs have no triple and give graphs
    without nodes. The files say nothing about the size of a photograph: boxes are divided by
    the largest coordinates that occur in it. The pixels are not part of the set.

    Args:
        root (str): Folder of the data set.
        raw_folder (str or Path): Folder of the published files.
        processed_folder (str or Path): Folder of the processed files.
        split (str, optional): ``"train"`` or ``"test"``. (default: :obj:`"train"`)
        transform (callable, optional): Applied at every access. (default: :obj:`None`)

    Shapes:
        - **output:** per photograph object categories :obj:`x` :math:`(N)`, subjects and objects
          :obj:`edge_index` :math:`(2, T)`, predicates :obj:`edge_attr` :math:`(T)`, boxes
          :obj:`box` :math:`(N, 4)` as left, top, right, bottom in :math:`[0, 1]`

    Raises:
        DamagedDataError: If a file is not what was published.
        ValueError: If ``split`` is unknown.

    Example:
        .. code-block:: python

            from graphkit.datasets import format_scene, load

            scenes = load("VRD", split="test")
            print(format_scene(scenes[0], scenes.vocabulary))
    """

    also_read = ()

    def __init__(
        self,
        root: str,
        *,
        raw_folder: str | os.PathLike[str],
        processed_folder: str | os.PathLike[str],
        split: str = "train",
        **kwargs: Any,
    ) -> None:
        if split not in ("train", "test"):
            raise ValueError(f"'split' must be 'train' or 'test', got {split!r}")
        super().__init__(root, raw_folder=raw_folder, processed_folder=processed_folder, **kwargs)
        self.load(self.processed_paths[split == "test"])

    @property
    def vocabulary(self) -> SceneVocabulary:
        """The names of categories and predicates."""
        return VRD_VOCABULARY

    @property
    def num_classes(self) -> int:
        """The number of object categories."""
        return VRD_VOCABULARY.num_objects

    @property
    def raw_file_names(self) -> tuple[str, ...]:
        return FILES

    @property
    def processed_file_names(self) -> list[str]:
        return ["train.pt", "test.pt"]

    def process(self) -> None:
        for name, processed in zip(FILES, self.processed_paths, strict=True):
            self.save(read_vrd(Path(self.raw_dir) / name), processed)


def read_vrd(path: Path) -> list[Data]:
    """The scene graphs in a file."""
    annotations = read_json(path)
    if not isinstance(annotations, dict):
        raise DamagedDataError(f"'{path}' holds no dictionary of photographs")
    graphs = []
    for image, triples in annotations.items():
        with reading(path, f"the triples of '{image}'"):
            graphs.append(graph_of(triples))
    return graphs


def graph_of(triples: list[dict[str, Any]]) -> Data:
    """The scene graph of one photograph."""
    numbers: dict[tuple[int, ...], int] = {}
    table = torch.empty(len(triples), 3, dtype=torch.long)
    for row, triple in zip(table, triples, strict=True):
        ends = []
        for role in ("subject", "object"):
            top, bottom, left, right = (whole(side, "a side") for side in triple[role]["bbox"])
            mention = (whole(triple[role]["category"], "a category"), left, top, right, bottom)
            ends.append(numbers.setdefault(mention, len(numbers)))
        predicate = whole(triple["predicate"], "a predicate")
        row.copy_(torch.tensor([ends[0], predicate, ends[1]]))
    mentions = torch.tensor([*numbers], dtype=torch.long).view(-1, 5)
    for name, values, limit in (
        ("category", mentions[:, 0], VRD_VOCABULARY.num_objects),
        ("predicate", table[:, 1], VRD_VOCABULARY.num_predicates),
    ):
        if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < limit:
            raise ValueError(f"a {name} is not between 0 and {limit - 1}")
    box = mentions[:, 1:].float()
    size = box.amax(0)[2:].clamp(min=1) if len(box) else torch.ones(2)
    return Data(
        x=mentions[:, 0].contiguous(),
        edge_index=table[:, [0, 2]].t().contiguous(),
        edge_attr=table[:, 1].contiguous(),
        box=(box / size.repeat(2)).clamp(0, 1),
        num_nodes=len(box),
    )
