"""AdaIN style transfer: VGG-19 up to relu4_1, a shift and a scale, its mirror image."""

from __future__ import annotations

from torch import Tensor, nn

from graphkit.vision import StyleEncoder

__all__ = ["AdaIN", "adain"]


def adain(content: Tensor, style: Tensor, eps: float = 1e-5) -> Tensor:
    """The content's features with means and deviations of the style's."""

    def moments(x: Tensor) -> tuple[Tensor, Tensor]:
        flat = x.flatten(2)
        return flat.mean(2), (flat.var(2, correction=0) + eps).sqrt()

    (mean, deviation), (wanted, spread) = moments(content), moments(style)
    normalised = (content - mean[..., None, None]) / deviation[..., None, None]
    return normalised * spread[..., None, None] + wanted[..., None, None]


class AdaIN(nn.Module):
    """The network of arXiv:1703.06868; both images pass through the same encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = StyleEncoder()
        layers: list[nn.Module] = []
        inside = 512
        for outside, depth in ((256, 1), (256, 3), (128, 1), (128, 1), (64, 1), (64, 1)):
            for _ in range(depth):
                layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU()]
                inside = outside
            # Up where the encoder pools: behind 256, 128 and 64 channels are first reached.
            if depth == 1 and layers[-2].in_channels != layers[-2].out_channels:
                layers.append(nn.Upsample(scale_factor=2))
        self.decoder = nn.Sequential(*layers, nn.Conv2d(64, 3, 3, padding=1))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """The stylised images, from images and features of a style."""
        return self.decoder(adain(self.encoder(x), style))
