"""A small network for photographs, ready for ImageNet's weights."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from graphkit.catalog import method

__all__ = ["MobileNetFeatures"]

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks and first stride, as in the paper's table 2."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Block(nn.Module):
    """An inverted residual: wide, by channel, and narrow again without an activation."""

    def __init__(self, inside: int, outside: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inside * expansion
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += convolution(inside, width, 1)
        layers += convolution(width, width, 3, stride, width)
        self.conv = nn.Sequential(*layers, *convolution(width, outside, 1)[:2])
        self.residual = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the next block."""
        return x + self.conv(x) if self.residual else self.conv(x)


def convolution(
    inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution, its normalisation and its activation."""
    conv = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outside), nn.ReLU6()]


@method(
    paper="arXiv:1801.04381",
    title="MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    authors="Mark Sandler, Andrew Howard, Menglong Zhu, Andrey Zhmoginov, Liang-Chieh Chen",
    venue="CVPR 2018",
    year=2018,
    code="https://github.com/pytorch/vision",
    licence="BSD-3-Clause",
    takes="images in [0, 1]",
    gives="1,280 features of each",
    deviations=[
        "without the classifier",
        "images are standardised inside, by ImageNet's means and deviations",
    ],
    verified_by="tests/vision/test_mobile_net.py",
)
class MobileNetFeatures(nn.Module):
    r"""The features of the `"MobileNetV2: Inverted Residuals and Linear Bottlenecks"
    <https://arxiv.org/abs/1801.04381>`_ paper, to begin re-identification of photographs from, or
    to measure how images differ.

    .. math::
        x \leftarrow x + P\, \sigma(D\, \sigma(E x)), \qquad \sigma(z) = \min(\max(z, 0), 6)

    with :math:`E` to six times as many channels, :math:`D` one 3 x 3 filter for each, and :math:`P`
    back. 2.2 million parameters; a pass of a 128 x 64 image takes about 50 million products.
    ``features`` is a sequence of 19 blocks, whose maps :func:`graphkit.taps.tap` gives.

    Args:
        weights (dict, optional): Tensors by name, in torchvision's layout or the flat one, such as
            :func:`graphkit.datasets.mobilenet_weights` gives; a classifier's are left out.
            (default: drawn at random)
        pool (bool, optional): Averages over places; else maps. (default: :obj:`True`)

    Shapes:
        - **input:** :math:`(B, 3, H, W)` in [0, 1]
        - **output:** :math:`(B, 1280)`, or :math:`(B, 1280, H / 32, W / 32)` rounded up

    Raises:
        ValueError: If images have another number of channels, or weights do not fit.

    Example:
        >>> import torch
        >>> from graphkit.vision import MobileNetFeatures
        >>> MobileNetFeatures().eval()(torch.rand(2, 3, 64, 32)).shape
        torch.Size([2, 1280])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Mapping[str, Tensor] | None = None, pool: bool = True) -> None:
        super().__init__()
        blocks: list[nn.Module] = [nn.Sequential(*convolution(3, 32, 3, 2))]
        inside = 32
        for expansion, outside, count, stride in STAGES:
            for number in range(count):
                blocks.append(Block(inside, outside, stride if number == 0 else 1, expansion))
                inside = outside
        self.features = nn.Sequential(*blocks, nn.Sequential(*convolution(inside, 1280, 1)))
        self.pool = pool
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)
        if weights is not None:
            self.load(weights)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Takes weights by the names of either layout.

        Args:
            weights (dict): Tensors by name.
        """
        state = {name: t for name, t in weights.items() if name.startswith("features.")}
        if any(".conv.0.0." in name for name in state):
            state = {flat(name): t for name, t in state.items()}
        try:
            self.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"'weights' do not fit MobileNetV2: {error}") from error

    def forward(self, x: Tensor) -> Tensor:
        """Features of images."""
        if x.dim() != 4 or x.size(1) != 3:
            raise ValueError(f"'x' must be images [B, 3, H, W] in [0, 1], got {list(x.shape)}")
        maps = self.features((x - self.mean) / self.std)
        return maps.mean((2, 3)) if self.pool else maps


def flat(name: str) -> str:
    """A name of torchvision's layout without the nest around a convolution and its norm."""
    match = re.fullmatch(r"features\.(\d+)\.conv\.(\d+)\.(?:(\d)\.)?(\w+)", name)
    if match is None:
        return name
    block, layer, inner, what = match.groups()
    # What has an activation is in a nest; the last convolution and its norm have none.
    nests = 1 if block == "1" else 2
    place = 2 * nests + int(layer) if inner is None else 3 * int(layer) + int(inner)
    return f"features.{block}.conv.{place}.{what}"
