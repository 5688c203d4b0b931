"""Pictures of what a stream of tasks was learned like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def plot_matrices(matrices: Mapping[str, Tensor], score: str = "accuracy") -> Any:
    """One performance matrix per strategy: rows are moments, columns are tasks.

    Args:
        matrices (dict): Matrices ``[K, K]`` by strategy.
        score (str, optional): What the entries are. (default: :obj:`"accuracy"`)
    """
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(matrices), figsize=(2.6 * len(matrices), 2.8), squeeze=False, layout="constrained"
    )
    for axis, (name, matrix) in zip(axes[0], matrices.items(), strict=True):
        known = torch.where(torch.ones_like(matrix).tril().bool(), matrix, torch.nan)
        picture = axis.imshow(known.numpy(), vmin=0, vmax=1, cmap="viridis")
        for row, column in torch.ones_like(matrix).tril().nonzero().tolist():
            axis.text(column, row, f"{100 * matrix[row, column]:.0f}", ha="center", va="center")
        axis.set(title=name, xlabel="task", ylabel="after task")
        axis.set_xticks(range(len(matrix)), [str(k + 1) for k in range(len(matrix))])
        axis.set_yticks(range(len(matrix)), [str(k + 1) for k in range(len(matrix))])
    figure.colorbar(picture, ax=axes[0].tolist(), label=score)
    return figure


def plot_over_time(matrices: Mapping[str, Tensor], score: str = "accuracy") -> Any:
    """The score of every task from the moment it was learned, one panel per strategy.

    Args:
        matrices (dict): Matrices ``[K, K]`` by strategy.
        score (str, optional): What the entries are. (default: :obj:`"accuracy"`)
    """
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1,
        len(matrices),
        figsize=(2.6 * len(matrices), 2.6),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    for axis, (name, matrix) in zip(axes[0], matrices.items(), strict=True):
        for task in range(len(matrix)):
            moments = range(task + 1, len(matrix) + 1)
            axis.plot(moments, matrix[task:, task].tolist(), marker="o", label=f"task {task + 1}")
        axis.set(title=name, xlabel="after task", ylim=(0, 1.02))
    axes[0, 0].set_ylabel(score)
    axes[0, -1].legend(fontsize="small")
    return figure
