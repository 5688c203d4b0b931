"""Actions from skeletons: one network per stream, and the fusion of their scores.

Every stream (joints, bones and their motions) trains a network of its own, from the same
recipe; the test part is looked at once, after the last epoch, so no epoch is chosen by it.
``fusion_accuracy`` weighs the streams as PYSKL does, 2 : 2 : 1 : 1, unless the recipe says
otherwise; ``fusion2_accuracy`` takes joints and bones alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.harness.errors import RecipeError
from benchmarks.harness.fitting import Fitter
from benchmarks.problems.skeletons import Schedule, SkeletonTask, View, read, scores
from graphkit.datasets import SkeletonDataset, SyntheticSkeletons
from graphkit.datasets import load as load_dataset
from graphkit.nn import CTRGCN, STGCN, STIGCN, SkeletonGraph, STGCNpp
from graphkit.train import accuracy, seed_everything
from graphkit.transforms import STREAMS, fuse_scores

MAIN = "fusion_accuracy"
NETWORKS: dict[str, Any] = {
    "STIGCN": STIGCN,
    "STGCN": STGCN,
    "STGCNpp": STGCNpp,
    "CTRGCN": CTRGCN,
}
TITLES = {"j": "joint", "b": "bone", "jm": "joint_motion", "bm": "bone_motion"}


def load(
    name: str,
    benchmark: str | None = None,
    held: dict[str, list[int]] | None = None,
    num_clips: int = 400,
    num_person: int = 1,
) -> tuple[SkeletonDataset, SkeletonDataset]:
    """The training and the test clips; the last two keys are those of ``SyntheticSkeletons``.

    With ``held``, such as ``{subject: [8, 9]}``, both are cut from the training clips: those with
    one of these values are tested on, and the true test clips are not looked at.
    """
    if name == "SyntheticSkeletons":
        dataset: Any = SyntheticSkeletons(num_clips, num_person=num_person)
    else:
        dataset = load_dataset(name)
    if not isinstance(dataset, SkeletonDataset):
        raise ValueError(f"this protocol runs on sets of skeletons, got {name!r}")
    learned, tested = dataset.splits(benchmark)
    return (learned, tested) if held is None else held_out(learned, held)


def held_out(
    clips: SkeletonDataset, held: dict[str, list[int]]
) -> tuple[SkeletonDataset, SkeletonDataset]:
    """Clips without, and with, one of the values of the one fact that ``held`` names."""
    if len(held) != 1 or not set(held) <= set(clips.info):
        raise RecipeError(
            f"section 'dataset': 'held' takes one of {sorted(clips.info)} and its values, "
            f"got {held}"
        )
    ((fact, values),) = held.items()
    mask = torch.isin(clips.info[fact][clips.chosen], torch.tensor(values))
    parts = clips[~mask], clips[mask]
    if not len(parts[0]) or not len(parts[1]):
        raise RecipeError(
            f"section 'dataset': 'held' leaves no clip to train or to test on, got {held}"
        )
    return parts


def build(settings: dict[str, Any], dataset: SkeletonDataset) -> nn.Module:
    """The network of a recipe for the clips of a data set."""
    rest = dict(settings)
    name = rest.pop("name", None)
    if name not in NETWORKS:
        raise ValueError(f"'network' must have a name among {sorted(NETWORKS)}, got {name!r}")
    graph = SkeletonGraph(dataset.layout, rest.pop("strategy", "spatial"))
    return NETWORKS[name](
        in_channels=dataset.num_channels,
        num_classes=dataset.num_classes,
        graph=graph,
        num_person=dataset.num_person,
        **rest,
    )


def run(
    dataset: dict[str, Any],
    network: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    view: dict[str, Any] | None = None,
    streams: tuple[str, ...] | list[str] = STREAMS,
    fusion: dict[str, float] | None = None,
    batch_size: int = 32,
    label_smoothing: float = 0.0,
    normalize: bool | str = True,
    schedule: dict[str, Any] | None = None,
) -> dict[str, float]:
    """One seed: all streams and their fusion.

    ``network`` is ``{name, …}`` with the model's own arguments, ``view`` those of
    :class:`~benchmarks.problems.skeletons.View`, ``schedule`` those of
    :class:`~benchmarks.problems.skeletons.Schedule` but for the steps.
    """
    parts = load(**dataset)
    look = View(**(view or {}))
    learned, held = (read(part, normalize) for part in parts)
    by_stream: dict[str, Tensor] = {}
    for stream in streams:
        task = SkeletonTask(
            learned.stream(stream, parts[0].layout), look, batch_size, label_smoothing
        )
        seed_everything(seed)
        model = build(network, parts[0])
        rates = Schedule(task.steps * fit.settings.epochs, **(schedule or {}))
        fit(model, task, [rates], tag=stream)
        by_stream[stream] = scores(model, held.stream(stream, parts[0].layout), look)
    return table(by_stream, held.y, fusion)


def table(
    by_stream: dict[str, Tensor], y: Tensor, weights: dict[str, float] | None
) -> dict[str, float]:
    """Accuracy of each stream and of their fusion."""
    metrics = {"fusion_accuracy": float(accuracy(fuse_scores(by_stream, weights), y))}
    if {"j", "b"} < set(by_stream):
        both = {stream: by_stream[stream] for stream in ("j", "b")}
        metrics["fusion2_accuracy"] = float(accuracy(fuse_scores(both), y))
    for stream, score in by_stream.items():
        metrics[f"{TITLES[stream]}_accuracy"] = float(accuracy(score, y))
    classes = torch.bincount(y)
    hits = torch.bincount(y[fuse_scores(by_stream, weights).argmax(1) == y], minlength=len(classes))
    metrics["worst_class_recall"] = float((hits / classes.clamp(min=1))[classes > 0].min())
    return metrics
