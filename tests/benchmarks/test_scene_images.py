"""Text to pixels: what is read where, and the rule of the digit scenes."""

from __future__ import annotations

import pytest
import torch

from benchmarks.harness.fitting import Fitter
from benchmarks.protocols import scene_images
from graphkit.datasets import DigitScenes, SceneBatch, format_scene
from graphkit.testing import TaskSuite

TRAIN = {"epochs": 1, "lr": 0.003}


class TestPaintingTask(TaskSuite):
    not_claimed = {
        "shares_make_up_the_whole": "boxes are averaged over objects, whose number differs by image"
    }

    def make(self):
        parts = [scene_images.pictures(list(DigitScenes(count))) for count in (7, 2)]
        return scene_images.PaintingTask(*parts, batch_size=3)

    def make_model(self):
        return scene_images.Painter(8, 2)


def test_reports_the_way_from_text_to_pixels():
    found = scene_images.run(
        {"name": "DigitScenes", "num_graphs": 40}, seed=0, fit=Fitter(TRAIN, 0), channels=8
    )
    assert found["read_real"] > 0.85
    assert found["read_real"] >= found["read_enriched"] >= 0
    assert {"read_enriched_new", "rule", "box_error_pixels", "box_error_mean_box"} <= {*found}


def test_typed_scenes_are_the_same_scenes():
    scenes = SceneBatch.from_data(list(DigitScenes(20)))
    names = DigitScenes(1).vocabulary
    whole, again = scenes.to_data_list(), scene_images.typed(scenes).to_data_list()
    for data, other in zip(whole, again, strict=True):
        assert format_scene(other, names).split("; ") == format_scene(data, names).split("; ")


def test_the_rule_holds_for_real_scenes_and_not_for_others():
    scenes = SceneBatch.from_data(list(DigitScenes(200)))
    everything = torch.ones_like(scenes.x, dtype=torch.bool)
    assert scene_images.rule_share(scenes, everything) == 1.0
    scenes.x = torch.randint(10, scenes.x.shape)
    assert scene_images.rule_share(scenes, everything) == pytest.approx(0.1, abs=0.05)


def test_without_structure_triples_do_not_matter():
    picture = scene_images.pictures(list(DigitScenes(6)))
    painter = scene_images.Painter(8, 2, structure=False).eval()
    scenes = picture.scenes
    turned = SceneBatch(
        scenes.x, scenes.edge_index.flip(0), scenes.edge_attr, scenes.batch, scenes.num_graphs
    )
    assert torch.equal(painter(scenes).boxes, painter(turned).boxes)
    with_triples = scene_images.Painter(8, 2).eval()
    assert not torch.equal(with_triples(scenes).boxes, with_triples(turned).boxes)


def test_other_data_is_refused():
    with pytest.raises(ValueError, match="runs on 'DigitScenes', got 'MNIST'"):
        scene_images.load("MNIST")
