"""A light network for the content, a heavy one for the style."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import method
from graphkit.precision import wide
from graphkit.vision.styles.dynamic_conv import instance_normalize
from graphkit.vision.styles.dynamic_instance_norm import CARD, DynamicInstanceNorm, StyleKernel
from graphkit.words import refuse_class

__all__ = ["DINStyleTransfer", "StyleEncoder", "content_loss", "style_loss"]


@method(verified_by="tests/vision/styles/test_style_transfer.py", **CARD)
class StyleEncoder(nn.Sequential):
    r"""The network for style images of the `"Dynamic Instance Normalization for Arbitrary Style
    Transfer" <https://arxiv.org/abs/1911.06953>`_ paper: VGG-19 up to ``relu4_1``.

    .. math::
        F_s = \sigma(\mathrm{conv}_9(\dots \mathrm{pool}(\sigma(\mathrm{conv}_1(s)))))

    Its weights are random; those of torchvision's ``vgg19().features[:21]`` fit as they are.

    Args:
        in_channels (int, optional): Of the images. (default: :obj:`3`)
        widths (sequence of int, optional): Of the four stages.
            (default: :obj:`(64, 128, 256, 512)`)

    Shapes:
        - **input:** :math:`(B, C, H, W)`, sides of at least 8
        - **output:** :math:`(B, 512, H/8, W/8)`

    Example:
        >>> import torch
        >>> from graphkit.vision import StyleEncoder
        >>> StyleEncoder(widths=(4, 8, 8, 16))(torch.rand(1, 3, 32, 32)).shape
        torch.Size([1, 16, 4, 4])
    """

    def __init__(self, in_channels: int = 3, widths: Sequence[int] = (64, 128, 256, 512)) -> None:
        if len(widths) != 4 or min(in_channels, *widths) < 1:
            raise ValueError(f"'widths' must be four numbers of at least 1, got {widths}")
        layers: list[nn.Module] = []
        for stage, (width, depth) in enumerate(zip(widths, (2, 2, 4, 1), strict=True)):
            layers += [nn.MaxPool2d(2)] if stage else []
            for _ in range(depth):
                layers += [nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU()]
                in_channels = width
        super().__init__(*layers)
        self.out_channels = in_channels


def separable(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    """MobileNet's block: a convolution per channel, then one across channels."""
    return nn.Sequential(
        nn.ReflectionPad2d(1),
        nn.Conv2d(inside, inside, 3, stride, groups=inside),
        nn.ReLU(),
        nn.Conv2d(inside, outside, 1),
    )


@method(verified_by="tests/vision/styles/test_style_transfer.py", **CARD)
class DINStyleTransfer(nn.Module):
    r"""Style transfer with the layers of the `"Dynamic Instance Normalization for Arbitrary Style
    Transfer" <https://arxiv.org/abs/1911.06953>`_ paper: the image passes through a light network
    of separable convolutions, the style through a heavy one, off its path.

    .. math::
        y = D(\mathrm{DIN}(E(c); F_s)), \qquad F_s = E_s(s)

    There is a :class:`DynamicInstanceNorm` behind the encoder and behind each step of the
    decoder. :meth:`kernels` is all that a style leaves: kept, it serves every frame of a video.
    Time grows with the pixels of the image.

    Args:
        style_encoder (torch.nn.Module): From style images to maps, such as :class:`StyleEncoder`.
        style_channels (int): Of these maps.
        in_channels (int, optional): Of the images. (default: :obj:`3`)
        widths (sequence of int, optional): Of the content network, from the full size down by
            two at each step. (default: :obj:`(32, 64, 128)`)
        kernel_size (int, optional): Of the dynamic layers of the decoder; the innermost has 1.
            (default: :obj:`3`)
        mode (str, optional): As in :class:`DynamicInstanceNorm`. (default: ``"depthwise"``)

    Shapes:
        - **input:** images :math:`(B, C, H, W)`, style images :math:`(B \text{ or } 1, C, h, w)`
          or kernels
        - **output:** images :math:`(B, C, H, W)`

    Raises:
        ValueError: If sides of the image are not multiples of what it is scaled down by, or
            options do not fit.

    Example:
        >>> import torch
        >>> from graphkit.vision import DINStyleTransfer, StyleEncoder
        >>> encoder = StyleEncoder(widths=(4, 8, 8, 16))
        >>> model = DINStyleTransfer(encoder, encoder.out_channels, widths=(8, 16))
        >>> kernels = model.kernels(torch.rand(1, 3, 16, 16))
        >>> model(torch.rand(2, 3, 24, 24), kernels).shape
        torch.Size([2, 3, 24, 24])
    """

    def __init__(
        self,
        style_encoder: nn.Module,
        style_channels: int,
        in_channels: int = 3,
        widths: Sequence[int] = (32, 64, 128),
        kernel_size: int = 3,
        mode: Literal["depthwise", "full", "deformable"] = "depthwise",
    ) -> None:
        super().__init__()
        refuse_class("style_encoder", style_encoder)
        if len(widths) < 1:
            raise ValueError("'widths' must have an entry")
        self.style_encoder, self.scale = style_encoder, 2 ** (len(widths) - 1)
        self.stem = nn.Conv2d(in_channels, widths[0], 3, padding=1, padding_mode="reflect")
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList([separable(a, b, 2) for a, b in pairs])
        self.up = nn.ModuleList([separable(b, a) for a, b in reversed(pairs)])
        sizes = [(widths[-1], 1), *((a, kernel_size) for a, _ in reversed(pairs))]
        self.norms = nn.ModuleList(
            [DynamicInstanceNorm(c, style_channels, k, mode) for c, k in sizes]
        )
        self.out = nn.Conv2d(widths[0], in_channels, 3, padding=1, padding_mode="reflect")

    def kernels(self, style: Tensor) -> list[StyleKernel]:
        """What style images leave, for each dynamic layer."""
        features = self.style_encoder(style)
        norms = (norm for norm in self.norms if isinstance(norm, DynamicInstanceNorm))
        return [norm.kernel(features) for norm in norms]

    def forward(self, x: Tensor, style: Tensor | Sequence[StyleKernel]) -> Tensor:
        """The images in the style."""
        if x.dim() != 4 or x.size(2) % self.scale or x.size(3) % self.scale:
            raise ValueError(
                f"'x' must be [B, C, H, W] with sides that are multiples of {self.scale}, got "
                f"{list(x.shape)}"
            )
        made = self.kernels(style) if isinstance(style, Tensor) else style
        if len(made) != len(self.norms):
            raise ValueError(f"'style' has {len(made)} kernels for {len(self.norms)} layers")
        h = self.stem(x)
        for block in self.down:
            h = block(h.relu())
        h = self.norms[0](h, made[0])
        for block, norm, kernel in zip(self.up, self.norms[1:], made[1:], strict=True):
            h = F.interpolate(h.relu(), scale_factor=2, mode="nearest")
            h = norm(block(h), kernel)
        return self.out(h.relu())


def style_loss(made: Sequence[Tensor], style: Sequence[Tensor]) -> Tensor:
    r"""Squared distances of means and deviations of features.

    .. math::
        \sum_l \lVert \mu_l(y) - \mu_l(s) \rVert^2 / C_l
        + \lVert \sigma_l(y) - \sigma_l(s) \rVert^2 / C_l

    Args:
        made (sequence of torch.Tensor): Features of stylised images, of several layers.
        style (sequence of torch.Tensor): Those of the style images.

    Shapes:
        - **input:** maps :math:`(B, C_l, *)` per layer; sizes of maps may differ
        - **output:** :math:`()`

    Example:
        >>> import torch
        >>> from graphkit.vision import style_loss
        >>> style_loss([torch.zeros(1, 2, 3, 3)], [torch.ones(1, 2, 5, 5)]).round()
        tensor(1.)
    """
    if len(made) != len(style) or not made:
        raise ValueError(f"'made' has {len(made)} layers, 'style' {len(style)}")
    loss = wide(made[0]).new_zeros(())
    for ours, theirs in zip(made, style, strict=True):
        moments = []
        for maps in (ours, theirs):
            variance, mean = torch.var_mean(wide(maps), dim=(2, 3), correction=0)
            # The square root has no slope at a map that is the same everywhere.
            moments.append((mean, (variance + 1e-5).sqrt()))
        loss = loss + sum((a - b).square().mean() for a, b in zip(*moments, strict=True))
    return loss


def content_loss(made: Tensor, content: Tensor) -> Tensor:
    """Mean squared distance of normalised features: what is shown, whatever its colours.

    Args:
        made (torch.Tensor): Features of stylised images.
        content (torch.Tensor): Those of the images.

    Shapes:
        - **input:** :math:`(B, C, H, W)`, twice
        - **output:** :math:`()`

    Example:
        >>> import torch
        >>> from graphkit.vision import content_loss
        >>> x = torch.rand(1, 2, 4, 4)
        >>> content_loss(3 * x + 1, x) < 1e-4
        tensor(True)
    """
    if made.shape != content.shape:
        raise ValueError(f"'made' is {list(made.shape)}, 'content' {list(content.shape)}")
    return F.mse_loss(instance_normalize(made), instance_normalize(content))
