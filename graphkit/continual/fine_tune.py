"""Plain training, task after task: the lower bound."""

from __future__ import annotations

from graphkit.catalog import method
from graphkit.continual.strategy import Strategy


@method(
    paper="arXiv:1606.09282",
    title="Learning without Forgetting",
    authors="Zhizhong Li, Derek Hoiem",
    venue="ECCV 2016",
    year=2016,
    code=None,
    licence="none",
    takes="any model",
    gives="nothing: the model forgets",
    deviations=["all parameters are trained, as in the paper's fine-tuning baseline"],
    verified_by="tests/continual/test_fine_tune.py",
    limits=[
        "where earlier tasks matter: it is the lower bound that forgets",
    ],
)
class FineTune(Strategy):
    r"""Plain training, the fine-tuning baseline of the `"Learning without Forgetting"
    <https://arxiv.org/abs/1606.09282>`_ paper: it shows how much is forgotten.

    .. math::
        \mathcal{L}' = \mathcal{L}_{k+1}

    A step costs what a step without a strategy costs.

    Args:
        model (torch.nn.Module): Any model.

    Shapes:
        - **output:** zero, a scalar

    Example:
        >>> import torch
        >>> from graphkit.continual import FineTune
        >>> FineTune(torch.nn.Linear(2, 2)).penalty()
        tensor(0.)
    """
