"""Convolutions whose weights are an input, one kernel per image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.precision import wide

__all__ = ["dynamic_conv2d", "instance_normalize"]


def instance_normalize(x: Tensor, eps: float = 1e-5) -> Tensor:
    r"""Each channel of each image without its mean, over its deviation.

    .. math::
        \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}

    As :func:`torch.nn.functional.instance_norm`, but a map of one cell is zero and no error. A
    channel that is the same everywhere becomes zero.

    Args:
        x (torch.Tensor): Maps.
        eps (float, optional): :math:`\epsilon`. (default: :obj:`1e-5`)

    Shapes:
        - **input:** :math:`(B, C, H, W)`
        - **output:** :math:`(B, C, H, W)`

    Raises:
        ValueError: If the input holds no maps of floats.

    Example:
        >>> import torch
        >>> from graphkit.vision import instance_normalize
        >>> instance_normalize(torch.tensor([[[[1.0, 3.0]]]])).round()
        tensor([[[[-1.,  1.]]]])
    """
    if x.dim() != 4 or not x.is_floating_point():
        raise ValueError(f"'x' must hold floats [B, C, H, W], got {x.dtype} {list(x.shape)}")
    if x.numel() == 0:
        return x.clone()
    maps = wide(x)
    variance, mean = torch.var_mean(maps, dim=(2, 3), correction=0, keepdim=True)
    return ((maps - mean) * (variance + eps).rsqrt()).to(x.dtype)


def dynamic_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: str = "reflect",
    offset: Tensor | None = None,
) -> Tensor:
    r"""Convolves each image with a kernel of its own.

    .. math::
        y_{bo} = \sum_i w_{boi} \star x_{b, g(o) + i} + \beta_{bo}

    One grouped convolution does all images. Time grows with :math:`B H W O I k^2`, memory with
    the maps; with offsets, which take torchvision, memory grows with :math:`B H W C k^2` as well.

    Args:
        x (torch.Tensor): Maps.
        weight (torch.Tensor): Kernels, of odd size; :math:`I = 1` is depthwise, :math:`I = C` full.
        bias (torch.Tensor, optional): What is added. (default: nothing)
        padding (str, optional): What lies outside: ``"reflect"``, ``"replicate"`` or
            ``"zeros"``. (default: ``"reflect"``)
        offset (torch.Tensor, optional): Where each cell of a kernel looks, in pixels down and to
            the right of its own place. (default: there)

    Shapes:
        - **input:** :math:`(B, C, H, W)`, :math:`(B, O, I, k, k)`, :math:`(B, O)`,
          :math:`(B, 2 k^2, H, W)`
        - **output:** :math:`(B, O, H, W)`

    Raises:
        ValueError: If shapes or the padding do not fit, or a map is too small to be reflected.

    Example:
        >>> import torch
        >>> from graphkit.vision import dynamic_conv2d
        >>> x = torch.ones(2, 1, 1, 2)
        >>> dynamic_conv2d(x, torch.tensor([2.0, 3.0]).view(2, 1, 1, 1, 1)).flatten(1)
        tensor([[2., 2.],
                [3., 3.]])
    """
    check(x, weight, bias, padding, offset)
    count, channels, high, wide_ = x.shape
    outputs, inner, size = weight.size(1), weight.size(2), weight.size(3)
    if x.numel() == 0:
        return x.new_zeros(count, outputs, high, wide_) + 0 * weight.sum()
    half = size // 2
    mode = {"zeros": "constant"}.get(padding, padding)
    padded = F.pad(x, [half] * 4, mode) if half else x
    # Images become groups of channels of one image, each with kernels of its own.
    folded = padded.reshape(1, count * channels, *padded.shape[2:])
    kernels = weight.reshape(count * outputs, inner, size, size)
    added = None if bias is None else bias.reshape(count * outputs)
    if offset is None:
        out = F.conv2d(folded, kernels, added, groups=count * (channels // inner))
    else:
        try:
            from torchvision.ops import deform_conv2d
        except ImportError as error:
            raise ImportError('offsets need torchvision: pip install "graphkit[vision]"') from error
        moved = offset.reshape(1, -1, high, wide_)
        out = deform_conv2d(folded, moved, kernels, added)
    return out.view(count, outputs, high, wide_)


def check(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: str, offset: Tensor | None
) -> None:
    """Refuses shapes that do not fit, by name."""
    if x.dim() != 4 or not x.is_floating_point():
        raise ValueError(f"'x' must hold floats [B, C, H, W], got {x.dtype} {list(x.shape)}")
    count, channels, high, wide_ = x.shape
    if weight.dim() != 5 or weight.size(0) != count or weight.size(3) != weight.size(4):
        raise ValueError(f"'weight' must be [{count}, O, I, k, k], got {list(weight.shape)}")
    outputs, inner, size = weight.shape[1:4]
    groups = channels // inner if inner and channels % inner == 0 else 0
    if size % 2 == 0 or not groups or outputs % groups:
        raise ValueError(
            f"'weight' {list(weight.shape)} must have odd kernels, and channels that divide the "
            f"{channels} of 'x'"
        )
    if bias is not None and bias.shape != (count, outputs):
        raise ValueError(f"'bias' must be [{count}, {outputs}], got {list(bias.shape)}")
    if padding not in ("reflect", "replicate", "zeros"):
        raise ValueError(f"'padding' is 'reflect', 'replicate' or 'zeros', got {padding!r}")
    if padding == "reflect" and x.numel() and size // 2 >= min(high, wide_):
        raise ValueError(
            f"'x' of {high} x {wide_} cells is too small to be reflected by {size // 2}; take "
            "padding='replicate'"
        )
    if offset is not None and offset.shape != (count, 2 * size * size, high, wide_):
        raise ValueError(
            f"'offset' must be [{count}, {2 * size * size}, {high}, {wide_}], got "
            f"{list(offset.shape)}"
        )
