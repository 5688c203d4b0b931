"""An epoch of scene-graph enrichment on 60,000 graphs of Visual Genome's size distribution."""

from __future__ import annotations

import time
from typing import Any

import torch

from graphkit.datasets import SceneBatch
from graphkit.nn import (
    EnrichmentTask,
    GlobalGraphDiscriminator,
    LocalTripleDiscriminator,
    SceneAdversary,
    SceneGraphEnricher,
)
from graphkit.train import Callback, Trainer

NUM_OBJECTS, NUM_PREDICATES = 178, 45
MEAN_OBJECTS, MEAN_TRIPLES = 10.0, 5.0


def generated_scenes(num_graphs: int, seed: int = 0) -> SceneBatch:
    """Graphs with as many objects and triples as the preprocessed Visual Genome has.

    Numbers are geometric with the published means of ten objects and five triples, within the
    published limits of 3 to 30 objects and 1 to 30 triples; categories and predicates follow
    Zipf's law, triples join random objects.
    """
    generator = torch.Generator().manual_seed(seed)
    objects = shifted_geometric(num_graphs, MEAN_OBJECTS, 3, generator)
    triples = shifted_geometric(num_graphs, MEAN_TRIPLES, 1, generator)
    batch = torch.arange(num_graphs).repeat_interleave(objects)
    owner = torch.arange(num_graphs).repeat_interleave(triples)
    first = (objects.cumsum(0) - objects)[owner]
    place = torch.rand(2, owner.numel(), generator=generator) * objects[owner]
    return SceneBatch(
        zipf(NUM_OBJECTS, batch.numel(), generator),
        first + place.long(),
        zipf(NUM_PREDICATES, owner.numel(), generator),
        batch,
        num_graphs,
    )


def shifted_geometric(
    count: int, mean: float, least: int, generator: torch.Generator
) -> torch.Tensor:
    """Numbers from ``least`` to 30 whose mean is about ``mean`` after cutting."""
    share = 1 / (mean - least + 1)
    uniform = torch.rand(count, generator=generator)
    drawn = least + (uniform.log() / torch.tensor(1 - share).log()).floor().long()
    return drawn.clamp(max=30)


def zipf(kinds: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """Kinds whose frequency falls as the inverse of their rank."""
    weight = 1 / torch.arange(1, kinds + 1).float()
    return torch.multinomial(weight, count, replacement=True, generator=generator)


def epoch_seconds(scenes: SceneBatch, adversary: bool, batch_size: int = 256) -> float:
    """One epoch with everything that :class:`~graphkit.train.Trainer` does but validation."""
    torch.manual_seed(0)
    sizes = NUM_OBJECTS, NUM_PREDICATES
    model = SceneGraphEnricher(
        *sizes, hidden_channels=64, triple_channels=64, num_layers=3, residual=True
    )
    callbacks: list[Callback] = []
    if adversary:
        judges = LocalTripleDiscriminator(*sizes, 48), GlobalGraphDiscriminator(*sizes, 48)
        callbacks.append(SceneAdversary(*judges))
    few = scenes.select(torch.arange(32))
    task = EnrichmentTask(scenes, few, batch_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    started = time.perf_counter()
    Trainer(1, monitor=None, seed=0, callbacks=callbacks, progress=False).fit(
        model, optimizer, task
    )
    return time.perf_counter() - started


def rows(quick: bool = False) -> list[dict[str, Any]]:
    """Seconds of an epoch, without and with both discriminators, after a short warm-up."""
    scenes = generated_scenes(2_000 if quick else 60_000)
    epoch_seconds(scenes.select(torch.arange(512)), True)
    mean = scenes.num_nodes / scenes.num_graphs, scenes.edge_attr.numel() / scenes.num_graphs
    size = f"{scenes.num_graphs:,} graphs, {mean[0]:.1f} objects and {mean[1]:.1f} triples each"
    return [
        {
            "name": "enrichment-epoch",
            "what": "with both discriminators" if adversary else "without discriminators",
            "size": size,
            "threads": torch.get_num_threads(),
            "seconds": epoch_seconds(scenes, adversary),
        }
        for adversary in (False, True)
    ]


if __name__ == "__main__":
    for row in rows():
        print(f"{row['what']}: {row['seconds']:.1f} s, {row['threads']} threads ({row['size']})")
