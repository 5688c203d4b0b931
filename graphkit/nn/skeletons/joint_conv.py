"""Convolutions over the frames of each joint: what skeleton networks are made of."""

from __future__ import annotations

from torch import Tensor, channels_last, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["ConvNorm", "FrameConv", "frames_first", "join", "joints_first", "split"]


class FrameConv(nn.Conv2d):
    r"""A convolution over the frames of each joint, padded to keep their number.

    It is fastest where the memory is channels last, as :func:`joints_first` makes it.

    Args:
        in_channels (int): Width of the input.
        out_channels (int): Width of the output.
        kernel_size (int, optional): Frames that are seen at once. (default: :obj:`1`)
        stride (int, optional): Every how many frames. (default: :obj:`1`)
        dilation (int, optional): Distance between the frames. (default: :obj:`1`)
        bias (bool, optional): Whether there is a bias. (default: :obj:`True`)

    Shapes:
        - **input:** :math:`(N, C, V, T)`
        - **output:** :math:`(N, C', V, \lceil T / s \rceil)`

    Example:
        >>> import torch
        >>> FrameConv(3, 8, kernel_size=9, stride=2)(torch.rand(4, 3, 25, 7)).shape
        torch.Size([4, 8, 25, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            (1, kernel_size),
            stride=(1, stride),
            padding=(0, dilation * (kernel_size - 1) // 2),
            dilation=(1, dilation),
            bias=bias,
        )

    def reset_parameters(self) -> None:
        """Kaiming's normal weights by fan-out, and no bias."""
        nn.init.kaiming_normal_(self.weight, mode="fan_out")
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class ConvNorm(nn.Module):
    r"""A :class:`FrameConv` and batch normalisation.

    Args:
        in_channels (int): Width of the input.
        out_channels (int): Width of the output.
        kernel_size (int, optional): Frames that are seen at once. (default: :obj:`1`)
        stride (int, optional): Every how many frames. (default: :obj:`1`)
        bias (bool, optional): Whether the convolution has a bias. (default: :obj:`True`)
        scale (float, optional): First weight of the normalisation; a small one makes a block
            with a shortcut start as that shortcut. (default: :obj:`1.0`)

    Example:
        >>> import torch
        >>> ConvNorm(3, 8)(torch.rand(4, 3, 25, 7)).shape
        torch.Size([4, 8, 25, 7])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        bias: bool = True,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.conv: nn.Conv2d = FrameConv(in_channels, out_channels, kernel_size, stride, bias=bias)
        self.norm: nn.Module = nn.BatchNorm2d(out_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the weights anew; the normalisation starts at its scale."""
        self.conv.reset_parameters()
        if isinstance(self.norm, nn.BatchNorm2d):
            self.norm.reset_parameters()
            nn.init.constant_(self.norm.weight, self.scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))

    def fold(self) -> None:
        """Folds the normalisation into the convolution, for inference."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


def joints_first(x: Tensor) -> Tensor:
    """``[N, C, T, V]`` to ``[N, C, V, T]``, channels last: without a copy if it came from
    :func:`frames_first`."""
    return x.transpose(2, 3).contiguous(memory_format=channels_last)


def frames_first(x: Tensor) -> Tensor:
    """The way back, as a view."""
    return x.transpose(2, 3)


def split(x: Tensor, parts: int) -> Tensor:
    """Channels in groups, joint by joint: ``[N, K C, V, T]`` to ``[N, K, V, T C]``."""
    x = x.permute(0, 2, 3, 1).unflatten(3, (parts, -1))
    return x.permute(0, 3, 1, 2, 4).contiguous().flatten(3)


def join(x: Tensor, frames: int) -> Tensor:
    """The opposite of :func:`split`, channels last."""
    x = x.unflatten(3, (frames, -1)).permute(0, 2, 3, 1, 4)
    return x.flatten(3).permute(0, 3, 1, 2)
