"""Networks with weights of three levels: quantisation networks beside what they improve on.

A network is trained in full precision (``full``), then, from the same weights, quantised after
training alone (``posttraining``), with steps that sharpen while it is trained on
(``hard_accuracy``, the method), and as long with constant temperatures of 1 (``constant1``) and
200 (``constant200``). All are test accuracies of the hard functions; ``soft`` is that of the
method's soft ones at its last temperature. ``gain_*`` is the method less that.

``size_ratio`` is the stored size of the full network over that of the packed one, ``zeros`` the
share of weights at level 0. ``time_packed`` and ``time_edges`` are times of a call of the network
with packed weights, unpacked in every call or run as signed edges through ``graphkit.ops``, over
that of the full network, in turns in the same process; ``error_*`` is the largest difference of
their output from the quantised network's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.compression import Problem, learn, load, times
from graphkit.compress import (
    PackedLayer,
    QuantizationNetwork,
    TemperatureSchedule,
    stored_bytes,
)
from graphkit.train import seed_everything

__all__ = ["MAIN", "load", "run"]

MAIN = "hard_accuracy"


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    width: int = 8,
    levels: Sequence[float] = (-1, 0, 1),
    layers: Sequence[str] | None = None,
    epochs: int = 20,
    lr: float = 0.002,
    weight_decay: float = 0.0,
    temperature: float = 5.0,
    monitor: str | None = None,
    arms: Sequence[str] = ("constant1", "constant200"),
) -> dict[str, float]:
    """One seed; ``train`` is the training in full precision, ``epochs``, ``lr`` and
    ``weight_decay`` are those of quantised networks, ``layers`` the quantised ones; with
    ``monitor``, such as ``val_accuracy``, the best weights by their hard functions count.
    """
    problem = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    full = problem.network(width)
    fit(full, problem.task, tag="full")
    options: dict[str, Any] = {"levels": levels, "layers": layers}
    plain = QuantizationNetwork(full, **options)
    metrics = {"full": problem.judge(full), "posttraining": problem.judge(plain)}
    runs = {"hard_accuracy": (temperature, 2000.0)}
    # A constant temperature is one that begins at its highest.
    runs |= {arm: (float(arm.removeprefix("constant")),) * 2 for arm in arms}
    networks = {}
    for arm, (first, last) in runs.items():
        seed_everything(seed)
        net = QuantizationNetwork(full, temperature=first, max_temperature=last, **options)
        groups = net.groups(lr, weight_decay)
        schedule = TemperatureSchedule(net)
        learn(fit, net, problem.task, groups, epochs, [schedule], monitor)
        metrics[arm], networks[arm] = problem.judge(net), net
    for arm in ("full", "posttraining", *arms):
        metrics[f"gain_{arm}"] = metrics["hard_accuracy"] - metrics[arm]
    return metrics | sizes(problem, full, networks["hard_accuracy"])


@torch.no_grad()
def sizes(problem: Problem, full: nn.Module, net: QuantizationNetwork) -> dict[str, float]:
    """What the packed network takes, in bytes and in time, and whether it is the same."""
    forms: dict[str, nn.Module] = {"full": full.eval(), "packed": net.eval().pack()}
    linear = all(weight.dim() == 2 for weight in hard_weights(net))
    if linear:
        forms["edges"] = net.pack("edges")
    args = problem.parts["test"][0]
    args = args if len(args) > 1 else (args[0][:500],)
    seconds = times(forms, args)
    expected = net(*args)
    metrics = {
        f"time_{name}": seconds[name] / seconds["full"] for name in forms if name != "full"
    } | {
        f"error_{name}": float((form(*args) - expected).abs().max())
        for name, form in forms.items()
        if name != "full"
    }
    zero = torch.cat([(weight == 0).flatten() for weight in hard_weights(net)])
    packed = [m for m in forms["packed"].modules() if isinstance(m, PackedLayer)]
    return metrics | {
        "size_ratio": stored_bytes(full) / stored_bytes(forms["packed"]),
        "weights_ratio": sum(4 * m.shape.numel() for m in packed)
        / sum(stored_bytes(m) for m in packed),
        "zeros": float(zero.float().mean()),
    }


def hard_weights(net: QuantizationNetwork) -> list[torch.Tensor]:
    """The quantised weights."""
    plain = net.harden()
    return [getattr(plain.get_submodule(path), name).detach() for path, name in net.places]
