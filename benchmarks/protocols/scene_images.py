"""From text to pixels: digit scenes are enriched and painted, and a reader says what was painted.

Two models learn from the training scenes: the enricher, by knocking objects out, and a painter,
an encoder with boxes, masks and a synthesis network.  Test scenes lose one digit and are written
out as text; the text is read, the enricher adds a digit, the painter paints the result into
boxes of its own, and a nearest-neighbour reader that knows real digits reads each box.  ``rule``
is the share of the enricher's new triples that obey the grammar of the scenes (chance: a tenth).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.harness.fitting import Fitter
from graphkit.data.scene_batch import spans
from graphkit.datasets import DigitScenes, SceneBatch, format_scene, parse_scene
from graphkit.datasets.scenes.digit_scenes import crops, digits
from graphkit.nn import EnrichmentTask, SceneGraphEncoder, SceneGraphEnricher
from graphkit.train import ShardedTask, seed_everything
from graphkit.vision import LayoutToImage, SceneToImage, scene_image_loss
from graphkit.vision.scenes.scene_to_image import PaintedScene

MAIN = "read_enriched"


class Pictures(NamedTuple):
    """Scenes with their boxes and images."""

    scenes: SceneBatch
    boxes: Tensor
    images: Tensor

    def select(self, numbers: Tensor) -> Pictures:
        """Some of them."""
        nodes, _ = spans(self.scenes.node_ptr, numbers)
        return Pictures(self.scenes.select(numbers), self.boxes[nodes], self.images[numbers])


def load(name: str, num_graphs: int = 2000) -> tuple[Pictures, Pictures, Pictures]:
    """Training, validation (a tenth as many) and test pictures (a quarter as many)."""
    if name != "DigitScenes":
        raise ValueError(f"this protocol runs on 'DigitScenes', got {name!r}")
    parts = (
        DigitScenes(num_graphs),
        DigitScenes(max(num_graphs // 10, 8), seed=1),
        DigitScenes(max(num_graphs // 4, 8), "test"),
    )
    return tuple(pictures(list(part)) for part in parts)  # type: ignore[return-value]


def pictures(graphs: list[Any]) -> Pictures:
    """All scenes in one union."""
    return Pictures(
        SceneBatch.from_data(graphs),
        torch.cat([data.box for data in graphs]),
        torch.cat([data.image for data in graphs]),
    )


class Painter(nn.Module):
    """An encoder of scene graphs and the way to pixels behind it."""

    def __init__(self, channels: int = 32, num_layers: int = 4, structure: bool = True) -> None:
        super().__init__()
        self.structure = structure
        self.encoder = SceneGraphEncoder(
            10, 2, channels, triple_channels=2 * channels, num_layers=num_layers, residual=True
        )
        synthesis = LayoutToImage(channels + 4, (32, 24, 16), image_channels=1)
        self.paint = SceneToImage(channels, synthesis, size=32, noise_channels=4, mask_size=8)

    def forward(self, scenes: SceneBatch, boxes: Tensor | None = None) -> PaintedScene:
        """Paints scenes; without ``structure`` the triples are left out."""
        if not self.structure:
            none = scenes.edge_attr[:0]
            scenes = SceneBatch(
                scenes.x, scenes.edge_index[:, :0], none, scenes.batch, scenes.num_graphs
            )
        encoded = self.encoder(scenes)
        return self.paint(encoded.objects, scenes.batch, scenes.num_graphs, boxes)


class PaintingTask(ShardedTask):
    """Pixels and boxes of pictures, true boxes given to the painter while training."""

    def __init__(self, train: Pictures, val: Pictures, batch_size: int) -> None:
        self.parts, self.batch_size = (train, val), batch_size

    def batches(self, seed: int) -> Iterator[tuple[Pictures, int]]:
        """Pictures, and how many of them count."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(self.parts[0].scenes.num_graphs, generator=generator)
        for numbers in order.split(self.batch_size):
            mine, idle = self.mine(numbers)
            yield self.parts[0].select(mine), 0 if idle else len(mine)

    def loss(self, model: nn.Module, batch: tuple[Pictures, int]) -> Tensor:
        seen, count = batch
        loss = scene_image_loss(model(seen.scenes, seen.boxes), seen.images, seen.boxes)
        return loss if count else loss * 0.0

    def size(self, batch: tuple[Pictures, int]) -> int:
        return batch[1]

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        val = self.parts[1]
        loss = scene_image_loss(model(val.scenes, val.boxes), val.images, val.boxes)
        return {"val_loss": float(loss)}


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    enricher_train: dict[str, Any] | None = None,
    channels: int = 32,
    structure: bool = True,
    batch_size: int = 32,
) -> dict[str, float]:
    """One seed; ``enricher_train`` are changes to ``train`` for the enricher."""
    learning, val, test = load(**dataset)
    seed_everything(seed)
    enricher = SceneGraphEnricher(10, 2, 48, 8, triple_channels=48, num_layers=3, residual=True)
    fit_enricher = dataclasses.replace(fit, train={**fit.train, **(enricher_train or {})})
    fit_enricher(enricher, EnrichmentTask(learning.scenes, val.scenes, 64), tag="enricher")
    painter = Painter(channels, structure=structure)
    fit(painter, PaintingTask(learning, val, batch_size), tag="painter")
    return judge(enricher.eval(), painter.eval(), test, seed)


@torch.no_grad()
def judge(
    enricher: SceneGraphEnricher, painter: Painter, test: Pictures, seed: int
) -> dict[str, float]:
    """What is painted where, and whether the new triples keep the rule."""
    scenes = test.scenes
    given = painter(scenes, test.boxes)
    guessed = painter(scenes)
    generator = torch.Generator().manual_seed(seed)
    place = torch.rand(scenes.num_graphs, generator=generator) * scenes.node_ptr.diff()
    node = scenes.node_ptr[:-1] + place.long()
    text = typed(scenes.knock_out(node).rest)
    made = enricher.enrich(text, stop=False, generator=generator)
    painted = painter(made.scenes)
    mean = test.boxes.mean(0).expand_as(test.boxes)
    return {
        "read_real": read(test.images, test.boxes, scenes),
        "read_true_boxes": read(given.images, test.boxes, scenes),
        "read_predicted_boxes": read(guessed.images, guessed.boxes, scenes),
        "read_enriched": read(painted.images, painted.boxes, made.scenes),
        "read_enriched_new": read(painted.images, painted.boxes, made.scenes, made.is_new),
        "box_error_pixels": float((guessed.boxes - test.boxes).abs().mean()) * 32,
        "box_error_mean_box": float((mean - test.boxes).abs().mean()) * 32,
        "pixel_error": float((given.images - test.images).abs().mean()),
        "pixel_error_blank": float(test.images.abs().mean()),
        "rule": rule_share(made.scenes, made.is_new),
    }


def typed(scenes: SceneBatch) -> SceneBatch:
    """The scenes written out as text and read again, as if a user had typed them."""
    names = DigitScenes(1).vocabulary
    return SceneBatch.from_data(
        [parse_scene(format_scene(data, names), names) for data in scenes.to_data_list()]
    )


def read(images: Tensor, boxes: Tensor, scenes: SceneBatch, mask: Tensor | None = None) -> float:
    """The share of boxes in which a reader that knows real training digits reads the right one."""
    from sklearn.neighbors import KNeighborsClassifier

    pixels, labels = digits("train")
    reader = KNeighborsClassifier(5).fit(pixels.flatten(1).numpy(), labels.numpy())
    guess = reader.predict(crops(images, boxes, scenes.batch).flatten(1).numpy())
    right = torch.from_numpy(guess) == scenes.x
    return float((right if mask is None else right[mask]).float().mean())


def rule_share(scenes: SceneBatch, is_new: Tensor) -> float:
    """The share of new triples whose digits differ by one (left of) or two (above)."""
    mine = is_new[scenes.edge_index].any(0)
    subject, object_ = scenes.x[scenes.edge_index[:, mine]]
    wanted = (subject + 1 + scenes.edge_attr[mine]) % 10
    return float((wanted == object_).float().mean())
