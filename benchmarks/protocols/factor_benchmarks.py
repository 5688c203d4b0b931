"""FactorGCN on ZINC (regression of graphs) and PATTERN (classification of nodes).

Both sets come with their own splits; the validation part chooses the epoch.  ZINC is judged
by the mean absolute error, PATTERN by the mean of the classes' accuracies; node types enter
one-hot.  The files are read from the folder of the data sets, in the format PyG downloads.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric import datasets as pyg
from torch_geometric.data import Data

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.factors import FactorTask
from benchmarks.rivals.nodes import build
from graphkit.datasets import DatasetCard
from graphkit.datasets import load as load_dataset
from graphkit.datasets.store.in_place import InPlace
from graphkit.datasets.store.published import tidy_zinc
from graphkit.guard import reading
from graphkit.tensor_files import read_tensors
from graphkit.train import seed_everything

MAIN = "test_score"
SPLITS = ("train", "val", "test")
ATOMS = 28


class ZINC(InPlace, pyg.ZINC):
    """The 12,000 molecules of :class:`torch_geometric.datasets.ZINC`, read in place."""

    also_read = ()

    def process(self) -> None:
        with self.tidied(tidy_zinc):
            super().process()


class Pattern(InPlace, pyg.GNNBenchmarkDataset):
    """PATTERN of :class:`torch_geometric.datasets.GNNBenchmarkDataset`, read in place."""

    also_read = ()

    def process(self) -> None:
        # PyG runs what the file says where it cannot be read without.
        read_tensors(self.raw_paths[0])
        super().process()


CARDS = {
    "ZINC": DatasetCard(
        name="ZINC",
        about="molecules with constrained solubility, 12,000 of them",
        loader=f"{__name__}:ZINC",
        folder="ZINC",
        files=tuple(f"raw/{s}.{end}" for s in SPLITS for end in ("pickle", "index")),
        arguments={"subset": True},
        options={"split": SPLITS},
        checked=False,
        source="unpack the archive named in torch_geometric.datasets.ZINC",
    ),
    "PATTERN": DatasetCard(
        name="PATTERN",
        about="block-model graphs with a pattern hidden in each",
        loader=f"{__name__}:Pattern",
        folder="PATTERN",
        files=("raw/PATTERN_v2.pt",),
        arguments={"name": "PATTERN"},
        options={"split": SPLITS},
        checked=False,
        source="unpack the archive named in torch_geometric.datasets.GNNBenchmarkDataset",
    ),
}


def load(name: str) -> list[list[Data]]:
    """Training, validation and test graphs of ``ZINC`` or ``PATTERN``."""
    if name not in CARDS:
        raise ValueError(f"this protocol runs on {sorted(CARDS)}, got {name!r}")
    sets = [load_dataset(CARDS[name], split=split) for split in SPLITS]
    parts = [list(graphs) for graphs in sets]
    if name == "ZINC":
        with reading(sets[0].raw_dir, f"atoms of {ATOMS} kinds"):
            for graph in (graph for part in parts for graph in part):
                graph.x = F.one_hot(graph.x.flatten(), ATOMS).float()
                graph.edge_attr = None
    return parts


def absolute_error(out: Tensor, y: Tensor) -> Tensor:
    """Mean absolute error of one number per graph."""
    return F.l1_loss(out.squeeze(-1), y)


def balanced_loss(out: Tensor, y: Tensor) -> Tensor:
    """Cross entropy in which every class has the same weight, however rare it is."""
    counts = torch.bincount(y, minlength=out.size(1)).to(out.dtype)
    return F.cross_entropy(out, y, (y.numel() - counts) / y.numel())


def balanced_accuracy(out: Tensor, y: Tensor) -> Tensor:
    """Mean over the classes of the share of their nodes that is found."""
    hits = (out.argmax(1) == y).to(out.dtype)
    counts = torch.bincount(y, minlength=out.size(1))
    right = torch.zeros(out.size(1), dtype=out.dtype).index_add(0, y, hits)
    return (right / counts.clamp(min=1))[counts > 0].mean()


def run(
    dataset: dict[str, Any],
    model: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    batch_size: int = 1000,
    penalty: float = 0.2,
) -> dict[str, float]:
    """One seed; ``test_score`` is ZINC's error or PATTERN's accuracy."""
    parts = load(**dataset)
    seed_everything(seed)
    if dataset["name"] == "ZINC":
        network = build(model, ATOMS, 1)
        rest: tuple[Any, ...] = (batch_size, absolute_error, absolute_error, "score")
    else:
        network = build(model, parts[0][0].num_features, 2)
        rest = (batch_size, balanced_loss, balanced_accuracy, "score")
    task: Any = FactorTask(penalty, *parts, *rest)
    return {"test_score": fit(network, task).metrics["test_score"]}
