"""Evaluators with the interface of the Open Graph Benchmark."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from graphkit.ops.dtypes import is_half, widened

__all__ = ["Evaluator"]

TASKS = {
    "ogbn-arxiv": ("acc", 1),
    "ogbn-products": ("acc", 1),
    "ogbn-proteins": ("rocauc", 112),
    "Tox21": ("rocauc", 12),
    "PPI": ("f1", 121),
}
ACCEPTS = {
    "acc": "predicted classes",
    "rocauc": "scores, higher for label 1",
    "f1": "predicted labels, 0 or 1",
}


class Evaluator:
    r"""Judges predictions as the `"Open Graph Benchmark: Datasets for Machine Learning on Graphs"
    <https://arxiv.org/abs/2005.00687>`_ paper does, with ogb's interface and without ogb.

    .. math::
        \mathrm{acc} = \frac{1}{T} \sum_t \frac{1}{n_t} \sum_i [\hat{y}_{it} = y_{it}]

    Accuracy and ROC-AUC are averaged over the tasks, rows whose label is NaN are left out; tasks
    with one class only have no ROC-AUC. F1 is over all pairs of row and task.

    Args:
        name (str): Data set, such as :obj:`"ogbn-arxiv"` or :obj:`"PPI"`, or a metric:
            :obj:`"acc"`, :obj:`"rocauc"` or :obj:`"f1"`.
        num_tasks (int, optional): Number of tasks. (default: that of the data set, else
            :obj:`1`)

    Shapes:
        - **input:** ``{"y_true": …, "y_pred": …}``, both :math:`(n, T)`
        - **output:** ``{metric: float}``

    Raises:
        ValueError: If the name is unknown, a key is missing, a shape is wrong, a prediction is
            NaN, or no task can be judged.

    Example:
        >>> import torch
        >>> from graphkit.metrics import Evaluator
        >>> evaluator = Evaluator("ogbn-arxiv")
        >>> evaluator.eval({"y_true": torch.tensor([[3], [1]]), "y_pred": torch.tensor([[3], [2]])})
        {'acc': 0.5}
    """

    def __init__(self, name: str, num_tasks: int | None = None) -> None:
        known = TASKS | {metric: (metric, 1) for metric in ACCEPTS}
        if name not in known:
            raise ValueError(f"'name' must be one of {', '.join(known)}, got {name!r}")
        self.name = name
        self.eval_metric, default = known[name]
        self.num_tasks = default if num_tasks is None else num_tasks
        if self.num_tasks < 1:
            raise ValueError(f"'num_tasks' must be at least 1, got {num_tasks}")

    @property
    def expected_input_format(self) -> str:
        """What :meth:`eval` takes."""
        return (
            f"{{'y_true': y_true, 'y_pred': y_pred}}, arrays or tensors of shape "
            f"(n, {self.num_tasks}); y_pred holds {ACCEPTS[self.eval_metric]}"
        )

    @property
    def expected_output_format(self) -> str:
        """What :meth:`eval` gives."""
        return f"{{'{self.eval_metric}': float}}"

    def eval(self, input_dict: dict[str, Any]) -> dict[str, float]:
        r"""The metric of predictions.

        Args:
            input_dict (dict): Arrays or tensors :obj:`"y_true"` and :obj:`"y_pred"`.
        """
        y_true, y_pred = (self.matrix(input_dict, key) for key in ("y_true", "y_pred"))
        if y_true.shape != y_pred.shape:
            raise ValueError(f"'y_true' is {y_true.shape}, 'y_pred' is {y_pred.shape}")
        if not labelled(y_pred)[labelled(y_true)].all():
            raise ValueError("'y_pred' holds NaN where there is a label")
        score = {"acc": mean_accuracy, "rocauc": mean_rocauc, "f1": pooled_f1}[self.eval_metric]
        return {self.eval_metric: score(y_true, y_pred)}

    def matrix(self, input_dict: dict[str, Any], key: str) -> np.ndarray:
        """One of the inputs, as an array of the right shape."""
        if key not in input_dict:
            raise ValueError(f"'{key}' is missing; expected {self.expected_input_format}")
        value = input_dict[key]
        if isinstance(value, torch.Tensor) and is_half(value):
            value = widened(value)  # No array holds bfloat16.
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().numpy()
        value = np.asarray(value)
        if value.ndim != 2 or value.shape[1] != self.num_tasks or len(value) == 0:
            raise ValueError(f"'{key}' is {value.shape}; expected {self.expected_input_format}")
        return value


def labelled(y_true: np.ndarray) -> np.ndarray:
    """Where there is a label."""
    return ~np.isnan(y_true.astype(np.float64))


def mean_accuracy(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Accuracy per task over its labelled rows, averaged over the tasks that have any."""
    known = labelled(y_true)
    hits, rows = ((y_true == y_pred) & known).sum(axis=0), known.sum(axis=0)
    if not rows.any():
        raise ValueError("'y_true' holds no label")
    return float((hits[rows > 0] / rows[rows > 0]).mean())


def mean_rocauc(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """ROC-AUC per task, averaged over the tasks that have both classes."""
    from sklearn.metrics import roc_auc_score

    known = labelled(y_true)
    both = [t for t in range(y_true.shape[1]) if len(np.unique(y_true[known[:, t], t])) == 2]
    if not both:
        raise ValueError("no task of 'y_true' has both classes; ROC-AUC is not defined")
    scores = [roc_auc_score(y_true[known[:, t], t], y_pred[known[:, t], t]) for t in both]
    return float(np.mean(scores))


def pooled_f1(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """F1 over all labelled pairs of row and task."""
    from sklearn.metrics import f1_score

    known = labelled(y_true)
    return float(f1_score(y_true[known], y_pred[known], zero_division=0.0))
