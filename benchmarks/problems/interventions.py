"""The arms that experiments with DCCD compare, and what they gain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["ARMS", "summary"]

ARMS: dict[str, dict[str, Any]] = {
    "erm": {"interventions": 0, "weight": 0.0},
    "dann": {"interventions": 0},
    "dccd": {"weight": 0.0},
    "dccd_adv": {},
    "order1": {"order": 1},
}
"""Options of DCCD: plain training, domain-adversarial training, interventions without and with it,
and interventions on means alone."""


def summary(metrics: dict[str, float], arms: Sequence[str]) -> dict[str, float]:
    """What the arms gain over plain training; a plain accuracy below 0.001 counts as that."""
    plain = max(metrics["swapped_accuracy_erm"], 1e-3)
    gains = {f"ratio_{a}": metrics[f"swapped_accuracy_{a}"] / plain for a in arms if a != "erm"}
    gains["swapped_accuracy_ratio"] = gains["ratio_dccd_adv"]
    gains["map_gain"] = 100 * (metrics["swapped_map_dccd_adv"] - metrics["swapped_map_erm"])
    return gains
