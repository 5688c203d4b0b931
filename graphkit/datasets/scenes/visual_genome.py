"""Visual Genome's scene graphs, with the preprocessing of image generation from scene graphs."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import torch
from torch_geometric.data import Data, InMemoryDataset

from graphkit.datasets.scenes.vocabulary import SceneVocabulary
from graphkit.datasets.store.in_place import InPlace
from graphkit.datasets.store.registry import VG_FILES
from graphkit.files import replacing
from graphkit.guard import DamagedDataError, reading
from graphkit.json_values import number, shown, whole
from graphkit.text_files import read_json, read_text

__all__ = ["VisualGenomeGraphs"]

SPLITS = ("train", "val", "test")
Row = dict[str, Any]


class VisualGenomeGraphs(InPlace, InMemoryDataset):
    r"""The scene graphs of `"Visual Genome" <https://arxiv.org/abs/1602.07332>`_, filtered as in
    the `"Image Generation from Scene Graphs" <https://arxiv.org/abs/1804.01622>`_ paper: 178
    categories and 45 predicates, in 62,565 / 5,506 / 5,088 photographs.

    .. math::
        \mathcal{C} = \{c : |\{\text{training objects named } c\}| \ge 2000\}, \qquad
        \mathcal{P} = \{p : |\{\text{training triples with } p\}| \ge 500\}

    Photographs of at least 200 pixels each way are kept, objects of at least 32 pixels each way
    whose name, after the published aliases, is in :math:`\mathcal{C}`, triples between kept
    objects with a predicate in :math:`\mathcal{P}`, and of those photographs the ones with 3 to
    30 objects and 1 to 30 triples. The special names ``__image__`` and ``__in_image__`` are
    left to the models; attributes are not read. The pixels are not part of the set. Reading the
    published files once takes memory for them as Python objects, some gigabytes.

    Args:
        root (str): Folder of the data set.
        raw_folder (str or Path): Folder of the published files (version 1.4, and the released
            code's :obj:`vg_splits.json`).
        processed_folder (str or Path): Folder of the processed files.
        split (str, optional): ``"train"``, ``"val"`` or ``"test"``. (default: :obj:`"train"`)
        variant (str, optional): :obj:`"paper"` brings the predicates of all splits to lower case
            and applies the aliases; :obj:`"released"` does so for the training split alone, as
            the released code. (default: :obj:`"paper"`)
        min_image_size, min_object_size (int, optional): Least pixels each way.
            (default: :obj:`200`, :obj:`32`)
        min_object_instances, min_predicate_instances (int, optional): Least training instances.
            (default: :obj:`2000`, :obj:`500`)
        min_objects, max_objects, min_triples, max_triples (int, optional): Limits per photograph.
            (default: :obj:`3`, :obj:`30`, :obj:`1`, :obj:`30`)
        transform (callable, optional): Applied at every access. (default: :obj:`None`)

    Shapes:
        - **output:** per photograph :obj:`x` :math:`(N)`, :obj:`edge_index` :math:`(2, T)`,
          :obj:`edge_attr` :math:`(T)`, :obj:`box` :math:`(N, 4)` as left, top, right, bottom in
          :math:`[0, 1]`

    Raises:
        DamagedDataError: If the files do not fit together.
        ValueError: If an option is unknown.

    Example:
        .. code-block:: python

            from graphkit.datasets import load

            scenes = load("VisualGenome", split="val")
    """

    also_read = ()

    def __init__(
        self,
        root: str,
        *,
        raw_folder: str | os.PathLike[str],
        processed_folder: str | os.PathLike[str],
        split: str = "train",
        variant: Literal["paper", "released"] = "paper",
        min_image_size: int = 200,
        min_object_size: int = 32,
        min_object_instances: int = 2000,
        min_predicate_instances: int = 500,
        min_objects: int = 3,
        max_objects: int = 30,
        min_triples: int = 1,
        max_triples: int = 30,
        **kwargs: Any,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"'split' must be one of {SPLITS}, got {split!r}")
        if variant not in ("paper", "released"):
            raise ValueError(f"'variant' must be 'paper' or 'released', got {variant!r}")
        self.variant = variant
        self.min_image_size, self.min_object_size = min_image_size, min_object_size
        self.min_object_instances = min_object_instances
        self.min_predicate_instances = min_predicate_instances
        self.objects_allowed = range(min_objects, max_objects + 1)
        self.triples_allowed = range(min_triples, max_triples + 1)
        super().__init__(root, raw_folder=raw_folder, processed_folder=processed_folder, **kwargs)
        self.load(self.processed_paths[SPLITS.index(split)])
        names = read_json(self.processed_paths[-1])
        with reading(self.processed_paths[-1], advice="delete its folder, and it is made anew"):
            if not names["objects"]:
                raise ValueError("it names no categories")
            self.vocabulary = SceneVocabulary(tuple(names["objects"]), tuple(names["predicates"]))

    @property
    def num_classes(self) -> int:
        """The number of object categories."""
        return self.vocabulary.num_objects

    @property
    def raw_file_names(self) -> tuple[str, ...]:
        return VG_FILES

    @property
    def processed_file_names(self) -> list[str]:
        return [*(f"{split}.pt" for split in SPLITS), "vocabulary.json"]

    def process(self) -> None:
        splits = self.image_splits()
        objects, names = self.read_objects(splits)
        triples, predicates = self.read_triples(splits, objects)
        for split, processed in zip(SPLITS, self.processed_paths, strict=False):
            graphs = []
            for image, size in splits[split].items():
                there, links = objects.get(image, {}), triples.get(image, [])
                if len(there) in self.objects_allowed and len(links) in self.triples_allowed:
                    with reading(self.path("objects.json"), f"photograph {image}"):
                        graphs.append(graph_of(there, links, size))
            if not graphs:
                raise DamagedDataError(f"no photograph of '{split}' in '{self.raw_dir}' is left")
            self.save(graphs, processed)
        with replacing(self.processed_paths[-1]) as file:
            file.write(json.dumps({"objects": names, "predicates": predicates}).encode())

    def path(self, name: str) -> Path:
        """Where a file lies."""
        return Path(self.raw_dir) / name

    def image_splits(self) -> dict[str, dict[int, tuple[int, int]]]:
        """Per split the large enough photographs and their width and height."""
        sizes = {}
        for row in entries(self.path("image_data.json")):
            with reading(self.path("image_data.json")):
                width, height = (whole(row[side], side) for side in ("width", "height"))
                sizes[whole(row["image_id"], "image_id")] = width, height
        with reading(self.path("vg_splits.json")):
            listed = read_json(self.path("vg_splits.json"))
            return {
                split: {
                    image: sizes[image]
                    for image in listed[split]
                    if min(sizes[image]) >= max(self.min_image_size, 1)
                }
                for split in SPLITS
            }

    def read_objects(
        self, splits: dict[str, dict[int, tuple[int, int]]]
    ) -> tuple[dict[int, dict[int, Row]], list[str]]:
        """Per photograph the kept objects by number, and the categories."""
        path = self.path("objects.json")
        rows, aliases = entries(path), read_aliases(self.path("object_alias.txt"))
        wanted = set().union(*splits.values())
        counts: Counter[str] = Counter()
        for position, row in enumerate(rows):
            with reading(path, f"entry {position}"):
                for item in row["objects"]:
                    item["names"] = [aliases.get(text(name), name) for name in item["names"]]
                    for key in ("x", "y", "w", "h"):
                        item[key] = number(item[key], key)
                    whole(item["object_id"], "object_id")
                    if row["image_id"] in splits["train"]:
                        counts.update(list(dict.fromkeys(item["names"])))
        names = [name for name, n in counts.most_common() if n >= self.min_object_instances]
        numbers = {name: number for number, name in enumerate(names)}
        objects: dict[int, dict[int, Row]] = {}
        for row in rows:
            if row["image_id"] not in wanted:
                continue
            for item in row["objects"]:
                name = next((name for name in item["names"] if name in numbers), None)
                if name is not None and min(item["w"], item["h"]) >= self.min_object_size:
                    item["category"] = numbers[name]
                    objects.setdefault(row["image_id"], {})[item["object_id"]] = item
        return objects, names

    def read_triples(
        self,
        splits: dict[str, dict[int, tuple[int, int]]],
        objects: dict[int, dict[int, Row]],
    ) -> tuple[dict[int, list[tuple[int, int, int]]], list[str]]:
        """Per photograph the kept triples of object numbers, and the predicates."""
        path, aliases = self.path("relationships.json"), read_aliases(self.path(VG_FILES[4]))
        counts: Counter[str] = Counter()
        triples_of: dict[int, list[tuple[int, str, int]]] = {}
        for position, row in enumerate(entries(path)):
            with reading(path, f"entry {position}"):
                image = row["image_id"]
                there, training = objects.get(image, {}), image in splits["train"]
                for item in row["relationships"]:
                    ends = item["subject"]["object_id"], item["object"]["object_id"]
                    if ends[0] not in there or ends[1] not in there:
                        continue
                    predicate = text(item["predicate"])
                    if training or self.variant == "paper":
                        predicate = predicate.lower().strip()
                        predicate = aliases.get(predicate, predicate)
                    triples_of.setdefault(image, []).append((ends[0], predicate, ends[1]))
                    counts[predicate] += training
        names = [name for name, n in counts.items() if n >= self.min_predicate_instances]
        numbers = {name: number for number, name in enumerate(names)}
        frequent = {
            image: [(s, numbers[p], o) for s, p, o in triples if p in numbers]
            for image, triples in triples_of.items()
        }
        return frequent, names


def entries(path: Path) -> list[dict[str, Any]]:
    """The dictionaries in a file, one for each photograph."""
    rows = read_json(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DamagedDataError(f"'{path}' holds no list of dictionaries")
    return rows


def read_aliases(path: Path) -> dict[str, str]:
    """Every name of a line, parted by commas, semicolons or tabs, stands for the line's first."""
    aliases = {}
    for line in read_text(path).split("\n"):
        names = [name.strip() for name in re.split("[,;\t]", line) if name.strip()]
        aliases.update(dict.fromkeys(names, names[0] if names else ""))
    return aliases


def text(value: Any) -> str:
    """A name, if it is one."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is no name")
    return value


def graph_of(
    objects: dict[int, Row], triples: list[tuple[int, int, int]], size: tuple[int, int]
) -> Data:
    """The scene graph of one photograph."""
    place = {number: row for row, number in enumerate(objects)}
    numbers = [(place[s], p, place[o]) for s, p, o in triples]
    table = torch.tensor(numbers, dtype=torch.long).view(-1, 3)
    box = torch.tensor(
        [[o["x"], o["y"], o["x"] + o["w"], o["y"] + o["h"]] for o in objects.values()]
    )
    return Data(
        x=torch.tensor([one["category"] for one in objects.values()]),
        edge_index=table[:, [0, 2]].t().contiguous(),
        edge_attr=table[:, 1].contiguous(),
        box=(box / torch.tensor([*size, *size])).clamp(0, 1),
        num_nodes=len(objects),
    )
