"""Steps that sharpen from epoch to epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphkit.catalog import no_method
from graphkit.train import Callback

if TYPE_CHECKING:
    from graphkit.compress.quantization_network import QuantizationNetwork
    from graphkit.train.run import Run

__all__ = ["TemperatureSchedule"]


@no_method("raises the temperature of QuantizationNetwork while a Trainer trains it")
class TemperatureSchedule(Callback):
    r"""Calls :meth:`QuantizationNetwork.anneal` before every epoch of a
    :class:`~graphkit.train.Trainer`, also of a resumed one.

    Args:
        network (QuantizationNetwork): The network that is trained.

    Example:
        >>> from torch import nn
        >>> from graphkit.compress import QuantizationNetwork, TemperatureSchedule
        >>> from graphkit.train import Trainer
        >>> net = QuantizationNetwork(nn.Sequential(nn.Linear(4, 2)), layers=["0"])
        >>> trainer = Trainer(epochs=5, monitor=None, callbacks=[TemperatureSchedule(net)])
    """

    def __init__(self, network: QuantizationNetwork) -> None:
        self.network = network

    def on_fit_start(self, run: Run) -> None:
        self.network.anneal(run.epoch)

    def on_epoch_end(self, run: Run) -> None:
        # The epoch that ended is counted: its number is the next one's index.
        self.network.anneal(run.epoch)
