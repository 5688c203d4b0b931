"""Taskonomy's twenty encoders against its published ranking of sources for eighteen targets.

The truth is ``sort_gt.npy``: for every target the twenty sources from best to worst, the target
itself first. ``pK_…`` is P@K for the five truly best. The floors (``random``, ``popularity``)
and the ``oracle`` need nothing else. With ``attributions``, a folder below the data root, the
methods are judged, too: it holds ``TASK.maps.npy`` :math:`(N, …)` and ``TASK.features.npy``
:math:`(N, …)` for every task in :obj:`TASKS`, over the same probes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.datasets import DamagedDataError, MissingDataError, data_root
from graphkit.guard import reading
from graphkit.metrics import compare_rankings
from graphkit.transfer import ModelSpace
from graphkit.transfer.baselines import rsa

MAIN = "p5_popularity"
KS = (1, 2, 3, 4, 5, 19)
TASKS = (
    "autoencoder",
    "curvature",
    "denoise",
    "edge2d",
    "edge3d",
    "keypoint2d",
    "keypoint3d",
    "colorization",
    "reshade",
    "rgb2depth",
    "rgb2mist",
    "rgb2sfnorm",
    "room_layout",
    "segment25d",
    "segment2d",
    "vanishing_point",
    "segmentsemantic",
    "class_1000",
    "class_places",
    "inpainting_whole",
)
RANKING = "taskonomy/TransferbilityFromAttributionMaps_explain_result/sort_gt.npy"


def load(name: str = "taskonomy", attributions: str | None = None) -> Tensor:
    """What every source is worth for every target, 20 − rank; NaN for itself and non-targets."""
    if name != "taskonomy":
        raise ValueError(f"this protocol runs on 'taskonomy', got {name!r}")
    path = data_root() / RANKING
    if not path.is_file():
        raise MissingDataError(
            f"the published ranking is not at '{path}'; it is sort_gt.npy of "
            "https://github.com/zju-vipa/TransferbilityFromAttributionMaps"
        )
    with reading(path):
        order = np.load(path, allow_pickle=False)
    if order.shape != (18, 20) or not (np.sort(order, axis=1) == np.arange(20)).all():
        raise DamagedDataError(f"'{path}' must hold 18 orders of 20 sources, got {order.shape}")
    truth = torch.full((18, 20), torch.nan, dtype=torch.double)
    worth = torch.arange(20.0, 0.0, -1.0, dtype=torch.double).expand(18, 20)
    truth.scatter_(1, torch.from_numpy(order), worth)
    return truth.scatter_(1, torch.from_numpy(order[:, :1]), torch.nan)


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    weight: float = 0.25,
    centre: bool = True,
) -> dict[str, float]:
    """The table; ``seed`` draws the bootstrap."""
    truth = load(**dataset)
    targets = truth.isnan().float().argmax(1)
    folder = dataset.get("attributions")
    scores = {"oracle": truth}
    if folder is not None:
        scores |= methods(data_root() / folder, targets, weight, centre)
    metrics: dict[str, float] = {}
    for row in compare_rankings(scores, truth, ks=KS, seed=seed):
        metrics |= {f"rho_{row.name}": row.spearman, f"mrr_{row.name}": row.mrr}
        metrics |= {f"low_{row.name}": row.low, f"high_{row.name}": row.high}
        metrics |= {f"p{k}_{row.name}": value for k, value in row.precision.items()}
        metrics |= {f"r{k}_{row.name}": value for k, value in row.recall.items()}
    return metrics


def methods(folder: Path, targets: Tensor, weight: float, centre: bool) -> dict[str, Tensor]:
    """The scores of every method from a folder of maps and features."""
    paths = {
        task: [folder / f"{task}.{kind}.npy" for kind in ("maps", "features")] for task in TASKS
    }
    missing = [path.name for pair in paths.values() for path in pair if not path.is_file()]
    if missing:
        raise MissingDataError(f"'{folder}' lacks {', '.join(missing)}")
    space, features = ModelSpace(centre), []
    models = {}
    for task, (maps, feature) in paths.items():
        with reading(feature):
            features.append(torch.from_numpy(np.load(feature, allow_pickle=False)).flatten(1))
        with reading(maps):
            models[task] = (np.load(maps, mmap_mode="c", allow_pickle=False), features[-1])
    # What does not fit together is said of the folder: errors number the tasks.
    with reading(folder):
        space.extend(models)
        scores = {
            "depara": space.similarity(weight),
            "depara_ranks": space.similarity(how="ranks"),
            "node": space.node,
            "edge": space.edge,
            "rsa": torch.tensor([[rsa(a, b) for b in features] for a in features]),
        }
    return {name: score[targets].double() for name, score in scores.items()}
