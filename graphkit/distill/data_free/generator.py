"""Networks that turn noise into images."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import no_method

__all__ = ["ImageGenerator", "check_noise"]


@no_method("noise to images, an input of DFAD and other adversaries")
class ImageGenerator(nn.Module):
    r"""Noise to standardised images, small ones by upsampling, larger ones as in DCGAN.

    ``"upsample"``: a linear layer to :math:`2 D` maps of a quarter of the size, then twice
    "double the size, convolution, normalisation, LeakyReLU", a convolution and
    :math:`\tanh`. ``"dcgan"``: transposed convolutions with strides of 2 from
    :math:`4 \times 4` up, ReLU between them.

    The last layer is a batch normalisation without weights, so every batch has mean 0 and
    variance 1 in each channel: the scale of standardised images, and the teacher must have been
    trained on such. Without it (``standardised=False``) pixels lie in :math:`[-1, 1]`. Time and
    memory grow with :math:`D^2 H W`.

    Args:
        noise_channels (int): Width of the noise.
        channels (int, optional): Channels of an image. (default: :obj:`1`)
        size (int, optional): Height and width. (default: :obj:`28`)
        hidden_channels (int, optional): :math:`D`. (default: :obj:`64`)
        kind (str, optional): ``"upsample"`` or ``"dcgan"``. (default: ``"upsample"``)
        norm (str, optional): ``"batch"`` or ``"group"``. (default: ``"batch"``)
        standardised (bool, optional): Ends in the batch normalisation. (default: :obj:`True`)

    Shapes:
        - **input:** noise :math:`(B, Z)`
        - **output:** images :math:`(B, C, H, H)`

    Raises:
        ValueError: If a size does not fit, or the noise has the wrong width.

    Example:
        >>> import torch
        >>> from graphkit.distill import ImageGenerator
        >>> generator = ImageGenerator(16, size=8, hidden_channels=4)
        >>> generator(torch.randn(5, 16)).shape
        torch.Size([5, 1, 8, 8])
    """

    def __init__(
        self,
        noise_channels: int,
        channels: int = 1,
        size: int = 28,
        hidden_channels: int = 64,
        kind: str = "upsample",
        norm: str = "batch",
        standardised: bool = True,
    ) -> None:
        super().__init__()
        for name, value in (
            ("noise_channels", noise_channels),
            ("channels", channels),
            ("hidden_channels", hidden_channels),
        ):
            if value < 1:
                raise ValueError(f"'{name}' must be at least 1, got {value}")
        if norm not in ("batch", "group"):
            raise ValueError(f"'norm' must be 'batch' or 'group', got {norm!r}")
        self.noise_channels, self.size = noise_channels, size
        if kind == "upsample":
            layers = upsampling(noise_channels, channels, size, hidden_channels, norm)
        elif kind == "dcgan":
            layers = transposed(noise_channels, channels, size, hidden_channels, norm)
        else:
            raise ValueError(f"'kind' must be 'upsample' or 'dcgan', got {kind!r}")
        layers.append(nn.Tanh())
        if standardised:
            layers.append(nn.BatchNorm2d(channels, affine=False))
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Images of the noise.

        Args:
            z (torch.Tensor): Noise.
        """
        check_noise(z, self.noise_channels)
        linear, maps, *_ = self.layers
        # Pixel by pixel in memory, doubling and convolution take less than half of the time.
        hidden = maps(linear(z)).contiguous(memory_format=torch.channels_last)
        return self.layers[2:](hidden).contiguous()


def check_noise(z: Tensor, width: int) -> None:
    """Raises unless there is noise, of so many channels."""
    if z.dim() < 2 or z.size(-1) != width:
        raise ValueError(f"'z' must have shape [B, {width}], got {list(z.shape)}")
    if not z.numel():
        raise ValueError("'z' holds no sample; draw at least one")


def normalise(channels: int, norm: str) -> nn.Module:
    """Normalisation over the batch, or over groups of each sample's channels."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    # As many groups as divide the channels, at most 8: never one channel per group by accident.
    return nn.GroupNorm(next(g for g in (8, 4, 2, 1) if channels % g == 0), channels)


class DoublingConv2d(nn.Conv2d):
    """Every pixel four times, then a convolution of 3 x 3 with a margin of 1, in one step.

    A doubled map is the sparse one (each pixel once, zeros beside it) convolved with a square of
    2 x 2 ones. Both convolutions make one transposed convolution of 4 x 4: less than half of the
    products, and the doubled map is never stored.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The convolved map of twice the height and width.

        Args:
            x (torch.Tensor): Maps.
        """
        outside, inside = self.weight.shape[:2]
        kernels = self.weight.flip(-1, -2).reshape(-1, 1, 3, 3)
        square = kernels.new_ones(1, 1, 2, 2)
        stretched = F.conv2d(kernels, square, padding=1).view(outside, inside, 4, 4)
        return F.conv_transpose2d(x, stretched.transpose(0, 1), self.bias, stride=2, padding=1)


def upsampling(noise: int, channels: int, size: int, width: int, norm: str) -> list[nn.Module]:
    """Two doublings from a quarter of the size."""
    if size < 4 or size % 4:
        raise ValueError(f"'size' must be a multiple of 4, got {size}")
    side = size // 4
    # No activation between the linear layer and its normalisation, as in the released program.
    layers: list[nn.Module] = [
        nn.Linear(noise, 2 * width * side * side),
        nn.Unflatten(1, (2 * width, side, side)),
        normalise(2 * width, norm),
    ]
    for inside, outside in ((2 * width, 2 * width), (2 * width, width)):
        layers += [
            DoublingConv2d(inside, outside, 3, 1, 1),
            normalise(outside, norm),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    return [*layers, nn.Conv2d(width, channels, 3, 1, 1)]


def transposed(noise: int, channels: int, size: int, width: int, norm: str) -> list[nn.Module]:
    """Doublings from 4 x 4, with half the channels after each."""
    doublings = (size // 4).bit_length() - 1
    if size < 8 or size != 4 << doublings:
        raise ValueError(f"'size' must be 8, 16, 32, …, got {size}")
    widths = [width << (doublings - 1 - i) for i in range(doublings)]
    layers: list[nn.Module] = [
        nn.Linear(noise, widths[0] * 16, bias=False),
        nn.Unflatten(1, (widths[0], 4, 4)),
        normalise(widths[0], norm),
        nn.ReLU(inplace=True),
    ]
    for inside, outside in pairwise(widths):
        layers += [
            nn.ConvTranspose2d(inside, outside, 4, 2, 1, bias=False),
            normalise(outside, norm),
            nn.ReLU(inplace=True),
        ]
    return [*layers, nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1)]
