"""STIGCN's released block in evaluation mode: both paths and their sum."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphkit.nn import STInceptionBlock
from tests.golden_checks import relative_error

STATISTICS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def block(arrays: dict[str, np.ndarray]) -> STInceptionBlock:
    """The block with the authors' parameters; what they keep per branch is one tensor here.

    Their four graphs are computed in float32.
    """
    skeleton = torch.from_numpy(arrays["A"]).float()
    given = {k[6:]: torch.from_numpy(v) for k, v in arrays.items() if k.startswith("param.")}

    def joined(*names: str) -> Tensor:
        parts = [given[name] for name in names]
        return torch.cat(parts).transpose(2, 3) if parts[0].dim() == 4 else torch.cat(parts)

    spatial = [f"spatial.branches.{k}" for k in range(4)]
    temporal = [f"temporal.branches.{k}" for k in range(2)]
    state = {
        "offset": torch.stack([given[f"spatial.PA{k}"] for k in range(1, 5)]),
        "gain": given["spatial.PCA"],
        "branches.weight": joined(*(f"{name}.conv.weight" for name in spatial)),
        "position.weight": joined(f"{temporal[0]}.conv.weight"),
        "motion.weight": joined(f"{temporal[1]}.conv.weight"),
    }
    for part in ("weight", "bias"):
        state[f"project.{part}"] = joined(f"spatial.CA.proj1.{part}", f"spatial.CA.proj2.{part}")
    norms = {"branch_norm": [f"{name}.bn" for name in spatial]}
    norms["frame_norm"] = [f"{name}.bn" for name in temporal]
    whole = {"merge_joints": "spatial.fusion", "merge_frames": "temporal.fusion"}
    if "shortcut.conv.weight" in given:
        whole["shortcut"] = "shortcut"
    for ours, theirs in whole.items():
        state[f"{ours}.conv.weight"] = joined(f"{theirs}.conv.weight")
        norms[f"{ours}.norm"] = [f"{theirs}.bn"]
    for ours, parts in norms.items():
        for name in STATISTICS[:-1]:
            state[f"{ours}.{name}"] = joined(*(f"{part}.{name}" for part in parts))
        state[f"{ours}.{STATISTICS[-1]}"] = given[f"{parts[0]}.{STATISTICS[-1]}"]
    out_channels, in_channels = state["branches.weight"].shape[:2]
    made = STInceptionBlock(in_channels, out_channels, skeleton, poly="released")
    made.double().load_state_dict({**state, "static": made.static.double()})
    return made.eval()


def check(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Errors of both paths and of the block."""
    made, x = block(arrays), torch.from_numpy(arrays["x"])
    joints = x.transpose(2, 3)
    with torch.no_grad():
        return {
            "spatial": relative_error(made.spatial(joints).transpose(2, 3), arrays["spatial"]),
            "temporal": relative_error(made.temporal(joints).transpose(2, 3), arrays["temporal"]),
            "out": relative_error(made(x), arrays["out"]),
        }
