"""One module per golden file prefix, with ``check(arrays) -> {name: relative error}``."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def relative_error(found: Tensor, wanted: np.ndarray) -> float:
    """Largest difference, relative to the largest wanted magnitude; infinite if shapes differ."""
    values = found.detach().cpu().numpy()
    if values.shape != wanted.shape:
        return float("inf")
    if wanted.size == 0:
        return 0.0
    worst = float(np.abs(values - wanted).max()) / max(float(np.abs(wanted).max()), 1e-300)
    return worst if np.isfinite(worst) else float("inf")
