"""Images of several digits taken apart: does removing a part remove one category, and no other?

Three digits, each there with probability 0.6 in a cell of its own. Arms: ``ae``, the auto-encoder
alone; ``udor``, the reconstructed method without anchors; ``anchor``, the auto-encoder with
anchors; ``both``, UDOR with anchors. Parts are matched to categories by the removal matrix (by
the clusters where there are anchors). ``auc`` is that of a part's length for the presence of its
category, ``matched`` and ``other`` are means over the removal matrix, the latter of sizes,
``flatness`` the largest difference within a row of it.
"""

from __future__ import annotations

from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import roc_auc_score
from torch import Tensor

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.digit_scenes import load
from graphkit.train import seed_everything
from graphkit.vision import (
    UDOR,
    TensorTask,
    anchor_clusters,
    modularity,
    removal_matrix,
    udor_loss,
    visual_integrity,
)

MAIN = "matched_anchor"
NONE = {"fuzzy": 0.0, "consistency": 0.0, "adversary": 0.0, "anchor": 0.0}
ARMS: dict[str, dict[str, float]] = {
    "ae": NONE,
    "udor": {"anchor": 0.0},
    "anchor": {**NONE, "anchor": 1.0},
    "both": {},
}


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    arms: tuple[str, ...] = ("ae", "udor", "anchor", "both"),
    channels: int = 8,
) -> dict[str, float]:
    """One seed of all arms; ``channels`` are those of the networks' first layer."""
    data = load(**{**dataset, "seed": seed})
    x, masks = data["train"]
    test_x, test_masks = data["test"]
    clusters = anchor_clusters(x, data["kinds"], data["extent"], seed)
    known = clusters >= 0
    table = torch.zeros(data["kinds"], data["kinds"])
    truth = masks.flatten(2).any(2)[known].int().argmax(1)
    table.index_put_((clusters[known], truth), torch.ones(len(truth)), accumulate=True)
    rows, columns = linear_sum_assignment(-table.numpy())
    binding = torch.from_numpy(columns)
    purity = float(table[rows, columns].sum() / table.sum())
    metrics = {"anchored_share": float(known.float().mean()), "purity": purity}
    for arm in arms:
        seed_everything(seed)
        model = UDOR(1, x.size(2), data["kinds"], channels=channels)
        weights = {**ARMS[arm]}
        only = clusters if weights.get("anchor", 1.0) else torch.full_like(clusters, -1)
        task = TensorTask((x, only), lambda m, a, b, w=weights: udor_loss(m, a, b, **w))
        fit(model, task, tag=arm)
        anchored = binding if weights.get("anchor", 1.0) else None
        qualities = judged(model.eval(), test_x, test_masks, anchored)
        metrics |= {f"{key}_{arm}": value for key, value in qualities.items()}
    return metrics


@torch.no_grad()
def judged(model: UDOR, x: Tensor, masks: Tensor, binding: Tensor | None) -> dict[str, float]:
    """All metrics of a model; ``binding`` is the category of each part where that is known."""
    removal = removal_matrix(model, x, masks)
    flatness = float((removal.amax(1) - removal.amin(1)).amax())
    if binding is None:
        # Parts have no names: each gets the category whose removal changes it most, all at once.
        binding = torch.from_numpy(linear_sum_assignment(-removal.numpy())[1])
    codes = model.encode(x)
    here, length = masks.flatten(2).any(2), codes.norm(dim=2)
    kinds = range(model.num_parts)
    aucs = [roc_auc_score(here[:, int(binding[k])], length[:, k]) for k in kinds]
    mine = torch.zeros_like(removal, dtype=torch.bool)
    mine[torch.arange(len(binding)), binding] = True
    gone, edits = [], []
    for k in kinds:
        remaining = codes.clone()
        remaining[:, k] = 0
        edits.append(model.decode(remaining))
        rest = masks.clone()
        rest[:, binding[k]] = False
        gone.append(rest.any(1, keepdim=True))
    # Digits of one category are replaced: a modular code changes in that part alone.
    swapped = torch.stack([swap(x, masks, int(binding[k])) for k in kinds])
    moved = torch.stack([model.encode(torch.stack([x, new], 1).flatten(0, 1)) for new in swapped])
    groups = moved.unflatten(1, (len(x), 2)).flatten(0, 1)
    part = torch.arange(model.num_parts).repeat_interleave(len(x))
    scale = codes.abs().mean().clamp(min=1e-6)
    return {
        "auc": float(sum(aucs) / len(aucs)),
        "matched": float(removal[mine].mean()),
        "other": float(removal[~mine].abs().mean()),
        "flatness": flatness,
        "modularity": float(modularity(groups, part) / scale),
        "integrity": float(
            visual_integrity(x.repeat(len(edits), 1, 1, 1), torch.cat(edits), torch.cat(gone))
        ),
        "error": float((model.decode(codes) - x).square().mean()),
    }


def swap(x: Tensor, masks: Tensor, kind: int) -> Tensor:
    """The images with the digits of one category drawn from other images, in their places."""
    here = masks[:, kind].flatten(1).any(1).nonzero().squeeze(1)
    giver = here.roll(1)
    side = x.size(2) // 2
    mask = masks[:, kind]
    out = x.clone()
    digit = x[giver, 0][mask[giver]].view(-1, side, side)
    place = out[here, 0]
    place[mask[here]] = digit.flatten()
    out[here, 0] = place
    return out
