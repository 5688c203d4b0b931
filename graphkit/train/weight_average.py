"""A running average of a model's weights, for runs whose last step is a matter of luck."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from graphkit.ops.dtypes import is_half
from graphkit.train.callback import Callback
from graphkit.words import refuse_classes

if TYPE_CHECKING:
    from graphkit.train.run import Run

__all__ = ["WeightAverage"]


class WeightAverage(Callback):
    r"""Averages a model's weights over the last steps of a :class:`~graphkit.train.Trainer`.

    .. math::
        \bar\theta_t = d_t \, \bar\theta_{t-1} + (1 - d_t) \, \theta_t, \qquad
        d_t = \min\!\big(d, \tfrac{t}{t + 9}\big)

    Two players circle around where neither gains, and the last step is any point of the circle;
    the average lies inside. Nothing else in the run changes. The first steps, with weights that
    have learned little, are forgotten quickly, so short runs are averaged as well as long ones.

    :attr:`averaged` is a copy of the model with those weights, its buffers (such as statistics
    of batch normalisation) those of the last step, in the precision of the model. A step costs
    one pass over the weights.

    Args:
        model (torch.nn.Module): What is averaged: the model that is fitted or a part of it.
        decay (float, optional): :math:`d`; the average reaches :math:`1 / (1 - d)` steps back.
            (default: :obj:`0.999`)

    Raises:
        ValueError: If ``decay`` is not in :math:`[0, 1)`, a weight is not made yet, or weights
            are of half precision when training starts.

    Example:
        >>> import torch
        >>> from graphkit.train import TensorTask, Trainer, WeightAverage
        >>> x, model = torch.randn(8, 3), torch.nn.Linear(3, 1)
        >>> task = TensorTask((x, x[:, :1]), lambda m, x, y: (m(x) - y).square().mean(), 4)
        >>> average = WeightAverage(model)
        >>> trainer = Trainer(epochs=2, monitor=None, callbacks=[average], progress=False)
        >>> _ = trainer.fit(model, torch.optim.SGD(model.parameters(), lr=0.1), task)
        >>> average.averaged(x).shape
        torch.Size([8, 1])
    """

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        refuse_classes(model=model)
        if not 0 <= decay < 1:
            raise ValueError(f"'decay' must be at least 0 and below 1, got {decay}")
        lazy = [name for name, p in model.named_parameters() if nn.parameter.is_lazy(p)]
        if lazy:
            raise ValueError(f"'model' has no weights in '{lazy[0]}' yet; call it once before")
        self.model, self.decay = model, decay
        self.average = AveragedModel(model, multi_avg_fn=self.mix)
        self.average.requires_grad_(False)

    @property
    def averaged(self) -> nn.Module:
        """The model with averaged weights, in evaluation mode."""
        return self.average.module.eval()

    def mix(self, averaged: Any, current: Any, count: Tensor | int) -> None:
        """Moves the average towards the present weights."""
        steps = int(count)
        get_ema_multi_avg_fn(min(self.decay, steps / (steps + 9)))(averaged, current, count)

    def on_fit_start(self, run: Run) -> None:
        self.follow()

    def follow(self) -> None:
        """Takes the precision in which the model is trained."""
        pairs = zip(tensors(self.average.module), tensors(self.model), strict=True)
        for (name, mean), (_, now) in pairs:
            if is_half(now):
                raise ValueError(
                    f"'{name}' is of {now.dtype}, too coarse for an average with small steps; "
                    "train with precision='bf16-mixed' or '16-mixed'"
                )
            mean.data = mean.data.to(now.dtype)

    def on_step_end(self, run: Run) -> None:
        with torch.no_grad():
            self.average.update_parameters(self.model)

    def state_dict(self) -> dict[str, Any]:
        return self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.follow()
        self.average.load_state_dict(state)


def tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by their names."""
    return itertools.chain(model.named_parameters(), model.named_buffers())
