import json

import pytest
import torch

from graphkit.datasets import DamagedDataError, MissingDataError, VisualGenomeGraphs, load
from graphkit.datasets.scenes.visual_genome import entries, read_aliases
from tests.datasets.scenes.scene_files import VG_LIMITS, relation, write_visual_genome
from tests.datasets.test_contract import FromFiles


class TestVisualGenome(FromFiles):
    def write(self, root):
        write_visual_genome(root)

    def make(self, cache):
        return self.load(cache, "VisualGenome")

    def load(self, cache, which):
        import os
        from unittest import mock

        with mock.patch.dict(os.environ, GRAPHKIT_CACHE=str(cache), GRAPHKIT_OFFLINE="1"):
            return load(which, root=self.raw_root(), **VG_LIMITS)

    def splits(self, dataset):
        return {"first": torch.tensor([0]), "rest": torch.tensor([1, 2])}


def test_published_filters(root, cache):
    write_visual_genome(root)
    scenes = load("VisualGenome", **VG_LIMITS)
    assert scenes.vocabulary.objects == ("man", "horse", "ant")
    assert scenes.vocabulary.predicates == ("on",)
    assert len(scenes) == 3
    data = scenes[0]
    assert data.x.tolist() == [0, 0, 1, 2]
    assert data.edge_index.tolist() == [[0, 1], [2, 2]]
    assert data.edge_attr.tolist() == [0, 0]
    assert torch.allclose(data.box[1], torch.tensor([0.25, 0.1, 0.375, 80 / 300]))


def test_categories_by_frequency_and_predicates_by_appearance(root, cache):
    write_visual_genome(root)
    scenes = load("VisualGenome", min_object_instances=1, min_predicate_instances=1)
    assert set(scenes.vocabulary.objects) == {"man", "horse", "ant"}
    assert scenes.vocabulary.predicates == ("on", "near", "rare")
    assert scenes[0].edge_attr.tolist() == [0, 0, 1, 2]


def test_released_variant_leaves_other_splits_as_written(root, cache):
    write_visual_genome(root)
    paper = load("VisualGenome", split="val", **VG_LIMITS)
    assert paper[0].num_edges == 2
    with pytest.raises(DamagedDataError, match="no photograph of 'val'"):
        load("VisualGenome", split="val", variant="released", **VG_LIMITS)
    loose = load("VisualGenome", split="val", variant="released", min_triples=0, **VG_LIMITS)
    assert loose[0].num_edges == 0
    assert loose[0].edge_index.dtype == loose[0].edge_attr.dtype == torch.long


@pytest.mark.parametrize(
    ("limits", "left"),
    [({"min_objects": 5}, 0), ({"max_objects": 3}, 0), ({"max_triples": 1}, 0), ({}, 3)],
)
def test_limits_per_photograph(root, cache, limits, left):
    write_visual_genome(root)
    if left:
        assert len(load("VisualGenome", **VG_LIMITS, **limits)) == left
    else:
        with pytest.raises(DamagedDataError, match="no photograph of 'train'"):
            load("VisualGenome", **VG_LIMITS, **limits)


@pytest.mark.parametrize("ends", [(10, 19), (19, 10), (19, 99)])
def test_a_triple_with_an_end_that_is_left_out_is_left_out(root, cache, ends):
    """The 19 is too narrow, the 99 is nowhere."""
    path = write_visual_genome(root) / "relationships.json"
    rows = json.loads(path.read_text())
    rows[0]["relationships"].append(relation(999, ends[0], "on", ends[1]))
    path.write_text(json.dumps(rows))
    assert load("VisualGenome", **VG_LIMITS)[0].edge_index.tolist() == [[0, 1], [2, 2]]


def test_files_that_do_not_fit_are_named(root, cache):
    folder = write_visual_genome(root)
    (folder / "vg_splits.json").write_text(json.dumps({"train": [99], "val": [], "test": []}))
    with pytest.raises(DamagedDataError, match="KeyError: 99"):
        load("VisualGenome")


def test_missing_files_are_named(root, cache):
    with pytest.raises(MissingDataError, match=r"relationship_alias\.txt"):
        load("VisualGenome")


@pytest.mark.parametrize("options", [{"split": "all"}, {"variant": "theirs"}])
def test_unknown_options_are_refused(tmp_path, options):
    folders = {"raw_folder": tmp_path, "processed_folder": tmp_path}
    with pytest.raises(ValueError, match=f"'{next(iter(options))}' must be"):
        VisualGenomeGraphs(str(tmp_path), **folders, **options)


@pytest.mark.parametrize("mark", [",", ", ", ";", "\t", " \t "])
@pytest.mark.parametrize("begin", ["", "\ufeff"])
def test_aliases_however_they_are_parted(tmp_path, mark, begin):
    """Names have blanks in them, and what is not parted would stand for nothing, in silence."""
    path = tmp_path / "object_alias.txt"
    path.write_text(f"{begin}traffic light{mark}stop light\r\ntree{mark}trees{mark}", "utf-8")
    assert read_aliases(path) == {
        "traffic light": "traffic light",
        "stop light": "traffic light",
        "tree": "tree",
        "trees": "tree",
    }


@pytest.mark.parametrize("text", ['{"a": 1}', "{}", "[1]", '[{"a": 1}, null]', "3"])
def test_a_file_of_anything_but_dictionaries_is_named(tmp_path, text):
    path = tmp_path / "objects.json"
    path.write_text(text)
    with pytest.raises(DamagedDataError, match=r"objects\.json' holds no list of dictionaries"):
        entries(path)
