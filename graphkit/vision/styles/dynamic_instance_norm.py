"""Instance normalisation followed by a convolution that another image makes."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from graphkit.catalog import method, no_method
from graphkit.vision.styles.dynamic_conv import dynamic_conv2d, instance_normalize

__all__ = ["CARD", "DynamicInstanceNorm", "StyleKernel"]

CARD: dict[str, Any] = {
    "paper": "arXiv:1911.06953",
    "title": "Dynamic Instance Normalization for Arbitrary Style Transfer",
    "authors": "Yongcheng Jing, Xiao Liu, Yukang Ding, Xinchao Wang, Errui Ding, Mingli Song, "
    "Shilei Wen",
    "venue": "AAAI 2020",
    "year": 2020,
    "code": None,
    "licence": "none",
    "takes": "content features, style features or kernels made of them",
    "gives": "content features in that style",
    "deviations": [
        "no program was released; kernels of sizes 1 and 3 are what the author says in an answer, "
        "the inner form of the networks that make them is ours",
        "kernels are added to the identity, so that an untrained layer is instance normalisation",
        "offsets of the deformable form come from the normalised content, by a convolution that "
        "begins at zero",
    ],
}


@no_method("what a style has made: the kernel and the bias of a DynamicInstanceNorm")
class StyleKernel(NamedTuple):
    """The convolution that a style image stands for.

    Args:
        weight (torch.Tensor): :math:`(B, C, I, k, k)`.
        bias (torch.Tensor): :math:`(B, C)`.

    Example:
        >>> import torch
        >>> from graphkit.vision import StyleKernel
        >>> StyleKernel(torch.ones(1, 3, 1, 1, 1), torch.zeros(1, 3)).bias.shape
        torch.Size([1, 3])
    """

    weight: Tensor
    bias: Tensor


@method(verified_by="benchmarks/recipes/din-textures.yaml", **CARD)
class DynamicInstanceNorm(nn.Module):
    r"""The layer of the `"Dynamic Instance Normalization for Arbitrary Style Transfer"
    <https://arxiv.org/abs/1911.06953>`_ paper: the content is normalised per image and channel,
    then convolved with what two small networks make of the style.

    .. math::
        \mathrm{DIN}(F_c; F_s) = w(F_s) \star \frac{F_c - \mu(F_c)}{\sigma(F_c)} + b(F_s)

    Kernels of one cell with :math:`w = \sigma(F_s)`, :math:`b = \mu(F_s)` are AdaIN, without the
    style conditional instance norm; larger ones carry how strokes run, which no scale and shift
    can. Time grows with :math:`B H W C I k^2`; the networks see the style alone, so its
    :class:`StyleKernel` can be kept for all frames of a video. The network behind the weights has
    :math:`h C I k^2` parameters for :math:`h` hidden channels: a full layer of many channels is
    large, and wants groups.

    Args:
        channels (int): Of the content.
        style_channels (int): Of the style features.
        kernel_size (int, optional): :math:`k`, odd. (default: :obj:`1`)
        mode (str, optional): ``"depthwise"``, a kernel per channel; ``"full"``, all channels see
            each other; ``"deformable"``, depthwise with places that move, which takes
            torchvision. (default: ``"depthwise"``)
        groups (int, optional): Groups of ``"full"``. (default: :obj:`1`)
        hidden_channels (int, optional): Of both networks. (default: :obj:`64`)
        padding (str, optional): What lies outside: ``"reflect"``, ``"replicate"`` or
            ``"zeros"``. (default: ``"reflect"``)
        eps (float, optional): Added to variances. (default: :obj:`1e-5`)

    Shapes:
        - **input:** content :math:`(B, C, H, W)`; style features
          :math:`(B \text{ or } 1, C_s, h, w)`, or a :class:`StyleKernel` of as many
        - **output:** :math:`(B, C, H, W)`

    Raises:
        ValueError: If an option is out of range or shapes do not fit.
        ImportError: If ``"deformable"`` runs without torchvision.

    Example:
        >>> import torch
        >>> from graphkit.vision import DynamicInstanceNorm
        >>> din = DynamicInstanceNorm(16, style_channels=32, kernel_size=3)
        >>> content, style = torch.rand(4, 16, 12, 12), torch.rand(1, 32, 6, 6)
        >>> kernel = din.kernel(style)  # once per style
        >>> torch.allclose(din(content, kernel), din(content, style))
        True
    """

    def __init__(
        self,
        channels: int,
        style_channels: int,
        kernel_size: int = 1,
        mode: Literal["depthwise", "full", "deformable"] = "depthwise",
        groups: int = 1,
        hidden_channels: int = 64,
        padding: Literal["reflect", "replicate", "zeros"] = "reflect",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"'kernel_size' must be odd, got {kernel_size}")
        if mode not in ("depthwise", "full", "deformable"):
            raise ValueError(f"'mode' is 'depthwise', 'full' or 'deformable', got {mode!r}")
        if padding not in ("reflect", "replicate", "zeros"):
            raise ValueError(f"'padding' is 'reflect', 'replicate' or 'zeros', got {padding!r}")
        if groups < 1 or channels % groups or (groups > 1 and mode != "full"):
            raise ValueError(f"'groups' must divide {channels}, with mode='full', got {groups}")
        if min(channels, style_channels, hidden_channels) < 1:
            raise ValueError("'channels', 'style_channels', 'hidden_channels' must be at least 1")
        self.channels, self.style_channels, self.mode = channels, style_channels, mode
        self.kernel_size, self.padding, self.eps = kernel_size, padding, eps
        inner = channels // groups if mode == "full" else 1
        self.shape = (channels, inner, kernel_size, kernel_size)
        self.weight_net = maker(style_channels, hidden_channels, torch.Size(self.shape).numel())
        self.bias_net = maker(style_channels, hidden_channels, channels)
        places = 2 * kernel_size**2
        self.offset = nn.Conv2d(channels, places, 3, padding=1) if mode == "deformable" else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew; the last layers are small, offsets begin at zero."""
        for net in (self.weight_net, self.bias_net):
            for module in net:
                if isinstance(module, nn.Conv2d | nn.Linear):
                    module.reset_parameters()
            with torch.no_grad():
                for parameter in net[-1].parameters():
                    parameter.mul_(0.1)
        if self.offset is not None:
            for parameter in self.offset.parameters():
                nn.init.zeros_(parameter)

    def kernel(self, style: Tensor) -> StyleKernel:
        """What a style stands for: its convolution."""
        if style.dim() != 4 or style.size(1) != self.style_channels:
            raise ValueError(
                f"'style' must be [B, {self.style_channels}, h, w], got {list(style.shape)}"
            )
        weight = self.weight_net(style).view(-1, *self.shape)
        return StyleKernel(weight + self.identity(weight), self.bias_net(style))

    def identity(self, like: Tensor) -> Tensor:
        """The kernel that changes nothing."""
        outputs, inner, size, _ = self.shape
        channel = torch.arange(outputs, device=like.device) % inner
        middle = torch.zeros(self.shape, dtype=like.dtype, device=like.device)
        middle[torch.arange(outputs, device=like.device), channel, size // 2, size // 2] = 1
        return middle

    def forward(self, content: Tensor, style: Tensor | StyleKernel) -> Tensor:
        """The content in the style."""
        if content.dim() != 4 or content.size(1) != self.channels:
            raise ValueError(
                f"'content' must be [B, {self.channels}, H, W], got {list(content.shape)}"
            )
        made = style if isinstance(style, StyleKernel) else self.kernel(style)
        count = len(content)
        if made.weight.size(0) not in (1, count) or made.weight.shape[1:] != self.shape:
            raise ValueError(
                f"'style' has kernels {list(made.weight.shape)}, this layer takes "
                f"{[count, *self.shape]}, or 1 for all"
            )
        weight, bias = (part.expand(count, *part.shape[1:]).to(content.dtype) for part in made)
        normalised = instance_normalize(content, self.eps)
        offset = None if self.offset is None else self.offset(normalised)
        return dynamic_conv2d(normalised, weight, bias, self.padding, offset)

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.channels}, kernel_size={self.kernel_size}, mode={self.mode!r}"


def maker(inside: int, hidden: int, outside: int) -> nn.Sequential:
    """From style maps to numbers: a convolution, the average over all places, two layers."""
    return nn.Sequential(
        nn.Conv2d(inside, hidden, 3, padding=1, padding_mode="replicate"),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, outside),
    )
