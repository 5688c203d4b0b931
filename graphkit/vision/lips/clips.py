"""Clips of somebody who speaks: frames and sound, the mouth, and what it sounds like."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.catalog import no_method

__all__ = ["Clip", "log_mel", "mouth_centre", "mouth_crops", "read_clip"]

RATE = 16000
STANDS_OUT = 1.5
"""How much more than the middle place of a picture the mouth must move to be told apart."""


@no_method("what read_clip gives")
@dataclass(frozen=True)
class Clip:
    """A clip as tensors.

    Args:
        name (str): The file; errors name it.
        frames (torch.Tensor): Colours from 0 to 255 :math:`(T, 3, H, W)`, in bytes.
        fps (float): Frames per second.
        sound (torch.Tensor): One channel from -1 to 1 :math:`(S)`; empty where there is none.
        rate (int): Samples of sound per second.

    Example:
        >>> import torch
        >>> frames = torch.zeros(5, 3, 60, 90, dtype=torch.uint8)
        >>> frames[::2, :, 40:44, 42:50] = 255
        >>> clip = Clip("clip.mpg", frames, 25.0, torch.rand(3200), 16000)
        >>> clip.mouth((10, 20)).shape, clip.mel(bins=8).shape
        (torch.Size([5, 10, 20]), torch.Size([21, 8]))
    """

    name: str
    frames: Tensor
    fps: float
    sound: Tensor
    rate: int

    def mouth(self, size: tuple[int, int] = (50, 100)) -> Tensor:
        """The mouth in every frame, by :func:`mouth_crops`."""
        return mouth_crops(self.frames, size, name=self.name)

    def mel(self, bins: int = 40) -> Tensor:
        """A hundred frames of sound per second, by :func:`log_mel`."""
        return log_mel(self.sound, self.rate, bins, name=self.name)


def read_clip(path: str | os.PathLike[str], rate: int = RATE) -> Clip:
    """Decodes a clip with PyAV: any container and codec that FFmpeg knows.

    All frames are in memory at once, 0.3 MB each at 360 x 288.

    Args:
        path (str or Path): The file.
        rate (int, optional): Samples of sound per second. (default: :obj:`16000`)

    Raises:
        ImportError: If PyAV is missing.
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be decoded, a frame is damaged, or there is no picture; the
            message names the file.

    Example:
        .. code-block:: python

            from graphkit.vision import read_clip

            clip = read_clip("bbaf2n.mpg")
    """
    name = os.fspath(path)
    if not os.path.isfile(name):
        raise FileNotFoundError(f"there is no clip '{name}'")
    with decoding(name) as av:
        with av.open(name) as container:
            if not container.streams.video:
                raise ValueError(f"'{name}' holds no video")
            fps = container.streams.video[0].average_rate
            # FFmpeg makes up what is missing of a frame, of a file that was cut off, say.
            arrays: list[np.ndarray] = []
            for frame in container.decode(video=0):
                if frame.is_corrupt:
                    raise ValueError(f"cannot decode '{name}': frame {len(arrays)} is damaged")
                arrays.append(frame.to_ndarray(format="rgb24"))
        sound = torch.from_numpy(decode_sound(av, name, rate))
    if not arrays:
        raise ValueError(f"'{name}' holds no frame that can be decoded")
    frames = torch.stack([torch.from_numpy(array) for array in arrays]).permute(0, 3, 1, 2)
    return Clip(name, frames.contiguous(), float(fps or 0), sound, rate)


@contextmanager
def decoding(name: str) -> Iterator[ModuleType]:
    """PyAV; what goes wrong while a file is decoded is an error that names it."""
    try:
        import av
    except ImportError as error:
        raise ImportError('decoding clips needs PyAV: pip install "graphkit[speech]"') from error
    try:
        yield av
    except (av.error.FFmpegError, EOFError) as error:
        raise ValueError(f"cannot decode '{name}': {error}") from error


def decode_sound(av: ModuleType, name: str, rate: int) -> np.ndarray:
    """Samples of one channel; empty where there is no sound."""
    # FFmpeg's own way to one channel is louder than any of them, so they are averaged below.
    resampler = av.AudioResampler(format="fltp", rate=rate)
    with av.open(name) as container:
        if not container.streams.audio:
            return np.zeros(0, np.float32)
        parts = [r for f in container.decode(audio=0) for r in resampler.resample(f)]
        parts += resampler.resample(None)
    return np.concatenate([np.zeros(0, np.float32), *(p.to_ndarray().mean(0) for p in parts)])


def mouth_centre(frames: Tensor, top: float = 0.5, name: str = "frames") -> tuple[int, int]:
    """Row and column of the place that moves most in a clip of one head that speaks.

    Differences of successive frames are averaged over time and over a window of a twelfth of the
    height and an eighth of the width. Hair and eyes move as well: only what lies below ``top``
    counts. No face is recognised: somebody who turns their head, or hands in the picture, mislead.

    Args:
        frames (torch.Tensor): The frames.
        top (float, optional): Share of the height above which the mouth cannot be.
            (default: :obj:`0.5`)
        name (str, optional): What errors call the frames. (default: ``"frames"``)

    Shapes:
        - **input:** :math:`(T, 3, H, W)` or :math:`(T, H, W)`

    Raises:
        ValueError: If there are fewer than two frames, or no place moves more than others.

    Example:
        >>> import torch
        >>> frames = torch.zeros(4, 60, 90)
        >>> frames[::2, 38:46, 40:50] = 1
        >>> mouth_centre(frames)
        (42, 45)
    """
    grey = to_grey(frames, name)
    height, width = grey.shape[1:]
    if len(grey) < 2 or not 0 <= top < 1:
        raise ValueError(
            f"'{name}' must hold two frames or more and 'top' lie in [0, 1), got {len(grey)} and "
            f"{top}"
        )
    motion = grey.diff(dim=0).abs_().mean(0)
    window = max(height // 12, 1), max(width // 8, 1)
    energy = F.avg_pool2d(motion[None, None], window, 1)[0, 0]
    # A window belongs to the row of its middle.
    first = min(max(int(top * height) - window[0] // 2, 0), len(energy) - 1)
    low = energy[first:]
    peak = low.max()
    if not peak > STANDS_OUT * low.median() or peak < 1e-4:
        raise ValueError(
            f"'{name}' shows no mouth: no place in the lower part moves more than the rest"
        )
    # Many windows may hold all that moves: the middle one of them.
    rows, cols = (low >= peak * (1 - 1e-6)).nonzero().float().mean(0).round().long().tolist()
    return first + rows + window[0] // 2, cols + window[1] // 2


def mouth_crops(
    frames: Tensor, size: tuple[int, int] = (50, 100), top: float = 0.5, name: str = "frames"
) -> Tensor:
    """The same window around the mouth of each frame, in grey from 0 to 1.

    Args:
        frames (torch.Tensor): The frames, in bytes or from 0 to 1.
        size (tuple of int, optional): Rows and columns; at most the frames'.
            (default: :obj:`(50, 100)`)
        top (float, optional): As in :func:`mouth_centre`. (default: :obj:`0.5`)
        name (str, optional): What errors call the frames. (default: ``"frames"``)

    Shapes:
        - **input:** :math:`(T, 3, H, W)` or :math:`(T, H, W)`
        - **output:** :math:`(T, h, w)`

    Raises:
        ValueError: If the window is larger than a frame, or no mouth can be told.

    Example:
        >>> import torch
        >>> frames = torch.zeros(4, 60, 90)
        >>> frames[::2, 38:46, 40:50] = 1
        >>> mouth_crops(frames, (20, 30)).mean((1, 2)).tolist()[:2]
        [0.13333334028720856, 0.0]
    """
    grey = to_grey(frames, name)
    corner = []
    for place, wide, whole in zip(mouth_centre(grey, top, name), size, grey.shape[1:], strict=True):
        if not 1 <= wide <= whole:
            raise ValueError(f"'size' {size} does not fit into frames of {list(grey.shape[1:])}")
        corner.append(min(max(place - wide // 2, 0), whole - wide))
    return grey[:, corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]]


def to_grey(frames: Tensor, name: str) -> Tensor:
    """Frames in grey from 0 to 1 ``[T, H, W]``."""
    if frames.dim() not in (3, 4) or (frames.dim() == 4 and frames.size(1) != 3):
        raise ValueError(f"'{name}' must be [T, 3, H, W] or [T, H, W], got {list(frames.shape)}")
    if frames.dtype != torch.uint8 and not frames.isfinite().all():
        raise ValueError(f"'{name}' holds NaN or infinite values")
    scale = 255 if frames.dtype == torch.uint8 else 1
    if frames.dim() == 3:
        return frames / scale
    # How bright the three colours look to us (ITU-R BT.601); one at a time, clips are large.
    grey = frames[:, 0] * (0.299 / scale)
    return grey.add_(frames[:, 1], alpha=0.587 / scale).add_(frames[:, 2], alpha=0.114 / scale)


def log_mel(
    sound: Tensor,
    rate: int,
    bins: int = 40,
    window: float = 0.025,
    step: float = 0.01,
    name: str = "sound",
) -> Tensor:
    r"""Logarithms of the energy in bands that are evenly spaced to the ear.

    .. math::
        m(f) = 2595 \log_{10}(1 + f / 700)

    Args:
        sound (torch.Tensor): Samples of one channel.
        rate (int): Samples per second.
        bins (int, optional): Bands, up to half of ``rate``. (default: :obj:`40`)
        window (float, optional): Seconds that a frame hears. (default: :obj:`0.025`)
        step (float, optional): Seconds from frame to frame. (default: :obj:`0.01`)
        name (str, optional): What errors call the sound. (default: ``"sound"``)

    Shapes:
        - **input:** :math:`(S)`
        - **output:** :math:`(1 + \lfloor S / \mathrm{step} \rfloor, F)`

    Raises:
        ValueError: If there is no sound, or it is not finite, or an option is out of range.

    Example:
        >>> import torch
        >>> log_mel(torch.rand(16000), 16000).shape
        torch.Size([101, 40])
    """
    if sound.dim() != 1 or not len(sound) or not sound.isfinite().all():
        raise ValueError(f"'{name}' must hold finite samples [S] of sound, got {list(sound.shape)}")
    length, hop = round(window * rate), round(step * rate)
    if bins < 1 or length < 1 or hop < 1:
        raise ValueError(f"'bins', 'window' and 'step' are {bins}, {window} and {step}: too small")
    size = 1 << (length - 1).bit_length()
    spectrum = torch.stft(
        sound,
        size,
        hop,
        length,
        torch.hann_window(length, dtype=sound.dtype, device=sound.device),
        pad_mode="constant",
        return_complex=True,
    )
    energy = spectrum.abs().square().t() @ mel_bands(size, rate, bins).to(sound)
    # As loud as the quietest step of 16 bits: silence has a logarithm, too.
    return energy.clamp(min=2.0**-30).log()


def mel_bands(size: int, rate: int, bins: int) -> Tensor:
    """Triangles over the frequencies of a spectrum ``[size / 2 + 1, bins]``."""
    top = 2595 * torch.log10(torch.tensor(1 + rate / 2 / 700, dtype=torch.double))
    edges = 700 * (10 ** (torch.linspace(0, 1, bins + 2, dtype=torch.double) * top / 2595) - 1)
    heard = torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.double).unsqueeze(1)
    rises = (heard - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falls = (edges[2:] - heard) / (edges[2:] - edges[1:-1])
    return torch.minimum(rises, falls).clamp(min=0)
