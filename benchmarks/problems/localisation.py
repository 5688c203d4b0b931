"""Videos to localise actions in, and networks that are shown where they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.problems.action_frames import Clips, clips, in_context
from graphkit.vision import AherLoss, AherNet

__all__ = ["FRAMES", "MOMENT", "classifiers", "slow_down", "supervise", "untrimmed"]

FRAMES, MOMENT = 128, 64


def untrimmed(
    name: str,
    split: str,
    count: int,
    actions: Sequence[int],
    *,
    generator: torch.Generator,
    fps: float = 4.0,
    noise: float = 0.15,
    context: float = 0.0,
) -> Clips:
    """Videos of some actions, in background of their own where ``context`` is over 0."""
    if not context:
        return clips(name, split, count, FRAMES, fps, noise, generator, actions)
    # Noise comes last: mixed with an action it would be weaker there, and tell where background is.
    videos = clips(name, split, count, FRAMES, fps, 0.0, generator, actions)
    return in_context(split, videos, actions, context, noise, generator)


def slow_down(optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Rates fall to a tenth, for the last quarter of the steps."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] *= 0.1


def supervise(
    model: AherNet,
    loss: AherLoss,
    seen: Clips,
    steps: int,
    batch_size: int,
    lr: float,
    generator: torch.Generator,
) -> None:
    """The oracle: target classes with their segments."""
    optimizer = torch.optim.Adam(model.parameters(), lr)
    # Two localising steps per round, as the other arms have.
    for number in range(2 * steps):
        if number == 3 * steps // 2:
            slow_down([optimizer])
        rows = torch.randint(len(seen.x), (batch_size,), generator=generator)
        optimizer.zero_grad()
        loss(model(seen.x[rows]), [seen.truth[row] for row in rows.tolist()]).backward()
        optimizer.step()


def classifiers(model: AherNet, x: Tensor, kind: Tensor, classes: int) -> Tensor:
    """Weights that classify moments at each level of a network that stays, biases last."""
    with torch.no_grad():
        features = [h.mean(2) for h in model.pyramid(x)]
    rows = []
    for feature in features:
        layer = torch.nn.Linear(feature.size(1), classes)
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.03, weight_decay=1e-4)
        for _ in range(150):
            optimizer.zero_grad()
            F.cross_entropy(layer(feature), kind).backward()
            optimizer.step()
        rows.append(torch.cat([layer.weight, layer.bias.unsqueeze(1)], 1).detach())
    return torch.stack(rows)
