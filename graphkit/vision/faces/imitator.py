"""A network that draws as an engine does, so that gradients come back through it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.ops.dtypes import is_half
from graphkit.refusals import refuse_infinite

__all__ = ["Imitator"]


@no_method("the renderer of the bone-driven face model")
class Imitator(nn.Module):
    r"""From parameters to images, learned from an engine's pairs of both.

    .. math::
        \mathcal{L} = \overline{|G(p) - \mathrm{engine}(p)|}

    A game's engine gives no gradient; its imitation does, and then stays as it is while a
    :class:`~graphkit.vision.FaceRegressor` learns through it. Transposed convolutions with batch
    norms, each doubling the image from 4 by 4; time grows with pixels times the square of
    :obj:`channels`.

    Args:
        num_parameters (int): Numbers that tell a face.
        size (int, optional): Side of the images: 8, 16, 32, … (default: :obj:`32`)
        channels (int, optional): Maps of the last hidden layer; each one before it has twice
            as many, up to eight times. (default: :obj:`16`)
        image_channels (int, optional): Maps of the images. (default: :obj:`1`)

    Shapes:
        - **input:** :math:`(N, P)`
        - **output:** :math:`(N, C, H, H)`, in [0, 1]

    Raises:
        ValueError: If an option or the shape of the input is wrong, or a parameter not finite.

    Example:
        >>> import torch
        >>> from graphkit.vision import FaceBones, Imitator
        >>> face = FaceBones.standard()
        >>> imitator = Imitator(face.num_parameters, size=32, channels=4)
        >>> p = face.draw(3, torch.Generator().manual_seed(0))
        >>> imitator.loss(p, face.render(p).detach()).shape
        torch.Size([])
    """

    def __init__(
        self, num_parameters: int, size: int = 32, channels: int = 16, image_channels: int = 1
    ) -> None:
        super().__init__()
        levels = size.bit_length() - 3
        if size < 8 or size != 4 << levels:
            raise ValueError(f"'size' must be 8 or a larger power of two, got {size}")
        if min(num_parameters, channels, image_channels) < 1:
            raise ValueError(
                "'num_parameters', 'channels' and 'image_channels' must be positive, got "
                f"{num_parameters}, {channels} and {image_channels}"
            )
        self.num_parameters = num_parameters
        widths = [channels * min(2**level, 8) for level in reversed(range(levels))]
        first = widths[0]
        layers: list[nn.Module] = [
            nn.Linear(num_parameters, first * 16),
            nn.Unflatten(1, (first, 4, 4)),
            nn.ReLU(),
        ]
        for wide, narrow in zip(widths, [*widths[1:], channels], strict=True):
            layers += [
                nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False),
                nn.BatchNorm2d(narrow),
                nn.ReLU(),
            ]
        layers.append(nn.Conv2d(channels, image_channels, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, parameters: Tensor) -> Tensor:
        """The images.

        Args:
            parameters (torch.Tensor): What tells the faces.
        """
        if parameters.dim() != 2 or parameters.size(1) != self.num_parameters:
            raise ValueError(
                f"'parameters' must be [N, {self.num_parameters}], got {list(parameters.shape)}"
            )
        if is_half(parameters):
            refuse_infinite("parameters", parameters)
        elif not torch.compiler.is_compiling() and not parameters.sum().isfinite():
            raise ValueError("'parameters' holds NaN or infinite values")
        return self.layers(parameters).sigmoid()

    def loss(self, parameters: Tensor, image: Tensor) -> Tensor:
        """Mean absolute difference from the engine's images.

        Args:
            parameters (torch.Tensor): What the engine was told, ``[N, P]``.
            image (torch.Tensor): What it drew, ``[N, C, H, H]``.
        """
        drawn = self(parameters)
        if drawn.shape != image.shape:
            raise ValueError(f"'image' must be {list(drawn.shape)}, got {list(image.shape)}")
        return (drawn - image).abs().mean()
