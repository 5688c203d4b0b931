import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from graphkit.datasets import DigitScenes
from graphkit.datasets.scenes.digit_scenes import crops, digits
from graphkit.testing import DatasetSuite


class TestDigitScenes(DatasetSuite):
    not_claimed = {
        "raw_untouched": "embedded in scikit-learn, no raw files",
        "splits": "parts are data sets of their own",
    }

    def make(self, cache):
        return DigitScenes(num_graphs=12)

    def raw_root(self):
        return None


def test_neighbours_keep_the_rule_and_lie_where_the_triple_says():
    scenes = DigitScenes(num_graphs=60, max_digits=9)
    for data in scenes:
        assert 2 <= data.num_nodes <= 9
        assert data.num_edges >= data.num_nodes - 1
        for s, o, p in zip(*data.edge_index.tolist(), data.edge_attr.tolist(), strict=True):
            assert (int(data.x[s]) + 1 + p) % 10 == int(data.x[o])
            moved = (data.box[o] - data.box[s])[:2] * 32
            assert moved.tolist() == pytest.approx([10.0, 0.0] if p == 0 else [0.0, 10.0])


def test_every_pair_of_neighbours_is_a_triple():
    for data in DigitScenes(num_graphs=30, max_digits=9):
        corner = (data.box[:, :2] * 32).round().long()
        gaps = corner[None] - corner[:, None]
        beside = (gaps == torch.tensor([10, 0])).all(2) | (gaps == torch.tensor([0, 10])).all(2)
        assert int(beside.sum()) == data.num_edges


def test_boxes_hold_the_digits():
    scenes = list(DigitScenes(num_graphs=120, split="test"))
    pixels, labels = digits("train")
    reader = KNeighborsClassifier(5).fit(pixels.flatten(1).numpy(), labels.numpy())
    images = torch.cat([data.image for data in scenes])
    owner = torch.arange(120).repeat_interleave(torch.tensor([d.num_nodes for d in scenes]))
    seen = crops(images, torch.cat([data.box for data in scenes]), owner)
    found = torch.from_numpy(reader.predict(seen.flatten(1).numpy()))
    assert float((found == torch.cat([data.x for data in scenes])).float().mean()) > 0.9


def test_crops_are_the_pixels_of_the_box():
    images = torch.rand(2, 1, 32, 32)
    box = torch.tensor([[4, 6, 12, 14.0]]) / 32
    found = crops(images, box, torch.tensor([1]))
    assert torch.allclose(found[0], images[1, 0, 6:14, 4:12], atol=1e-5)


def test_splits_draw_from_other_digits_and_seeds_differ():
    assert [len(digits(split)[0]) for split in ("train", "test")] == [1200, 597]
    one, same, other = (DigitScenes(5, seed=seed)[4].image for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one, DigitScenes(5, "test")[4].image)


@pytest.mark.parametrize("options", [{"split": "val"}, {"num_graphs": 0}, {"max_digits": 1}])
def test_wrong_options_are_named(options):
    with pytest.raises(ValueError, match=f"'{next(iter(options))}'"):
        DigitScenes(**options)
