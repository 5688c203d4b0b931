"""Scene graphs: text, JSON, Visual Genome, VRD."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import torch

from graphkit.datasets import DamagedDataError, SceneVocabulary, VisualGenomeGraphs, parse_scene
from graphkit.datasets.scenes.visual_genome import VG_FILES, read_aliases
from graphkit.datasets.scenes.vrd import read_vrd
from tests.datasets.scenes.scene_files import VG_LIMITS, write_visual_genome, write_vrd
from tests.fuzz.parsers.reading import named, put, put_all
from tests.fuzz.registry import parser

NAMES = SceneVocabulary(("sheep", "tree", "grass", "traffic light"), ("by", "on", "in front of"))
TEXTS = (
    "a sheep by the tree on grass; sheep#2 on grass",
    "traffic light in front of tree, grass\nsheep",
)
SCENES = (
    {"objects": ["sheep", "grass"], "relationships": [[0, "on", 1]]},
    [["sheep", "on", "grass"], ["sheep#2", "by", "sheep"]],
    {
        "image_id": 3,
        "objects": [{"object_id": 5, "names": ["Sheep"]}, {"object_id": 7, "name": "grass"}],
        "relationships": [
            {"predicate": "ON", "subject_id": 5, "object_id": 7},
            {"predicate": "by", "subject": {"object_id": 7}, "object": {"object_id": 5}},
        ],
    },
)


@parser(
    lambda: [*(text.encode() for text in TEXTS), *(json.dumps(one).encode() for one in SCENES)],
    ValueError,
)
def scene_text(content: bytes, folder: Path) -> None:
    check_scene(parse_scene(content.decode("utf-8", "replace"), NAMES))


@parser(lambda: [json.dumps(one).encode() for one in SCENES], ValueError)
def scene_json(content: bytes, folder: Path) -> None:
    """JSON that the caller has read already, of any kind."""
    try:
        scene = json.loads(content)
    except (ValueError, RecursionError):
        return
    check_scene(parse_scene(scene, NAMES))


def check_scene(data: object) -> None:
    """Edges between the objects that there are."""
    edges = data.edge_index  # type: ignore[attr-defined]
    assert edges.dtype == torch.int64
    assert not edges.numel() or 0 <= int(edges.min()) <= int(edges.max()) < data.num_nodes  # type: ignore[attr-defined]


@cache
def vrd_files() -> list[bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        written = write_vrd(Path(folder))
        return [path.read_bytes() for path in sorted(written.glob("*.json"))]


@parser(vrd_files, DamagedDataError)
def vrd(content: bytes, folder: Path) -> None:
    for data in read_vrd(put(folder, "a.json", content)):
        assert data.box.isfinite().all()
        check_scene(data)


@cache
def genome() -> dict[str, bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        written = write_visual_genome(Path(folder))
        return {path.name: path.read_bytes() for path in sorted(written.iterdir())}


def genome_with(name: str, content: bytes, folder: Path) -> None:
    """All files of Visual Genome, one of them changed, as the data set reads them."""
    raw, done = folder / "raw", folder / "processed"
    put_all(raw, genome(), name, content)
    reader = VisualGenomeGraphs.__new__(VisualGenomeGraphs)
    reader.raw_folder, reader.processed_folder = str(raw), str(done)
    reader.variant, reader.min_image_size, reader.min_object_size = "paper", 200, 32
    reader.min_object_instances, reader.min_predicate_instances = VG_LIMITS.values()
    reader.objects_allowed, reader.triples_allowed = range(3, 31), range(1, 31)
    done.mkdir(exist_ok=True)
    reader.process()


def register(name: str) -> None:
    """A parser for one of the files."""

    def parse(content: bytes, folder: Path) -> None:
        genome_with(name, content, folder)

    parser(lambda: [genome()[name]], DamagedDataError, name=f"genome_{name.partition('.')[0]}")(
        parse
    )


for part in ("image_data.json", "objects.json", "relationships.json", "vg_splits.json"):
    register(part)


@cache
def processed_genome() -> dict[str, bytes]:
    """What Visual Genome's files were made into."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        genome_with("objects.json", genome()["objects.json"], Path(folder))
        return {path.name: path.read_bytes() for path in (Path(folder) / "processed").iterdir()}


@parser(lambda: [processed_genome()["vocabulary.json"]], ValueError)
def genome_vocabulary(content: bytes, folder: Path) -> None:
    """The names of categories, kept beside the processed graphs."""
    for name in VG_FILES:
        put(folder / "raw", name, b"")
    put_all(folder / "processed", processed_genome(), "vocabulary.json", content)
    places = {"raw_folder": folder / "raw", "processed_folder": folder / "processed"}
    with named(folder):
        scenes = VisualGenomeGraphs(str(folder), **places)
    assert scenes.num_classes >= 1


@parser(lambda: [b"man, guy,gentleman\ntree,trees\n"], DamagedDataError)
def genome_aliases(content: bytes, folder: Path) -> None:
    assert "" not in read_aliases(put(folder, "a.txt", content))
