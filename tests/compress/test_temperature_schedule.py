import pytest
import torch
from torch import nn

from graphkit.compress import QuantizationNetwork, TemperatureSchedule
from graphkit.train import Callback, TensorTask, Trainer


def test_every_epoch_has_its_temperature():
    net = QuantizationNetwork(nn.Sequential(nn.Linear(3, 2)), layers=["0"], temperature=4.0)
    net.max_temperature = 10.0
    seen = []

    class Watch(Callback):
        def on_backward_end(self, run):
            seen.append(net.quantizers()["0.weight"].temperature.item())

    x = torch.randn(8, 3)
    task = TensorTask((x, x.sum(1)), lambda m, x, y: (m(x)[:, 0] - y).square().mean())
    optimizer = torch.optim.Adam(net.groups(0.01))
    callbacks = [TemperatureSchedule(net), Watch()]
    Trainer(4, monitor=None, callbacks=callbacks, progress=False).fit(net, optimizer, task)
    assert seen == [4.0, 8.0, 10.0, 10.0]
    # Another fit begins where the first one did, not where it ended.
    Trainer(2, monitor=None, callbacks=callbacks, progress=False).fit(net, optimizer, task)
    assert seen[4:] == [4.0, 8.0]
    with pytest.raises(ValueError, match="'epoch' must not"):
        net.anneal(-1)
