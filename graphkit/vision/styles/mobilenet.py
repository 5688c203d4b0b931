"""The inner maps of a MobileNetV2: real features for losses that compare what images show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from graphkit.catalog import no_method

__all__ = ["MobileNetFeatures"]

# Expansion, channels, blocks, stride of the first block: table 2 of the paper.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class InvertedResidual(nn.Module):
    """Wider, a convolution per channel, narrower again, and a way around where sizes allow."""

    def __init__(self, inside: int, outside: int, stride: int, expansion: int) -> None:
        super().__init__()
        width, layers = expansion * inside, list[nn.Module]()
        if expansion > 1:
            layers += [nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU6()]
        layers += [
            nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False),
            *(nn.BatchNorm2d(width), nn.ReLU6()),
            *(nn.Conv2d(width, outside, 1, bias=False), nn.BatchNorm2d(outside)),
        ]
        self.conv, self.residual = nn.Sequential(*layers), stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


@no_method("an image network of others, for its features")
class MobileNetFeatures(nn.Module):
    """The maps of `MobileNetV2 <https://arxiv.org/abs/1801.04381>`_ behind some of its blocks.

    It is in evaluation mode always and has no gradients for its parameters: it judges, it does not
    learn. Time grows with the pixels of the images.

    Args:
        blocks (sequence of int, optional): Behind which blocks, 0 is the first convolution, 17
            the last block. (default: :obj:`(1, 3, 6)`: of 1/2, 1/4 and 1/8 of the size)
        state (dict, optional): Weights: those of torchvision's ``mobilenet_v2`` with any names,
            in its order. (default: random ones)

    Shapes:
        - **input:** images :math:`(B, 3, H, W)` in [0, 1]
        - **output:** a list of maps :math:`(B, C_l, H_l, W_l)`

    Raises:
        ValueError: If ``blocks`` or ``state`` do not fit.

    Example:
        >>> import torch
        >>> from graphkit.vision import MobileNetFeatures
        >>> [tuple(maps.shape[1:]) for maps in MobileNetFeatures()(torch.rand(1, 3, 32, 32))]
        [(16, 16, 16), (24, 8, 8), (32, 4, 4)]
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, blocks: Sequence[int] = (1, 3, 6), state: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        if not blocks or not 0 <= min(blocks) <= max(blocks) <= 17:
            raise ValueError(f"'blocks' must be numbers from 0 to 17, got {list(blocks)}")
        layers: list[nn.Module] = [
            nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6())
        ]
        inside = 32
        for expansion, outside, depth, stride in STAGES:
            for block in range(depth):
                step = stride if block == 0 else 1
                layers.append(InvertedResidual(inside, outside, step, expansion))
                inside = outside
        self.blocks, self.features = tuple(blocks), nn.ModuleList(layers[: max(blocks) + 1])
        if state is not None:
            self.take(state)
        for name, values in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def take(self, state: Mapping[str, Tensor]) -> None:
        """Takes weights by their order: names of torchvision's parts have changed, it has not."""
        given = [value for name, value in state.items() if name.startswith("features.")]
        own = self.features.state_dict()
        shapes = [value.shape for value in own.values()]
        if [value.shape for value in given[: len(shapes)]] != shapes:
            raise ValueError("'state' does not hold the features of a mobilenet_v2")
        self.features.load_state_dict(dict(zip(own, given, strict=False)))

    def train(self, mode: bool = True) -> MobileNetFeatures:
        """Stays in evaluation mode."""
        return super().train(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The maps behind the blocks."""
        if x.dim() != 4 or x.size(1) != 3:
            raise ValueError(f"'x' must be images [B, 3, H, W], got {list(x.shape)}")
        h, maps = (x - self.mean) / self.deviation, {}
        for number, layer in enumerate(self.features):
            h = layer(h)
            maps[number] = h
        return [maps[number] for number in self.blocks]
