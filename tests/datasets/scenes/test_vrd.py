import json

import pytest
import torch

from graphkit.datasets import DamagedDataError, SceneBatch, VRDSceneGraphs, format_scene, load
from graphkit.testing import DatasetSuite
from tests.datasets.scenes.scene_files import HORSE, PERSON, RIDE, SHIRT, WEAR, write_vrd
from tests.datasets.test_contract import FromFiles


class TestVRD(FromFiles):
    def write(self, root):
        write_vrd(root)

    def make(self, cache):
        return self.load(cache, "VRD")

    def splits(self, dataset):
        return {"train": torch.tensor([0]), "empty": torch.tensor([1])}


def test_the_suite_is_the_public_one():
    assert issubclass(TestVRD, DatasetSuite)


def test_mentions_become_objects(root, cache):
    write_vrd(root)
    data, empty = load("VRD")
    assert data.x.tolist() == [PERSON, SHIRT, HORSE]
    assert data.edge_index.tolist() == [[0, 0, 0], [1, 2, 2]]
    assert data.edge_attr.tolist() == [WEAR, RIDE, RIDE]
    expected = torch.tensor([[20, 10, 40, 60], [20, 20, 40, 40], [0, 40, 80, 100.0]])
    assert torch.allclose(data.box, expected / torch.tensor([80, 100, 80, 100]))
    assert (empty.num_nodes, empty.num_edges, list(empty.box.shape)) == (0, 0, [0, 4])


def test_equal_names_with_other_boxes_are_other_objects(root, cache):
    write_vrd(root)
    scenes = load("VRD", split="test")
    assert format_scene(scenes[0], scenes.vocabulary) == "person ride horse; person#2 ride horse"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predicate": 70}, "predicate is not between 0 and 69"),
        ({"object": {"category": 100, "bbox": [0, 1, 0, 1]}}, "category is not between 0 and 99"),
        ({"object": {"category": 1, "bbox": [0, 1, 0]}}, "expected 4"),
        ({"object": {"category": 1}}, "bbox"),
    ],
)
def test_damaged_triples_are_named(root, cache, change, message):
    path = write_vrd(root) / "annotations_train.json"
    annotations = json.loads(path.read_text())
    annotations["a.jpg"][1] |= change
    path.write_text(json.dumps(annotations))
    with pytest.raises(DamagedDataError, match=rf"annotations_train\.json.*a\.jpg.*{message}"):
        load("VRD")


def test_truncated_file_is_named(root, cache):
    path = write_vrd(root) / "annotations_test.json"
    path.write_text(path.read_text()[:-5])
    with pytest.raises(DamagedDataError, match=r"annotations_test\.json"):
        load("VRD")


def test_unknown_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'split' must be 'train' or 'test', got 'val'"):
        VRDSceneGraphs(str(tmp_path), raw_folder=tmp_path, processed_folder=tmp_path, split="val")


@pytest.mark.data
def test_published_counts(data_root, cache):
    parts = [load("VRD", data_root, split=split) for split in ("train", "test")]
    assert [len(part) for part in parts] == [4000, 1000]
    train, test = (SceneBatch.from_data(list(part)) for part in parts)
    assert train.edge_attr.numel() + test.edge_attr.numel() == 37_993
    assert train.x.unique().numel() == parts[0].num_classes == 100
    assert train.edge_attr.unique().numel() == parts[0].vocabulary.num_predicates == 70
    names_fit_the_numbers(train, parts[0].vocabulary)


def names_fit_the_numbers(scenes, names):
    """The most frequent objects of each of these relations are what the names say."""
    subject, object_ = scenes.x[scenes.edge_index]
    for wanted in ("person wear shirt", "person ride skateboard", "person ride horse"):
        first, predicate, second = wanted.split()
        there = scenes.edge_attr == names.predicate_id(predicate)
        there &= subject == names.object_id(first)
        counts = object_[there].bincount(minlength=names.num_objects)
        assert names.object_id(second) in counts.topk(5).indices
